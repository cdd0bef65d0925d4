r"""The convex-hull sampler: an exactly optimal pick among k drafts, for any k and any vocabulary.

Definitions. Tokens are sorted by target/draft; x, c and F are the cumulative draft law, the capacity of
the prefixes and the cumulative winner law, all [V+1] from 0 to 1. For T uniform on (0, 1) the vertices
of the lower hull of the points (x_j, F_j - T c_j) cut the tokens into *cells*.

Theorem used: let the winner be a draft of the highest cell that holds any, distributed as the draft law
inside that cell. Then its cumulative law given the cells is the interpolant of c at their ends; that is
minus the T-derivative of the hull, which falls from F at T = 0 to 0 at T = 1. So the winner has law L
exactly. As T grows cells only merge.

With replacement a uniform choice among the drafts in the cell has the draft law. Without replacement
the race goes on among the tokens outside the cell, which decides how many drafts of the cell count.
"""

import heapq
from itertools import pairwise

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.sampler.edge import hull_cells, lower_hull
from otspec.transport.winner.laws import remaining
from otspec.transport.without_replacement.race import race_lead

__all__ = [
    "cell_intervals",
    "lower_hull",
    "merge_tree",
    "winner_conditional_race",
    "winner_conditional_replacement",
    "winning_cell",
]


def _above(x, above):
    return x[..., -1:] - x if above is None else above


def _rows(*curves):
    """Arrays [*batch m] or [m], broadcast together, as two-dimensional rows."""
    curves = np.broadcast_arrays(*(np.asarray(curve, dtype=np.float64) for curve in curves))
    return [np.ascontiguousarray(curve).reshape(-1, curve.shape[-1]) for curve in curves]


def _check_draws(rows, draws):
    if rows not in (1, draws):
        raise ShapeMismatch(f"x has {rows} rows for {draws} draws; give one row, or one for each draw")


