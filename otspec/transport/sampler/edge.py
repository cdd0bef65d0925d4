"""Compiled scans over sorted tokens: the lower hull of points, and the edge of a hull above one token.

Definitions. The *lower hull* of points (x_j, y_j) is the largest convex curve below them. An *edge* is a pair of
neighbouring vertices of the lower hull. `otspec.transport.sampler.edge_parallel` is the same search in whole-array
operations; `otspec.transport.sampler.hull.winning_cell` takes the one that fits its arguments.

Widths ``x_j - x_i`` are taken from the left sums ``x`` or from the right sums ``above`` (= total - x,
summed from the right), whichever are smaller: next to one dominant token the other side has lost
every digit of the width.
"""

import numpy as np
from numba import njit

_ROUNDS = 64  # 1-4 alternations are usual; past this bound the full hull decides
_MOVE = 4 * np.finfo(np.float64).eps  # a slope must improve by more than its own rounding error


@njit(cache=True, nogil=True, inline="always")
def _width(x, above, i, j):
    return x[j] - x[i] if x[j] <= above[i] else above[i] - above[j]


@njit(cache=True, nogil=True)
def hull_vertices(x, above, y, stack):
    """Write the vertices of the lower hull of (x, y) [V + 1] into ``stack``; return how many."""
    top = 0
    stack[0] = 0
    for j in range(1, x.size):
        while _width(x, above, stack[top], j) <= 0.0 and y[j] <= y[stack[top]]:
            if top == 0:
                break
            top -= 1
        if _width(x, above, stack[top], j) <= 0.0:
            if y[j] <= y[stack[top]]:
                stack[top] = j
            continue
        while top >= 1:
            i, m = stack[top - 1], stack[top]
            left, right = _width(x, above, i, m), _width(x, above, m, j)
            if (y[m] - y[i]) * right < (y[j] - y[m]) * left:
                break
            top -= 1
        top += 1
        stack[top] = j
    return top + 1


def lower_hull(x: np.ndarray, y: np.ndarray, *, above: np.ndarray | None = None) -> np.ndarray:
    """Vertices of the lower hull of points sorted by x.

    Parameters
    ----------
    x, y : ndarray [V+1]
    above : ndarray [V+1], optional
        x[-1] - x, summed from the right: see `otspec.transport.winner.laws.remaining`.

    Returns
    -------
    int ndarray [m]
        Indices in increasing order; of points with equal x only a lowest one.

    Examples
    --------
    >>> lower_hull(np.array([0.0, 0.5, 1.0]), np.array([0.0, -1.0, 0.0])).tolist()
    [0, 1, 2]
    >>> lower_hull(np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 0.0])).tolist()
    [0, 2]
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    stack = np.empty(x.size, dtype=np.int64)
    count = hull_vertices(x, x[-1] - x if above is None else np.asarray(above, dtype=np.float64), y, stack)
    return stack[:count]


@njit(cache=True, nogil=True)
def _steepest_left(x, above, curve, capacity, t, rank, b):
    y_b = curve[b] - t * capacity[b]
    best, dx, dy = -1, 1.0, 0.0
    for j in range(rank + 1):
        width = _width(x, above, j, b)
        if width > 0.0:
            rise = y_b - (curve[j] - t * capacity[j])
            if best < 0 or rise * dx > dy * width:
                best, dx, dy = j, width, rise
    return best, dy / dx


@njit(cache=True, nogil=True)
def _flattest_right(x, above, curve, capacity, t, rank, a):
    y_a = curve[a] - t * capacity[a]
    best, dx, dy = -1, 1.0, 0.0
    for j in range(x.size - 1, rank, -1):
        width = _width(x, above, a, j)
        if width > 0.0:
            rise = (curve[j] - t * capacity[j]) - y_a
            if best < 0 or rise * dx < dy * width:
                best, dx, dy = j, width, rise
    return best, dy / dx


@njit(cache=True, nogil=True)
def _edge_by_hull(x, above, curve, capacity, t, rank):
    y = curve - t * capacity
    stack = np.empty(x.size, np.int64)
    count = hull_vertices(x, above, y, stack)
    i = 1
    while i < count - 1 and stack[i] <= rank:
        i += 1
    return stack[i - 1], stack[i]


@njit(cache=True, nogil=True)
def hull_edge(x, above, curve, capacity, t, rank):
    """Return (a, b), the edge of the lower hull of (x, curve - t capacity) with a <= rank < b."""
    a, b, rounds = -1, x.size - 1, 0
    slope = -np.inf
    while rounds < _ROUNDS:
        left, steep = _steepest_left(x, above, curve, capacity, t, rank, b)
        if a >= 0 and steep <= slope + _MOVE * max(abs(slope), abs(steep)):
            return a, b
        a, slope = left, steep
        right, flat = _flattest_right(x, above, curve, capacity, t, rank, a)
        if flat >= slope - _MOVE * max(abs(slope), abs(flat)):
            return a, b
        b, slope = right, flat
        rounds += 1
    return _edge_by_hull(x, above, curve, capacity, t, rank)


@njit(cache=True, nogil=True)
def hull_cells(x, above, curve, capacity, t, rank, low, high):
    """Write `hull_edge` of every draw [B] into ``low``, ``high`` [B]; curves are [B V+1] or [1 V+1]."""
    # shared curves come as a single row, which serves every draw
    for i in range(t.size):
        row = i if x.shape[0] > 1 else 0
        low[i], high[i] = hull_edge(x[row], above[row], curve[row], capacity[row], t[i], rank[i])
