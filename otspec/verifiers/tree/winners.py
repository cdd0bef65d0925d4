"""Winner among the drafts of one node: its law, and its chances given the drafts.

The convex-hull sampler (`otspec.transport.hull`) picks one of n drafts so that the pick has a given winner law L. Three
laws are offered: ``universal`` (best at every scale of the target, which is what a rule with weights needs),
``minimal`` (best at scale one) and ``vertex`` (always the draft of largest target/draft ratio).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.errors import BadArgument
from otspec.core.laws import cumulative_sum

Array = Any
LAWS = ("universal", "minimal", "vertex")
CACHED = 512  # longest vocabulary of which prepared rows are kept: exact analysis asks for few rows, many times


class Game(NamedTuple):
    """What rows of laws and a number of drafts fix; curves ``[*batch V+1]`` in the order of target/draft."""

    law: np.ndarray  # [*batch V] by token
    rank: np.ndarray  # [*batch V] place of each token in that order
    draft: np.ndarray  # [*batch V] sorted
    x: np.ndarray
    winner: np.ndarray
    capacity: np.ndarray


def check_law(kind: str) -> str:
    """Return the name of a winner law.

    Raises
    ------
    BadArgument
    """
    if kind not in LAWS:
        raise BadArgument(f"law: {kind!r} is none of {', '.join(LAWS)}. Fix: name one of them.")
    return kind


def game(target: np.ndarray, draft: np.ndarray, draws: int, *, race: bool = False, kind: str = "universal") -> Game:
    """Prepare one row ``[V]`` of laws for ``draws`` drafts, independent or (``race``) without replacement."""
    if target.size > CACHED:
        return _prepare(target, draft, draws, race, kind)
    return _prepare_cached(target.tobytes(), draft.tobytes(), draws, race, kind)


@lru_cache(maxsize=4096)
def _prepare_cached(target: bytes, draft: bytes, draws: int, race: bool, kind: str) -> Game:
    return _prepare(np.frombuffer(target), np.frombuffer(draft), draws, race, kind)


def _prepare(target: np.ndarray, draft: np.ndarray, draws: int, race: bool, kind: str) -> Game:
    from otspec.transport.race import race_increments
    from otspec.transport.winner import cumulative, minimal_law, ratio_order, replacement_increments, universal_law

    order = ratio_order(target, draft)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    sorted_draft, sorted_target = (np.take_along_axis(law, order, axis=-1) for law in (draft, target))
    sorted_draft = sorted_draft / sorted_draft.sum(axis=-1, keepdims=True)
    increments = (race_increments if race else replacement_increments)(sorted_draft, draws)
    capacity = cumulative(increments)
    if kind == "universal":
        law = universal_law(sorted_target, capacity, increments=increments)
    else:
        law = minimal_law(sorted_target, capacity) if kind == "minimal" else increments
    law = law / law.sum(axis=-1, keepdims=True)
    return Game(np.take_along_axis(law, rank, axis=-1), rank, sorted_draft, cumulative(sorted_draft), cumulative(law),
                capacity)


def odds(played: Game, tokens: np.ndarray, *, race: bool = False) -> np.ndarray:
    """Chance of each draft ``[n]`` to win, given all of them in drawing order; copies share theirs equally."""
    from otspec.transport.hull import winner_conditional_race, winner_conditional_replacement

    if len(tokens) == 1:
        return np.ones(1)
    ranks = played.rank[tokens]
    if race:
        return winner_conditional_race(played.draft, played.x, played.winner, played.capacity, ranks)
    return winner_conditional_replacement(played.x, played.winner, played.capacity, ranks)


def survivor_sets(played: Game, tokens: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Sets of independent drafts that the top cell of the hull may hold: chance, and mask ``[n]``."""
    from otspec.transport.hull import merge_tree

    ranks = played.rank[tokens]
    top = int(ranks.max())
    death = merge_tree(played.x, played.winner, played.capacity)
    joins = np.array([min(1.0, death[rank + 1 : top + 1].max(initial=0.0)) for rank in ranks])
    breaks = np.append(np.unique(joins), 1.0)
    return [(float(stop - start), joins <= start) for start, stop in pairwise(breaks)]


