"""Look-ahead and block: let all drafts of the winning hull cell survive, and choose among them by their next tokens.

While all survivors share a prefix, the cell is that of the universal winner law, as in `winner_block`, but every draft
in it survives, also those with other tokens: given the cell they are draws from the draft law in it, so a later choice
that ignores which token each carries leaves the winner's law as it was. *Mixed* survivors are thinned by the rank of
the next token of each under its own prefix: the cumulative draft law in the order of target/draft, drawn uniformly
inside the token's interval. Those ranks are independent and uniform whatever the prefixes, so the hull sampler of one
convex curve ``G >= u^n`` applies, and the increments of G over the intervals are that level's draft law. G may depend
on all that is known before those tokens, such as the set of prefixes: the default is the average of the cumulative
universal laws that n drafts would have under each of them. When the survivors share a prefix again, all copies of it
count again. Block verification of the chosen path with these laws follows. We know of no published source. [block]

Theorem: the text has the target's law for every curve; with one draft position, or one path, the rule is
`winner_block`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from otspec.core.laws import namespace
from otspec.core.rows import row_at
from otspec.core.schemes import DraftScheme
from otspec.core.tree import DraftTree
from otspec.transport.sampler.pick_parallel import pick_marked
from otspec.transport.winner.laws import cumulative, ratio_order, universal_law
from otspec.transport.winner.sorted_laws import ranks_of
from otspec.verifiers.block.chosen_path import Choice, Chosen, ChosenPath, equal_chains, node_rows
from otspec.verifiers.block.lookahead_curve import KNOTS, checked_curve, checked_curves, power_curve
from otspec.verifiers.tree.winners import game, survivor_sets, top_cells

Array = Any


class LookaheadBlock(ChosenPath):
    """Winning cells that survive whole, thinned by look-ahead, then block verification.

    Parameters
    ----------
    scheme : WithReplacement or int
    curves : mapping of int to array, optional
        Values of G at equidistant knots, for each number of mixed survivors; a number that is missing gets ``u^n``, so
        ``{}`` means ``u^n`` throughout. `average_curves` makes them from a trace, and `pocket_curves` is one such set.
        None means the average of the survivors' own curves.

    Raises
    ------
    BadArgument
        A curve that is not convex, or below ``u^n``.
    """

    trees = ("paths",)

    def __init__(self, scheme: DraftScheme | int = 1, *, curves: Mapping[int, Array] | None = None) -> None:
        super().__init__(scheme)
        self._own = curves is None
        self._curves = checked_curves(curves or {})
        self._knots = next(iter(self._curves.values())).size if self._curves else KNOTS

    def curve(self, draws: int) -> np.ndarray:
        """Curve ``[m+1]`` at equidistant knots for so many mixed survivors, where it does not depend on their rows."""
        if draws not in self._curves:
            self._curves[draws] = power_curve(draws, self._knots)
        return self._curves[draws]

    def num_choice_uniforms(self, draft_length: int) -> int:
        """One for the hull and one for the rank of each path, at each level; one for the last pick."""
        return draft_length * (1 + self.scheme.num_drafts) + 1

    # -- every choice that the coins may make ---------------------------------------------------------------------

    def _choices(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> Iterator[Choice]:
        chains = equal_chains(tree)
        length = chains.shape[1] - 1
        chances: dict[tuple[tuple[int, ...], tuple[int | tuple[int, ...], ...]], float] = {}

        def below(chance: float, alive: np.ndarray, modes: tuple[int | tuple[int, ...], ...]) -> None:
            depth = len(modes)
            nodes = chains[alive, depth]
            if depth == length:
                for path in alive:
                    key = (tuple(chains[path].tolist()), modes)
                    chances[key] = chances.get(key, 0.0) + chance / len(alive)
                return
            if np.all(nodes == nodes[0]):
                alive = np.flatnonzero(chains[:, depth] == nodes[0])
                played = game(target[nodes[0]], draft[nodes[0]], len(alive))
                mode: int | tuple[int, ...] = len(alive)
                sets = survivor_sets(played, tree.tokens[chains[alive, depth + 1]])
            else:
                spans = [_span(target[node], draft[node], tree.tokens[after])
                         for node, after in zip(nodes, chains[alive, depth + 1], strict=True)]
                places = sorted(nodes.tolist())
                mode = tuple(places)
                sets = _thinned(self._curve_of(target[places], draft[places]).tobytes(), tuple(spans))
            for share, mask in sets:
                below(chance * share, alive[mask], (*modes, mode))

        below(1.0, np.arange(len(chains)), ())
        known: dict[tuple[int, int | tuple[int, ...]], np.ndarray] = {}
        for (nodes, modes), chance in chances.items():
            for node, mode in zip(nodes, modes, strict=False):
                if (node, mode) not in known:
                    known[node, mode] = self._law(target, draft, node, mode)
            yield Choice(chance, nodes, tuple(known[pair] for pair in zip(nodes, modes, strict=False)))

    def _law(self, target: np.ndarray, draft: np.ndarray, node: int, mode: int | tuple[int, ...]) -> np.ndarray:
        """Law of the next token of a winner at ``node``, one of ``mode`` copies or of the nodes ``mode``, mixed."""
        if isinstance(mode, int):
            return game(target[node], draft[node], mode).law
        curve = self._curve_of(target[list(mode)], draft[list(mode)])
        return _curve_laws(target[node][None], draft[node][None], curve[None])[0]

    def _curve_of(self, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Curve for mixed survivors with rows ``[n V]``."""
        if not self._own:
            return self.curve(len(target))
        at, total = np.linspace(0.0, 1.0, self._knots), np.zeros(self._knots)
        for p, q in zip(target, draft, strict=True):
            played = game(p, q, len(target))
            total += np.interp(at, played.x, played.winner)
        return checked_curve(total / total[-1], len(target))

    # -- one choice at any vocabulary -----------------------------------------------------------------------------

    def _choose(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Chosen:
        xp = namespace(target_rows)
        size, count, length = tokens.shape
        alive = xp.ones((size, count), dtype=xp.bool, device=tokens.device)
        same = xp.ones((size, count, count), dtype=xp.bool, device=tokens.device)
        laws, mixed_at, curves = [], [], []
        for depth in range(length):
            coins = uniforms[:, depth * (count + 1) : (depth + 1) * (count + 1)]
            here = tokens[:, :, depth]
            first = xp.argmax(xp.astype(alive, xp.int64), axis=-1)
            mates = row_at(same, first)
            mixed = xp.any(alive & ~mates, axis=-1)
            inside, law = top_cells(node_rows(target_rows, first, depth), node_rows(draft_rows, first, depth),
                                    xp.where(mates, here, -xp.ones_like(here)), coins[:, 0])
            curve, part = None, _chosen_rows_of(mixed)
            if not isinstance(tokens, np.ndarray) or mixed.any():
                ranked, curve = self._thin(target_rows[part, :, depth, :], draft_rows[part, :, depth, :],
                                           here[part, ...], alive[part, ...], coins[part, ...])
                inside = _replaced(inside, ranked, mixed)
            alive = inside
            laws.append(law)
            mixed_at.append(mixed)
            curves.append(curve)
            same = same & (here[:, :, None] == here[:, None, :])
        path = pick_marked(alive, uniforms[:, -1])
        for depth, curve in enumerate(curves):
            if curve is not None:
                part = _chosen_rows_of(mixed_at[depth])
                law = _curve_laws(node_rows(target_rows, path, depth)[part, ...],
                                  node_rows(draft_rows, path, depth)[part, ...], curve)
                laws[depth] = _replaced(laws[depth], law, mixed_at[depth])
        return Chosen(path, xp.stack(laws, axis=1))

    def _thin(self, target: Array, draft: Array, tokens: Array, alive: Array, coins: Array) -> tuple[Array, Array]:
        """Survivors ``[B K]`` among those alive, by the ranks of their tokens under their own rows, and the curve."""
        from otspec.transport.sampler.hull import winning_cell

        xp = namespace(target)
        order, rank, x = _ranked(target, draft)
        place = xp.take_along_axis(rank, tokens[..., None], axis=-1)
        low, high = (xp.take_along_axis(x, place + step, axis=-1)[..., 0] for step in (0, 1))
        drawn = xp.sum(xp.astype(alive, xp.int64), axis=-1)
        if self._own:
            winner = _average_rows(xp.take_along_axis(target, order, axis=-1), x, alive, self._knots)
        else:
            table = np.stack([self.curve(n) for n in range(1, tokens.shape[1] + 1)])
            winner = xp.take(xp.asarray(table, device=target.device), drawn - 1, axis=0)
        cells = winner.shape[-1] - 1
        u = low + xp.astype(coins[:, 1:], xp.float64) * (high - low)
        cell = xp.minimum(xp.astype(xp.floor(u * cells), xp.int64), xp.full_like(place[..., 0], cells - 1))
        cell = xp.where(alive, cell, -xp.ones_like(cell))
        knot = xp.broadcast_to(xp.linspace(0.0, 1.0, cells + 1, dtype=xp.float64, device=u.device), winner.shape)
        capacity = knot ** xp.astype(drawn, xp.float64)[:, None]
        start, _ = winning_cell(knot, winner, capacity, coins[:, 0], xp.max(cell, axis=-1))
        return cell >= start[:, None], winner


def _chosen_rows_of(mask: Array) -> Any:
    """Index of the rows that a mask chooses on the host; of all rows elsewhere, where a choice would make it wait."""
    return np.flatnonzero(mask) if isinstance(mask, np.ndarray) else slice(None)


def _replaced(rows: Array, new: Array, mask: Array) -> Array:
    """Rows ``[B ...]`` with those that a mask chooses replaced; ``new`` as `_chosen_rows_of` chose them."""
    if isinstance(mask, np.ndarray):
        out = np.array(rows)
        out[mask] = new
        return out
    return namespace(rows).where(mask[:, None], new, rows)


def _average_rows(target_sorted: Array, x: Array, alive: Array, count: int) -> Array:
    """Average ``[B m+1]`` of the universal curves of the paths alive, each for all of them; rows ``[B K V]``."""
    xp = namespace(x)
    drawn = xp.sum(xp.astype(alive, xp.float64), axis=-1)
    target_sorted = xp.astype(target_sorted, xp.float64)
    target_sorted = target_sorted / xp.sum(target_sorted, axis=-1)[..., None]
    height = cumulative(universal_law(target_sorted, x ** drawn[:, None, None]))
    at = xp.linspace(0.0, 1.0, count, dtype=xp.float64, device=x.device)
    upper = _knots_above(x, at)
    sides = [[xp.take_along_axis(curve, upper - back, axis=-1) for curve in (x, height)] for back in (1, 0)]
    (left, below), (right, above) = sides
    width = right - left
    share = xp.where(width > 0, (at - left) / xp.where(width > 0, width, xp.ones_like(width)), xp.ones_like(width))
    weight = xp.astype(alive, xp.float64) / drawn[:, None]
    curve = xp.sum(weight[..., None] * (below + share * (above - below)), axis=1)
    # the steps sorted: convex to the last digit
    steps = xp.cumulative_sum(xp.sort(curve[:, 1:] - curve[:, :-1], axis=-1), axis=-1)
    convex = xp.concat([xp.zeros_like(steps[:, :1]), steps / steps[:, -1:]], axis=-1)
    return xp.maximum(convex, at ** drawn[:, None])


def _knots_above(x: Array, at: Array) -> Array:
    """Number of knots ``x[..., :-1]`` at or below each of ``at`` ``[m]``, ``[*batch m]``."""
    xp = namespace(x, at)
    if isinstance(x, np.ndarray):
        rows = [np.searchsorted(row, at, side="right") for row in x[..., :-1].reshape(-1, x.shape[-1] - 1)]
        return np.stack(rows).reshape(*x.shape[:-1], len(at))
    counts = [xp.sum(xp.astype(x[..., :-1] <= at[j], xp.int64), axis=-1) for j in range(at.shape[0])]
    return xp.stack(counts, axis=-1)


def _span(target: np.ndarray, draft: np.ndarray, token: int) -> tuple[float, float]:
    """Interval of ranks of a token under its own rows."""
    played = game(target, draft, 1)
    place = played.rank[token]
    return float(played.x[place]), float(played.x[place + 1])


@lru_cache(maxsize=4096)
def _thinned(curve: bytes, spans: tuple[tuple[float, float], ...]) -> list[tuple[float, np.ndarray]]:
    """Sets of drafts that may survive: chance, and mask ``[n]``."""
    from otspec.transport.sampler.hull import cell_intervals

    winner = np.frombuffer(curve)
    count, knot = len(spans), np.linspace(0.0, 1.0, winner.size)
    low, high = np.asarray(spans).T
    masks = (np.arange(1, 1 << count)[:, None] >> np.arange(count)) % 2 == 1
    chances = np.zeros(len(masks))
    for start, stop, vertices in cell_intervals(knot, winner, knot**count):
        # chance of each draft to lie below each edge of the cells
        edge = knot[vertices][:, None]
        within = np.clip((edge - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0)
        # a mass that is lost beside the others has no width: its draft lies below every edge after it
        below = np.where(high > low, within, (edge >= low) & (edge > 0))
        for under, upto in pairwise(below):
            chances += (stop - start) * np.where(masks, upto - under, under).prod(axis=-1)
    return [(float(chance), mask) for chance, mask in zip(chances, masks, strict=True) if chance > 0]


def _ranked(target: Array, draft: Array) -> tuple[Array, Array, Array]:
    """Order of target/draft, rank of each token, ``[*batch V]``, and knots of the cumulative draft law in it."""
    xp = namespace(target, draft)
    p, q = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    order = ratio_order(p, q)
    return order, ranks_of(order), cumulative(xp.take_along_axis(q, order, axis=-1))


def _curve_laws(target: Array, draft: Array, curve: Array) -> Array:
    """Increments ``[B V]`` of curves ``[B m+1]`` over the intervals of the tokens."""
    xp = namespace(target, draft)
    _, rank, x = _ranked(target, draft)
    cells = curve.shape[-1] - 1
    steps = (curve[:, 1:] - curve[:, :-1]) * cells
    cell = xp.minimum(xp.astype(xp.floor(x * cells), xp.int64), xp.full_like(rank[..., :1], cells - 1))
    slope = xp.take_along_axis(steps, cell, axis=-1)
    height = xp.take_along_axis(curve, cell, axis=-1) + slope * (x - xp.astype(cell, xp.float64) / cells)
    low, high = (xp.take_along_axis(height, rank + step, axis=-1) for step in (0, 1))
    one_cell = xp.take_along_axis(cell, rank, axis=-1) == xp.take_along_axis(cell, rank + 1, axis=-1)
    mass = xp.astype(draft, xp.float64)
    mass = mass / xp.sum(mass, axis=-1)[:, None]
    # a difference of heights would lose the digits of a rare token
    return xp.where(one_cell, mass * xp.take_along_axis(slope, rank, axis=-1), high - low)
