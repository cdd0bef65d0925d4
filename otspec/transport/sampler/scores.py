r"""Scores of independent paths: the law of a score is split among the tokens of a row, in one compiled pass.

Every path has a score in [0, 1] and the highest of K wins. Its law is a vector of shares over J cells of [0, 1],
uniform inside a cell; K times the mean of :math:`s^{K-1}` in a cell, at which its scores win, is its *capacity*.

A row splits the shares :math:`\nu` of its prefix among its tokens, :math:`\sum_y q_y \nu_y = \nu`. Tokens are sorted by
target/draft; x is the cumulative draft law and C(x) the capacity of the lowest x of the scores, a convex curve. Tokens
that want the capacity ``r = weight * target / draft`` get in all at most ``C(1) + min_x [weight P(x) - C(x)]``. With h
where that minimum is, any split gets it whose capacities m are at least r below h and at most r above, and never cross
h. The *flattest* of them, ``max(r, low)`` below and ``min(r, high)`` above, keeps the scores of a token as spread as
they can be, so that later rows still have something to choose from. F, the cumulative sums of m, is convex and at
least C, so the hull sampler (`otspec.transport.sampler.hull`) has it: at the level T a token's scores are those of its
cell of the lower hull of ``F - T C``, and all levels are taken in the mean.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

CELLS = 32  # of the scores; 128 gain 0.1 % of the tokens per call with 8 paths
KNOTS = 128  # of a row, where capacities change: a group of tokens has 1/128 of the mass, or is one token
_SPARE = 5  # knots at both ends, at h and where m becomes flat

__all__ = ["CELLS", "KNOTS", "Split", "group_of", "score_cells", "split_scores", "win_chances"]


class Split(NamedTuple):
    """How a batch of rows splits its scores; tokens between two knots, in the order of target/draft, are a group."""

    shares: np.ndarray  # [B J] of the drafted token
    capacity: np.ndarray  # [B] of the drafted token
    kept: np.ndarray  # [B] sum over all tokens of min(weight * target, draft * capacity)
    knots: np.ndarray  # [B n] first place of each group, the vocabulary's size from the last knot on
    slope: np.ndarray  # [B n] capacity of the tokens of each group


@lru_cache(maxsize=64)
def score_cells(paths: int, cells: int = CELLS) -> tuple[np.ndarray, np.ndarray]:
    """Edges ``[J+1]`` of the cells, each with the same sum of width and winning scores, and their capacities ``[J]``.

    Examples
    --------
    >>> edges, capacity = score_cells(2, 2)
    >>> edges.round(6).tolist(), capacity.round(6).tolist()
    ([0.0, 0.618034, 1.0], [0.618034, 1.618034])
    """
    low, high = np.zeros(cells - 1), np.ones(cells - 1)
    wanted = 2.0 * np.arange(1, cells) / cells
    for _ in range(60):
        middle = (low + high) / 2
        below = middle + middle**paths < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    edges = np.concatenate([[0.0], low, [1.0]])
    return edges, np.diff(edges**paths) / np.diff(edges)


def win_chances(shares: np.ndarray, copies: np.ndarray) -> np.ndarray:
    """Chance ``[n]`` that a path with shares ``[n J]``, or one of its copies ``[n]``, has the highest score.

    Examples
    --------
    >>> win_chances(np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([1, 1])).round(6).tolist()
    [0.25, 0.75]
    """
    total = int(copies.sum())
    place, mass = np.polynomial.legendre.leggauss(total // 2 + 1)  # exact: the degree is total - 1
    below = np.cumsum(shares, axis=1) - shares
    inside = below[..., None] + shares[..., None] * (place + 1) / 2
    chances = np.empty(len(shares))
    for path in range(len(shares)):
        others = copies - (np.arange(len(shares)) == path)
        lower = np.prod(inside ** others[:, None, None], axis=0)
        chances[path] = copies[path] * float(shares[path] @ (lower @ mass)) / 2
    return chances


def split_scores(x: np.ndarray, target: np.ndarray, rank: np.ndarray, weight: np.ndarray, shares: np.ndarray,
                 capacity: np.ndarray, knots: int = KNOTS) -> Split:
    """Split the scores of prefixes among the tokens that may follow.

    Parameters
    ----------
    x, target : [B V+1]
        Cumulative laws of draft and target in the order of target/draft; of tokens that are never drafted, that of the
        target does not grow.
    rank : int [B]
        Places of the drafted tokens.
    weight : [B]
        Capacity that the prefix uses, at most what its shares hold.
    shares : [B J]
        Of the prefixes.
    capacity : [J]
    knots : int
        Most places where capacities change.

    Returns
    -------
    Split
    """
    if not isinstance(x, np.ndarray):
        from otspec.transport.sampler.scores_parallel import split_scores_parallel

        return Split(*split_scores_parallel(x, target, rank, weight, shares, capacity, knots))
    size = len(x), knots + _SPARE
    out = Split(np.empty_like(shares), np.empty(len(x)), np.empty(len(x)), np.empty(size, dtype=np.int64),
                np.empty(size))
    _split(x, target, rank, weight, shares, capacity, *out)
    return out


def group_of(knots: np.ndarray, size: int) -> np.ndarray:
    """Group ``[B V]`` of each place, given the first places ``[B n]`` of the groups.

    Examples
    --------
    >>> group_of(np.array([[0, 2, 3]]), 3).tolist()
    [[0, 0, 1]]
    """
    if not isinstance(knots, np.ndarray):
        from otspec.transport.sampler.scores_parallel import group_of as by_array

        return by_array(knots, size)
    place = np.arange(size)
    return np.stack([np.searchsorted(at, place, side="right") - 1 for at in knots])


@njit(cache=True, nogil=True)
def _split(x, target, rank, weight, shares, density, out_shares, out_capacity, out_kept, out_knots, out_slope):
    for row in range(len(x)):
        knots, slope = out_knots[row], out_slope[row]
        capacity = _capacity(x[row], shares[row], density)
        wanted = weight[row] * target[row]
        best = 0
        for i in range(len(wanted)):
            if wanted[i] - capacity[i] < wanted[best] - capacity[best]:
                best = i
        first, last = _tight(x[row], wanted, capacity, best)
        count = _place_knots(x[row], wanted, first, best, last, knots)
        at = knots[:count]
        here, share, room = x[row][at], wanted[at], capacity[at]
        middle = np.argmin(share - room)
        curve = _flattest(here, share, room, middle)
        mine, kept = 0, 0.0
        for i in range(count - 1):
            slope[i] = (curve[i + 1] - curve[i]) / (here[i + 1] - here[i])
            if at[i] <= rank[row]:
                mine = i
            for k in range(at[i], at[i + 1]):
                kept += min(wanted[k + 1] - wanted[k], slope[i] * (x[row, k + 1] - x[row, k]))
        knots[count - 1 :], slope[count - 1 :] = x.shape[1] - 1, slope[count - 2]
        low, high = (0, middle) if mine < middle else (middle, count - 1)
        spread = _mean_cells(here, curve, room, low, high, mine)
        _shares_of(here, spread, shares[row], out_shares[row])
        out_capacity[row], out_kept[row] = slope[mine], kept


@njit(cache=True, nogil=True)
def _capacity(x, shares, density):
    """Capacity ``[V+1]`` of the lowest x of the scores."""
    out, cell, start, height = np.empty(len(x)), 0, 0.0, 0.0
    for i in range(len(x)):
        while cell < len(shares) - 1 and start + shares[cell] < x[i]:
            start += shares[cell]
            height += shares[cell] * density[cell]
            cell += 1
        out[i] = height + (x[i] - start) * density[cell]
    return out


@njit(cache=True, nogil=True)
def _tight(x, wanted, capacity, best):
    """Places between which the flattest capacities are exactly what is wanted."""
    end, first, last = len(x) - 1, best, best
    for i in range(1, best):
        spare, width = capacity[best] - (wanted[best] - wanted[i]), x[i + 1] - x[i]
        if width > 0 and x[i] > 0 and spare * width <= (wanted[i + 1] - wanted[i]) * x[i]:
            first = i
            break
    for i in range(best, end):
        spare, width = capacity[end] - capacity[best] - (wanted[i] - wanted[best]), x[i + 1] - x[i]
        if width > 0:
            last = i
            if spare * width <= (wanted[i + 1] - wanted[i]) * (x[end] - x[i]):
                break
    return first, last


@njit(cache=True, nogil=True)
def _place_knots(x, wanted, first, best, last, knots):
    """Write the places of the knots, no two of them at one x; return how many."""
    end, most = len(x) - 1, len(knots) - _SPARE
    total = x[last] - x[first] + wanted[last] - wanted[first]
    knots[0] = 0
    count, step = 1, 0
    for i in range(1, end + 1):
        hit = i in (first, best, last, end)
        if first <= i <= last and total > 0:
            reached = int((x[i] - x[first] + wanted[i] - wanted[first]) * most / total)
            hit, step = hit or min(reached, most - 1) > step, reached
        if hit and x[i] > x[knots[count - 1]]:
            knots[count] = i
            count += 1
        elif hit and count > 1:
            knots[count - 1] = i
    return count


@njit(cache=True, nogil=True)
def _flattest(x, wanted, room, middle):
    """Cumulative capacities of groups: ``max(r, low)`` up to the knot ``middle``, ``min(r, high)`` after it."""
    end = len(x) - 1
    first, last = _tight(x, wanted, room, middle)
    curve = np.zeros(end + 1)
    low = max(room[middle] - (wanted[middle] - wanted[first]), 0.0) / x[first] if middle > 0 else 0.0
    for i in range(middle):
        curve[i + 1] = curve[i] + max(wanted[i + 1] - wanted[i], low * (x[i + 1] - x[i]))
    if middle > 0:
        curve[: middle + 1] *= room[middle] / curve[middle] if curve[middle] > 0 else 0.0
    if middle < end:
        mass, start = room[end] - room[middle], 0.0
        high = max(mass - (wanted[last] - wanted[middle]), 0.0) / (x[end] - x[last])
        for i in range(middle, end):
            start += min(wanted[i + 1] - wanted[i], high * (x[i + 1] - x[i]))
            curve[i + 1] = start
        for i in range(middle, end):
            curve[i + 1] = room[middle] + (curve[i + 1] * mass / start if start > 0 else 0.0)
    # equal in exact arithmetic where this acts: a hull needs F >= C to the last digit
    return np.maximum(curve, room)


@njit(cache=True, nogil=True)
def _meeting(x, curve, room, i, j, m):
    """Level T at which the edges (i, j) and (j, m) of ``F - T C`` become one."""
    left, right = x[j] - x[i], x[m] - x[j]
    bend = (curve[m] - curve[j]) / right - (curve[j] - curve[i]) / left
    closing = (room[m] - room[j]) / right - (room[j] - room[i]) / left
    if bend <= 0:
        return 0.0
    return bend / closing if closing > bend else 1.0


@njit(cache=True, nogil=True)
def _mean_cells(x, curve, room, low, high, mine):
    """Mean over T of the uniform law of the hull's cell around group ``mine``: density ``[n-1]`` over the groups."""
    before, after, meet = np.arange(-1, high), np.arange(1, high + 2), np.full(high + 1, np.inf)
    for j in range(low + 1, high):
        meet[j] = _meeting(x, curve, room, j - 1, j, j + 1)
    steps, left, right, now = np.zeros(len(x)), mine, mine + 1, 0.0
    while True:
        gone = low + np.argmin(meet[low : high + 1])
        until = min(max(now, meet[gone]), 1.0)
        if gone in (left, right) or until >= 1.0:
            steps[left] += (until - now) / (x[right] - x[left])
            steps[right] -= (until - now) / (x[right] - x[left])
            now = until
        if until >= 1.0:
            break
        i, m = before[gone], after[gone]
        after[i], before[m], reached = m, i, meet[gone]
        meet[gone] = np.inf
        left, right = (i if gone == left else left), (m if gone == right else right)
        for j in (i, m):
            if low < j < high:
                meet[j] = max(reached, _meeting(x, curve, room, before[j], j, after[j]))
    return np.cumsum(steps)[:-1]


@njit(cache=True, nogil=True)
def _shares_of(x, spread, shares, out):
    """Scores whose place among those of ``shares`` has the density ``spread`` over the groups, by cell."""
    out[:] = 0.0
    cell, until = 0, shares[0]
    for i in range(len(x) - 1):
        start = x[i]
        while cell < len(shares) - 1 and until <= x[i + 1]:
            out[cell] += spread[i] * max(until - start, 0.0)
            start = max(start, until)
            cell += 1
            until += shares[cell]
        out[cell] += spread[i] * max(x[i + 1] - start, 0.0)
    out /= out.sum()
