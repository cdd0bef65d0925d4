"""The optimal rule: the convex-hull sampler, exactly lossless and exactly optimal for any number of drafts.

Pick a winner among the sampled drafts so that its law is the universal winner law L (`otspec.transport.hull` has the
theorem), accept it with probability ``min(1, target / L)``, else draw from ``(target - L)+``. Acceptance is
``sum min(target, L)``, which the dual cut shows to be the optimum. We know of no published source of the sampler.

For `Hybrid` drafts the winner is sought among the sampled drafts; L is zero on the top tokens, so they are reached
through the residual, where they count as accepted.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.errors import BadArgument, TooLarge
from otspec.core.laws import at, cumulative_sum, draw, normalized_or, positive_part
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement
from otspec.core.verifier import TokenVerifier
from otspec.transport.bounds import optimal_acceptance, sampled_increments
from otspec.transport.hull import (
    winner_conditional_race,
    winner_conditional_replacement,
)
from otspec.transport.ordering import draw_order, order_law
from otspec.transport.parallel import minimal_law_parallel, universal_law_parallel, winning_cell_parallel
from otspec.transport.winner import cumulative, minimal_law, ratio_order, universal_law

Array = Any
MAX_VOCABULARY = 64  # of `conditional` without replacement, whose cost is a race per hull cell
FIXED_STEPS = 16  # of the hull edge where no step may depend on the data; 1 to 4 settle it
MAX_LISTS_TIMES_VOCABULARY = 2e8


class Prepared(NamedTuple):
    """Everything about one row of laws that does not depend on the drafts, in the order of target/draft."""

    order: np.ndarray  # [*batch V]
    draft: np.ndarray  # [*batch V] sorted
    law: np.ndarray  # [*batch V] sorted winner law
    x: np.ndarray  # [*batch V+1] cumulative draft law
    winner: np.ndarray  # [*batch V+1] cumulative winner law
    capacity: np.ndarray  # [*batch V+1]


class Optimal(TokenVerifier):
    """The convex-hull sampler for draws with replacement and for hybrid drafts.

    Parameters
    ----------
    scheme : WithReplacement, Hybrid or int
    ordered : bool
        False where the order in which drafts without replacement were drawn is lost: it is then drawn anew from its
        law given the set, which costs nothing in acceptance.
    kind : {"universal", "minimal"}
        The winner law. Both are optimal; the minimal one needs cumulative sums and maxima only, so that on a GPU no
        step waits for the host.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Hybrid)
    scheme: Any

    def __init__(self, scheme: DraftScheme | int = 1, *, ordered: bool = True,
                 kind: Literal["universal", "minimal"] = "universal") -> None:
        super().__init__(scheme)
        if kind not in ("universal", "minimal"):
            raise BadArgument(f"kind: {kind!r} is unknown. Fix: 'universal' or 'minimal'.")
        self.ordered, self.kind = ordered, kind
        self._race = isinstance(self.scheme, Hybrid)
        self._sampled = self.scheme.num_sampled if self._race else self.scheme.num_drafts
        self._cached: tuple[tuple[bytes, bytes, int], Prepared] | None = None

    @property
    def num_uniforms(self) -> int:
        """One each for T, the acceptance and the residual; then the pick inside the cell; then the lost order."""
        pick = self._sampled if self._race else 1
        return 3 + pick + (pick if self._race and not self.ordered else 0)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Return the optimum of the scheme, which the rule attains."""
        return optimal_acceptance(target, draft, self.scheme)

    # -- the exact conditional law ------------------------------------------------------------------------------

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        if is_torch_array(target) and target.device.type != "cpu":
            raise BadArgument("conditional of `optimal` is sequential. Fix: pass CPU arrays, or use draw.")
        size = target.shape[-1]
        if self._race and self._sampled > 1 and size > MAX_VOCABULARY:
            raise TooLarge(f"conditional of {self!r} on {size} tokens: more than {MAX_VOCABULARY}. "
                           f"Fix: draw works at any vocabulary; acceptance is exact.", size)
        entries = float(np.prod(tokens.shape[:-1])) * size
        if entries > MAX_LISTS_TIMES_VOCABULARY or size > 100 * MAX_VOCABULARY:
            raise TooLarge(f"conditional of {self!r} on {size} tokens would fill {entries:.2g} entries. "
                           f"Fix: draw works at any vocabulary; acceptance is exact.", entries)
        rows = [np.asarray(a).reshape(-1, a.shape[-1]) for a in (target, draft, tokens)]
        laws = [self._conditional_row(*row) for row in zip(*rows, strict=True)]
        out = np.asarray(laws, dtype=np.float64).reshape(target.shape)
        return xp.astype(xp.asarray(out), target.dtype)

    def _conditional_row(self, target: np.ndarray, draft: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        target, draft = target.astype(np.float64), draft.astype(np.float64)
        sampled = tokens[-self._sampled:]
        sampled = sampled[sampled >= 0]
        if sampled.size == 0:
            return target
        game = self._prepared_row(target, draft, sampled.size)
        rank = np.empty(target.size, dtype=np.int64)
        rank[game.order] = np.arange(target.size)
        ranks = rank[sampled]
        if self._race:
            odds = self._race_odds(game, ranks)
        else:
            odds = winner_conditional_replacement(game.x, game.winner, game.capacity, ranks)
        law = np.empty(target.size)
        law[game.order] = game.law
        keep = odds * np.minimum(1.0, target[sampled] / np.where(law[sampled] > 0, law[sampled], 1.0))
        keep[law[sampled] <= 0] = odds[law[sampled] <= 0]
        out = (1.0 - keep.sum()) * normalized_or(positive_part(target - law), target)
        np.add.at(out, sampled, keep)
        return out

    def _race_odds(self, game: Prepared, ranks: np.ndarray) -> np.ndarray:
        curves = game.draft, game.x, game.winner, game.capacity
        if self.ordered:
            return winner_conditional_race(*curves, ranks)
        orders, law = order_law(game.draft[ranks], np.delete(game.draft, ranks).sum())
        odds = np.zeros(ranks.size)
        for order, chance in zip(orders, law, strict=True):
            odds[order] += chance * winner_conditional_race(*curves, ranks[order])
        return odds

    def _prepared_row(self, target: np.ndarray, draft: np.ndarray, draws: int) -> Prepared:
        # every list of one context asks for the same preparation, so the last one is kept
        key = (target.tobytes(), draft.tobytes(), draws)
        if self._cached is None or self._cached[0] != key:
            self._cached = key, self._prepare(target, draft, draws)
        return self._cached[1]

    def _prepare(self, target: np.ndarray, draft: np.ndarray, draws: int) -> Prepared:
        if self._race:
            _, rest = self.scheme.split(draft)
            draft = np.where((rest > 0).any(axis=-1, keepdims=True), rest, draft)
        target = target / target.sum(axis=-1, keepdims=True)
        order = ratio_order(target, draft)
        draft = np.take_along_axis(draft, order, axis=-1)
        draft = draft / draft.sum(axis=-1, keepdims=True)
        increments = sampled_increments(draft, draws, not self._race)
        capacity = cumulative(increments)
        target = np.take_along_axis(target, order, axis=-1)
        law = universal_law(target, capacity, increments=increments) if self.kind == "universal" else \
            minimal_law(target, capacity)
        return Prepared(order, draft, law, cumulative(draft), cumulative(law), capacity)

    # -- one draw at any vocabulary -----------------------------------------------------------------------------

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        xp = array_namespace(target, draft, tokens, uniforms)
        flat = [xp.reshape(a, (-1, a.shape[-1])) for a in (target, draft, tokens, uniforms)]
        on_host = isinstance(target, np.ndarray) or (is_torch_array(target) and target.device.type == "cpu")
        token = self._draw_on_host(*flat) if on_host else self._draw_in_rounds(*flat)
        return xp.reshape(token, tokens.shape[:-1])

    def _draw_on_host(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        from otspec.transport.sampler import draw_tokens

        p, q, x, u = (np.asarray(a) for a in (target, draft, tokens, uniforms))
        if self._race and self.scheme.top:
            _, q = self.scheme.split(q)
        sampled = x[:, -self._sampled:]
        if self._race and not self.ordered:
            sampled = self._reordered(q, sampled, u[:, -self._sampled:])
        token = draw_tokens(p, q, sampled, u[:, : 3 + self._sampled], replacement=not self._race,
                            minimal=self.kind == "minimal")
        return array_namespace(target).asarray(token)

    @staticmethod
    def _reordered(draft: np.ndarray, tokens: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Give each set of drafts an order from the law of its order; absent drafts stay last."""
        out = np.full_like(tokens, -1)
        for row, (law, drafts) in enumerate(zip(draft, tokens, strict=True)):
            present = drafts[drafts >= 0]
            order = draw_order(law[present], np.delete(law, present).sum(), uniforms[row, : present.size])
            out[row, : present.size] = present[order]
        return out

    def _draw_in_rounds(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        """Whole-array form for other libraries and devices: draws with replacement, or one sampled draft."""
        if self._race and self._sampled > 1:
            raise BadArgument(f"draw of {self!r} on {target.device}: draws without replacement run on the CPU. "
                              f"Fix: pass CPU arrays.")
        xp = array_namespace(target, draft)
        p, q = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
        if self._race:
            _, rest = self.scheme.split(q)
            q = xp.where(xp.any(rest > 0, axis=-1, keepdims=True), rest, q)
        sampled = tokens[:, -self._sampled:]
        draws = xp.sum(xp.astype(sampled >= 0, xp.float64), axis=-1)
        p = p / xp.sum(p, axis=-1, keepdims=True)
        order = xp.argsort(xp.where(q > 0, p / xp.where(q > 0, q, xp.ones_like(q)), xp.inf), axis=-1)
        rank = xp.argsort(order, axis=-1)
        x = _knots(xp.take_along_axis(q, order, axis=-1))
        capacity = x ** draws[:, None]
        minimal = self.kind == "minimal"
        law_of = minimal_law_parallel if minimal else universal_law_parallel
        law = law_of(xp.take_along_axis(p, order, axis=-1), capacity)
        safe = xp.where(sampled >= 0, sampled, xp.zeros_like(sampled))
        ranks = xp.where(sampled >= 0, xp.take_along_axis(rank, safe, axis=-1), -xp.ones_like(sampled))
        start, _ = winning_cell_parallel(x, _knots(law), capacity, uniforms[:, 0], xp.max(
            xp.where(ranks >= 0, ranks, xp.zeros_like(ranks)), axis=-1), FIXED_STEPS if minimal else None)
        winner = _pick(xp, sampled, ranks >= start[:, None], uniforms[:, -1] if not self._race else uniforms[:, 0])
        winner = xp.where(draws > 0, winner, -xp.ones_like(winner))
        law = xp.take_along_axis(law, rank, axis=-1) * xp.astype(draws > 0, xp.float64)[:, None]
        accepted = uniforms[:, 1] * at(law, winner[:, None])[:, 0] <= at(p, winner[:, None])[:, 0]
        residual = normalized_or(positive_part(p - law), p)
        return xp.where(accepted & (winner >= 0), winner, draw(residual, uniforms[:, 2]))


def _knots(law: Array) -> Array:
    """Cumulative sums from exactly 0 to exactly 1."""
    xp = array_namespace(law)
    sums = cumulative_sum(law)
    return xp.concat([xp.zeros_like(sums[..., :1]), sums / sums[..., -1:]], axis=-1)


def _pick(xp: Any, tokens: Array, inside: Array, uniform: Array) -> Array:
    """Choose uniformly among the slots marked ``inside``, counted from the left."""
    count = xp.cumulative_sum(xp.astype(inside, xp.int64), axis=-1)
    total = count[:, -1]
    skip = xp.astype(xp.floor(uniform * xp.astype(total, uniform.dtype)), xp.int64)
    skip = xp.minimum(skip, total - 1)
    chosen = inside & (count == skip[:, None] + 1)
    return xp.sum(xp.where(chosen, tokens, xp.zeros_like(tokens)), axis=-1)