def winning_cell(
    x: np.ndarray,
    F: np.ndarray,
    c: np.ndarray,
    t: np.ndarray,
    rank: np.ndarray,
    *,
    above: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Cell of the hull at T = t that holds a token: the tokens of ranks a..b-1.

    Parameters
    ----------
    x, F, c : ndarray [*batch V+1] or [V+1]
        Cumulative draft law, winner law and capacity in the sorted order.
    t : ndarray [*batch]
        Numbers in [0, 1].
    rank : int ndarray [*batch]
        Highest drafted rank.
    above : ndarray, optional
        1 - x summed from the right, shaped like x; needed for exactness beside a dominant token.

    Returns
    -------
    a, b : int ndarray [*batch]
        a <= rank < b.

    Raises
    ------
    BadArgument
        If a rank lies outside the vocabulary.
    ShapeMismatch
        If the curves have neither one row nor one for every draw.

    Examples
    --------
    >>> x = np.array([0.0, 0.5, 1.0])
    >>> a, b = winning_cell(x, x, x**2, 0.5, 1)
    >>> int(a), int(b)
    (0, 2)
    """
    if not isinstance(x, (np.ndarray, list)):
        from otspec.transport.sampler.edge_parallel import winning_cell_parallel

        return winning_cell_parallel(x, F, c, t, rank, _above(x, above))
    x = np.asarray(x, dtype=np.float64)
    t, rank = np.broadcast_arrays(np.asarray(t, dtype=np.float64), np.asarray(rank, dtype=np.int64))
    rows = _rows(x, _above(x, above), F, c)
    _check_draws(rows[0].shape[0], t.size)
    if np.any((rank < 0) | (rank >= x.shape[-1] - 1)):
        raise BadArgument(f"rank runs from {rank.min()} to {rank.max()}; give ranks from 0 to {x.shape[-1] - 2}")
    low = np.empty(t.size, dtype=np.int64)
    high = np.empty(t.size, dtype=np.int64)
    below, right, law, capacity = rows
    hull_cells(below, right, law, capacity, np.ascontiguousarray(t).ravel(), np.ascontiguousarray(rank).ravel(), low,
               high)
    return low.reshape(t.shape), high.reshape(t.shape)


def merge_tree(x: np.ndarray, F: np.ndarray, c: np.ndarray, *, above: np.ndarray | None = None) -> np.ndarray:
    """Time at which each knot stops being a vertex of the lower hull of (x, F - T c).

    Parameters
    ----------
    x, F, c : ndarray [V+1]
    above : ndarray [V+1], optional
        1 - x summed from the right.

    Returns
    -------
    ndarray [V+1]
        In [0, 1]; infinite at both ends. Two neighbouring cells merge when their slopes, which are
        linear in T, meet; a vertex once gone never returns.

    Examples
    --------
    >>> merge_tree([0.0, 0.5, 1.0], [0.0, 0.375, 1.0], [0.0, 0.25, 1.0]).tolist()
    [inf, 0.5, inf]
    """
    x, F, c = (np.asarray(values, dtype=np.float64) for values in (x, F, c))
    above = np.asarray(_above(x, above), dtype=np.float64)

    def width(i, j):
        return x[j] - x[i] if x[j] <= above[i] else above[i] - above[j]

    def meeting(i, j, m):
        left, right = width(i, j), width(j, m)
        bend = (F[m] - F[j]) / right - (F[j] - F[i]) / left
        closing = (c[m] - c[j]) / right - (c[j] - c[i]) / left
        if bend <= 0:
            return 0.0
        return float(bend / closing) if closing > bend else 1.0

    last = x.size - 1
    alive = [0]
    for j in range(1, last):
        if width(alive[-1], j) > 0 and width(j, last) > 0:
            alive.append(j)
    alive.append(last)
    death = np.zeros(x.size)
    death[alive] = _merge(alive, meeting)
    return death


def _merge(alive, meeting):
    """Death times of the knots ``alive``; ``meeting(i, j, m)`` is when the cells (i, j), (j, m) merge."""
    size = len(alive)
    death = np.full(size, np.inf)
    before, after = list(range(-1, size - 1)), list(range(1, size + 1))

    def due(place):
        return meeting(alive[before[place]], alive[place], alive[after[place]])

    current = {place: due(place) for place in range(1, size - 1)}
    queue = [(when, place) for place, when in current.items()]
    heapq.heapify(queue)
    now = 0.0
    while queue:
        when, place = heapq.heappop(queue)
        if current.get(place) != when:  # outdated by a merge next to it
            continue
        del current[place]
        now = death[place] = max(now, when)
        left, right = before[place], after[place]
        after[left], before[right] = right, left
        for knot in (left, right):
            if knot in current:
                current[knot] = due(knot)
                heapq.heappush(queue, (current[knot], knot))
    return death


def cell_intervals(
    x: np.ndarray, F: np.ndarray, c: np.ndarray, *, above: np.ndarray | None = None
) -> list[tuple[float, float, np.ndarray]]:
    """Partition into cells on each interval of T.

    Parameters
    ----------
    x, F, c : ndarray [V+1]
    above : ndarray [V+1], optional
        1 - x summed from the right.

    Returns
    -------
    list of (start, stop, vertices)
        The intervals tile [0, 1] from the left; ``vertices`` are knots from 0 to V.

    Examples
    --------
    >>> for start, stop, cells in cell_intervals([0.0, 0.5, 1.0], [0.0, 0.375, 1.0], [0.0, 0.25, 1.0]):
    ...     print(start, stop, cells.tolist())
    0.0 0.5 [0, 1, 2]
    0.5 1.0 [0, 2]
    """
    death = merge_tree(x, F, c, above=above)
    breaks = np.unique(np.concatenate([[0.0, 1.0], death[(death > 0) & (death < 1)]]))
    return [
        (float(start), float(stop), np.flatnonzero(death > start))
        for start, stop in pairwise(breaks)
    ]


def winner_conditional_replacement(
    x: np.ndarray, F: np.ndarray, c: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """Probability that each draft wins, given the ranks of all drafts; drawn with replacement.

    Parameters
    ----------
    x, F, c : ndarray [V+1]
    ranks : int ndarray [n]
        Sorted positions of the drafts in drawing order; copies allowed.

    Returns
    -------
    ndarray [n]
        Summing to 1; copies of one token share its probability equally.

    Examples
    --------
    >>> winner_conditional_replacement([0.0, 0.5, 1.0], [0.0, 0.375, 1.0], [0.0, 0.25, 1.0], [0, 1]).tolist()
    [0.25, 0.75]
    """
    ranks = np.asarray(ranks, dtype=np.int64)
    death = merge_tree(x, F, c)
    top = int(ranks.max())
    # a draft shares the top cell from the time on when no knot between them is a vertex any more
    joins = np.array([death[rank + 1 : top + 1].max(initial=0.0) for rank in ranks])
    odds = np.zeros(ranks.size)
    breaks = np.append(np.unique(joins), 1.0)
    for start, stop in pairwise(breaks):
        inside = joins <= start
        odds[inside] += (stop - start) / inside.sum()
    return odds


def _race_odds(draft_sorted, a, b, ranks):
    """Probability [n] that each draft wins when the top cell is [a, b)."""
    n = ranks.size
    free = draft_sorted > 0
    free[ranks] = False
    index = np.arange(draft_sorted.size)
    mine = np.flatnonzero(ranks >= a)
    out = n - mine.size
    inside, outside = draft_sorted[free & (index < a)], draft_sorted[free & (index >= b)]
    counts = race_lead(inside, outside, max(n - 1 - out, 0))
    cell = draft_sorted[a:b]
    odds = np.zeros(n)
    for more, chance in enumerate(counts):
        quota = max(1, n - out - more)
        earlier = mine[: quota - 1]
        share = draft_sorted[ranks[earlier]] / cell.sum()
        odds[earlier] += chance * share
        # what the earlier ones leave is summed, not subtracted: one of them may dominate the cell
        left = np.delete(cell, ranks[earlier] - a).sum() / cell.sum()
        odds[mine[quota - 1]] += chance * left
    return odds


def winner_conditional_race(
    draft_sorted: np.ndarray, x: np.ndarray, F: np.ndarray, c: np.ndarray, ranks: np.ndarray
) -> np.ndarray:
    """Probability that each draft wins, given the drafts in drawing order; drawn without replacement.

    Exact, with the continued race integrated out; the work is one race per T-interval, so this is for
    small vocabularies.

    Parameters
    ----------
    draft_sorted : ndarray [V]
    x, F, c : ndarray [V+1]
    ranks : int ndarray [n]
        Sorted positions in drawing order, all different; n = min(k, support).

    Returns
    -------
    ndarray [n]

    Examples
    --------
    >>> x = [0.0, 0.5, 1.0]
    >>> winner_conditional_race([0.5, 0.5], x, x, [0.0, 0.0, 1.0], [0, 1]).round(12).tolist()
    [0.5, 0.5]
    """
    draft_sorted = np.asarray(draft_sorted, dtype=np.float64)
    ranks = np.asarray(ranks, dtype=np.int64)
    top = int(ranks.max())
    odds = np.zeros(ranks.size)
    lengths: dict[tuple[int, int], float] = {}
    for start, stop, vertices in cell_intervals(x, F, c, above=remaining(draft_sorted)):
        place = int(np.searchsorted(vertices, top, side="right"))
        cell = int(vertices[place - 1]), int(vertices[place])
        lengths[cell] = lengths.get(cell, 0.0) + (stop - start)
    for (a, b), length in lengths.items():
        odds += length * _race_odds(draft_sorted, a, b, ranks)
    return odds