def top_cells(target: Array, draft: Array, tokens: Array, t: Array, *, kind: str = "universal") -> tuple[Array, Array]:
    """Drafts in the top cell ``[B n]`` and the winner law ``[B V]``, for independent drafts on any device.

    Parameters
    ----------
    target, draft : [B V]
    tokens : [B n] int
        -1 for a draft that is absent; one at least is present in each row.
    t : [B]
        Numbers in [0, 1).
    """
    xp = array_namespace(target, draft)
    p, q = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    p, q = p / xp.sum(p, axis=-1)[:, None], q / xp.sum(q, axis=-1)[:, None]
    if isinstance(target, np.ndarray) or (is_torch_array(target) and target.device.type == "cpu"):
        inside, law = _top_cells_on_host(*(np.asarray(a) for a in (p, q, tokens, t)), kind)
        return xp.asarray(inside), xp.asarray(law)
    return _top_cells_in_rounds(xp, p, q, tokens, t, kind)


def _top_cells_on_host(p: np.ndarray, q: np.ndarray, tokens: np.ndarray, t: np.ndarray,
                       kind: str) -> tuple[np.ndarray, np.ndarray]:
    from otspec.transport.hull import winning_cell
    from otspec.transport.winner import remaining

    inside, laws = np.zeros(tokens.shape, dtype=bool), np.empty_like(p)
    drawn = (tokens >= 0).sum(axis=-1)
    for count in np.unique(drawn):
        rows = np.flatnonzero(drawn == count)
        played = _prepare(p[rows], q[rows], int(count), False, kind)
        laws[rows] = played.law
        ranks = np.take_along_axis(played.rank, np.maximum(tokens[rows], 0), axis=-1)
        ranks = np.where(tokens[rows] >= 0, ranks, -1)
        start, _ = winning_cell(played.x, played.winner, played.capacity, t[rows], ranks.max(axis=-1),
                                above=remaining(played.draft))
        inside[rows] = ranks >= start[:, None]
    return inside, laws


def _top_cells_in_rounds(xp: Any, p: Array, q: Array, tokens: Array, t: Array, kind: str) -> tuple[Array, Array]:
    from otspec.transport.parallel import universal_law_parallel, winning_cell_parallel

    if kind == "minimal":
        raise BadArgument("law: 'minimal' is drawn on the CPU only. Fix: law='universal', which is at least as good.")
    present = tokens >= 0
    order = xp.argsort(xp.where(q > 0, p / xp.where(q > 0, q, xp.ones_like(q)), xp.inf), axis=-1)
    rank = xp.argsort(order, axis=-1)
    x = knots(xp.take_along_axis(q, order, axis=-1))
    capacity = x ** xp.sum(xp.astype(present, xp.float64), axis=-1)[:, None]
    if kind == "universal":
        law = universal_law_parallel(xp.take_along_axis(p, order, axis=-1), capacity)
    else:
        law = capacity[:, 1:] - capacity[:, :-1]
    ranks = xp.where(present, xp.take_along_axis(rank, xp.where(present, tokens, xp.zeros_like(tokens)), axis=-1),
                     -xp.ones_like(tokens))
    start, _ = winning_cell_parallel(x, knots(law), capacity, t, xp.max(ranks, axis=-1))
    return ranks >= start[:, None], xp.take_along_axis(law, rank, axis=-1)


def universal_laws(target_sorted: Array, capacity: Array) -> Array:
    """Universal winner laws ``[*batch V]`` in sorted order, on any device."""
    if isinstance(capacity, np.ndarray):
        from otspec.transport.winner import universal_law

        return universal_law(target_sorted, capacity)
    from otspec.transport.parallel import universal_law_parallel

    return universal_law_parallel(target_sorted, capacity)


def cell_start(x: Array, winner: Array, capacity: Array, t: Array, rank: Array) -> Array:
    """First rank ``[B]`` of the cell that holds ``rank`` ``[B]``; curves ``[B m+1]``."""
    if isinstance(x, np.ndarray):
        from otspec.transport.hull import winning_cell

        return winning_cell(x, winner, capacity, t, rank)[0]
    from otspec.transport.parallel import winning_cell_parallel

    return winning_cell_parallel(x, winner, capacity, t, rank)[0]


def knots(law: Array) -> Array:
    """Cumulative sums from exactly 0 to exactly 1."""
    xp = array_namespace(law)
    sums = cumulative_sum(law)
    return xp.concat([xp.zeros_like(sums[..., :1]), sums / sums[..., -1:]], axis=-1)


def pick(marked: Array, uniform: Array) -> Array:
    """Index ``[B]`` of a uniformly chosen marked slot of ``[B n]``."""
    xp = array_namespace(marked, uniform)
    count = xp.cumulative_sum(xp.astype(marked, xp.int64), axis=-1)
    total = count[:, -1]
    skip = xp.minimum(xp.astype(xp.floor(uniform * xp.astype(total, uniform.dtype)), xp.int64), total - 1)
    return xp.argmax(xp.astype(marked & (count == skip[:, None] + 1), xp.int64), axis=-1)
