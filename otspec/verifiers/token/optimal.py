"""The optimal rule: the convex-hull sampler, exactly lossless and exactly optimal for any number of drafts.

Pick a winner among the sampled drafts so that its law is the universal winner law L (`otspec.transport.sampler.hull`
has the theorem), accept it with probability ``min(1, target / L)``, else draw from ``(target - L)+``. Acceptance is
``sum min(target, L)``, which the dual cut shows to be the optimum. We know of no published source of the sampler.

For `Hybrid` drafts the winner is sought among the sampled drafts; L is zero on the top tokens, so they are reached
through the residual, where they count as accepted.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import check_no_grad
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.host import check_host, on_host
from otspec.core.laws import normalized_or, positive_part
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement
from otspec.transport.bounds import optimal_acceptance
from otspec.transport.sampler.hull import winner_conditional_race, winner_conditional_replacement
from otspec.transport.winner.laws import cumulative
from otspec.transport.winner.sorted_laws import SortedLaws, sort_laws
from otspec.transport.without_replacement.ordering import draw_order, order_law
from otspec.transport.without_replacement.spread import narrow_gaps
from otspec.verifiers.token.by_context import SolvedByContext
from otspec.verifiers.token.rejection import winner_kept

Array = Any
MAX_VOCABULARY = 64  # of `conditional` without replacement, whose cost is a race per hull cell
MAX_LISTS_TIMES_VOCABULARY = 2e8


class Optimal(SolvedByContext):
    """The convex-hull sampler for draws with replacement and for hybrid drafts.

    Parameters
    ----------
    scheme : WithReplacement, Hybrid or int
    ordered : bool
        False where the order in which drafts without replacement were drawn is lost: it is then drawn anew from its
        law given the set, which costs nothing in acceptance.
    kind : {"universal", "minimal"}
        The winner law. Both are optimal; the minimal one needs cumulative sums and maxima only. On a
        GPU no step of either waits for the host.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Hybrid)
    scheme: Any

    def __init__(self, scheme: DraftScheme | int = 1, *, ordered: bool = True,
                 kind: Literal["universal", "minimal"] = "universal") -> None:
        super().__init__(scheme)
        if kind not in ("universal", "minimal"):
            raise BadArgument(f"kind: {kind!r} is unknown."
                              f"{did_you_mean(kind, ('universal', 'minimal'))} Fix: 'universal' or 'minimal'.")
        self.ordered, self.kind = ordered, kind
        self._race = isinstance(self.scheme, Hybrid)
        self._counted = self.scheme.num_sampled if self._race else self.scheme.num_drafts

    @property
    def num_uniforms(self) -> int:
        """One each for T, the acceptance and the residual; then the pick inside the cell; then the lost order."""
        pick = self._counted if self._race else 1
        return 3 + pick + (pick if self._race and not self.ordered else 0)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Return the optimum of the scheme, which the rule attains."""
        return optimal_acceptance(target, draft, self.scheme)

    # -- the exact conditional law ------------------------------------------------------------------------------

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        check_host("target", target, f"conditional of {self!r}", "pass .cpu() tensors, or use draw")
        size = target.shape[-1]
        if self._race and self._counted > 1 and size > MAX_VOCABULARY:
            raise TooLarge(f"conditional of {self!r} on {size} tokens: more than {MAX_VOCABULARY}. "
                           f"Fix: draw works at any vocabulary; acceptance is exact.", size)
        entries = float(np.prod(tokens.shape[:-1])) * size
        if entries > MAX_LISTS_TIMES_VOCABULARY or size > 100 * MAX_VOCABULARY:
            raise TooLarge(f"conditional of {self!r} on {size} tokens would fill {entries:.2g} entries. "
                           f"Fix: draw works at any vocabulary; acceptance is exact.", entries)
        return super()._conditional(target, draft, tokens)

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> tuple[SortedLaws, np.ndarray]:
        if self._race:
            _, rest = self.scheme.split(draft)
            draft = rest if np.any(rest > 0) else draft
        game = sort_laws(target, draft, count, race=self._race)
        return game, game.law(self.kind)

    def _play(self, solution: tuple[SortedLaws, np.ndarray], target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        game, law = solution
        x, winner = cumulative(game.draft), cumulative(law)
        law = game.by_token(law)
        rest, kept = normalized_or(positive_part(target - law), target), winner_kept(target, law)
        out = np.empty((len(lists), target.size))
        for row, drafts in zip(out, lists, strict=True):
            ranks = game.rank[drafts]
            if self._race:
                odds = self._race_odds((game.draft, x, winner, game.capacity), ranks)
            else:
                odds = winner_conditional_replacement(x, winner, game.capacity, ranks)
            keep = odds * kept[drafts]
            row[:] = (1.0 - keep.sum()) * rest
            np.add.at(row, drafts, keep)
        return out

    def _race_odds(self, curves: tuple[np.ndarray, ...], ranks: np.ndarray) -> np.ndarray:
        """Chance of each draft to win; ``curves`` are the sorted draft law, x, the winner's law and the capacity."""
        law_sorted, x, winner, capacity = curves
        if self.ordered:
            return winner_conditional_race(law_sorted, x, winner, capacity, ranks)
        orders, law = order_law(law_sorted[ranks], np.delete(law_sorted, ranks).sum())
        odds = np.zeros(ranks.size)
        for order, chance in zip(orders, law, strict=True):
            odds[order] += chance * winner_conditional_race(law_sorted, x, winner, capacity, ranks[order])
        return odds

    # -- one draw at any vocabulary -----------------------------------------------------------------------------

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        xp = array_namespace(target, draft, tokens, uniforms)
        flat = [xp.reshape(a, (-1, a.shape[-1])) for a in (target, draft, tokens, uniforms)]
        token = self._draw_on_host(*flat) if on_host(target) else self._draw_in_rounds(*flat)
        return xp.reshape(token, tokens.shape[:-1])

    def _draw_on_host(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        from otspec.transport.sampler.draw import draw_tokens

        check_no_grad(target=target, draft=draft)
        p, q, x, u = (np.asarray(a) for a in (target, draft, tokens, uniforms))
        if self._race and self.scheme.top:
            _, q = self.scheme.split(q)
        sampled = x[:, -self._counted:]
        if self._race and not self.ordered:
            sampled = self._reordered(q, sampled, u[:, -self._counted:])
        token = draw_tokens(p, q, sampled, u[:, : 3 + self._counted], replacement=not self._race,
                            minimal=self.kind == "minimal")
        return array_namespace(target).asarray(token)

    @staticmethod
    def _reordered(draft: np.ndarray, tokens: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Give each set of drafts an order from the law of its order; absent drafts stay last."""
        out = np.full_like(tokens, -1)
        for row, (law, drafts) in enumerate(zip(draft, tokens, strict=True)):
            present = drafts[drafts >= 0]
            if present.size == 0:
                continue
            law = narrow_gaps(law, present.size)
            order = draw_order(law[present], np.delete(law, present).sum(), uniforms[row, : present.size])
            out[row, : present.size] = present[order]
        return out

    def _draw_in_rounds(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        """Whole-array form for other libraries and devices."""
        from otspec.transport.sampler.draw_parallel import draw_tokens_parallel

        if self._race and not self.ordered:
            raise BadArgument(f"ordered: the drawing order that {self!r} has lost is drawn anew on the CPU, not on "
                              f"{target.device}. Fix: keep the order, or pass CPU arrays.")
        if self._race and self.scheme.top:
            _, draft = self.scheme.split(draft)
        return draw_tokens_parallel(target, draft, tokens[:, -self._counted:], uniforms, replacement=not self._race,
                                    minimal=self.kind == "minimal")
