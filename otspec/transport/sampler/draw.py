"""One optimal draw end to end, compiled: sort by target/draft, winner law, hull cell, winner, accept or residual.

Everything after the sort is a handful of passes over the row in work space that is allocated once a batch; the
residual is summed only where the winner was rejected. Arrays of other libraries, on any device, go to the same draw in
whole-array operations, `otspec.transport.sampler.draw_parallel`.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from otspec.transport.sampler.edge import hull_edge
from otspec.transport.sampler.pick import pick_race, pick_replacement
from otspec.transport.winner.laws import ratio_order
from otspec.transport.winner.majorant import pool_increments
from otspec.transport.winner.sorted_laws import sampled_increments
from otspec.transport.without_replacement.spread import narrow_gaps


@njit(cache=True, nogil=True)
def _cumulate(values, knots):
    """Sums from the left, from exactly 0 to exactly 1."""
    knots[0] = 0.0
    for j in range(values.size):
        knots[j + 1] = knots[j] + values[j]
    last = knots[values.size]
    for j in range(1, values.size + 1):
        knots[j] /= last


@njit(cache=True, nogil=True)
def _remain(values, above):
    """Sums from the right: what lies at and above each knot, accurate where it is small."""
    size = values.size
    above[size] = 0.0
    for j in range(size - 1, -1, -1):
        above[j] = above[j + 1] + values[j]
    first = above[0]
    for j in range(size):
        above[j] /= first


@njit(cache=True, nogil=True)
def _power_increments(draft, x, draws, increments):
    """Increments of x**draws, each relatively exact: ``q sum_i upto**i below**(draws-1-i)``."""
    for j in range(draft.size):
        total, power = 1.0, 1.0
        for _ in range(draws - 1):
            power *= x[j + 1]
            total = total * x[j] + power
        increments[j] = draft[j] * total


@njit(cache=True, nogil=True)
def _minimal(target, capacity, law, lift):
    """Increments of ``P + h``, h the running maximum of ``(capacity - P)+`` from both ends towards its peak."""
    size = target.size
    total, best = 0.0, 0.0
    lift[0] = 0.0
    for j in range(size):
        total += target[j]
        best = max(best, capacity[j + 1] - total)
        lift[j + 1] = best
    best = 0.0
    for j in range(size, 0, -1):
        best = max(best, capacity[j] - total)
        lift[j] = min(lift[j], best)
        total -= target[j - 1]
    for j in range(size):
        law[j] = max(target[j] + lift[j + 1] - lift[j], 0.0)


@njit(cache=True, nogil=True)
def _quantile(law, uniform):
    """Token at the ``uniform`` quantile of non-negative weights; -1 where they are all zero."""
    mass = 0.0
    for i in range(law.size):
        mass += law[i]
    level, reached, last = uniform * mass, 0.0, -1
    for i in range(law.size):
        if law[i] > 0.0:
            last = i
            reached += law[i]
            if reached > level:
                break
    return last


@njit(cache=True, nogil=True)
def _draw_rows(target, draft, order, raced, draws, tokens, uniforms, race, minimal, out):
    """Write the emitted token of every row into ``out`` [B]."""
    size = target.shape[1]
    p, law, increments = np.empty((1, size)), np.empty((1, size)), np.empty((1, size))
    q = np.empty((1, size))
    x, above, winner, capacity = np.empty(size + 1), np.empty(size + 1), np.empty(size + 1), np.empty(size + 1)
    width, height, start = np.empty(size), np.empty(size), np.empty(size + 1, np.int64)
    excess, drafted = np.empty(size), np.zeros(size, np.bool_)
    ranks, slot = np.empty((1, tokens.shape[1]), np.int64), np.empty(1, np.int64)
    low, high = np.empty(1, np.int64), np.empty(1, np.int64)
    for row in range(target.shape[0]):
        if draws[row] == 0:
            out[row] = _quantile(target[row], uniforms[row, 2])
            continue
        scale_p, scale_q = target[row].sum(), draft[row].sum()
        for token in tokens[row]:
            if token >= 0:
                drafted[token] = True
        ranks[:] = -1
        for j in range(size):
            token = order[row, j]
            p[0, j] = target[row, token] / scale_p
            q[0, j] = draft[row, token] / scale_q
            if drafted[token]:
                for i in range(tokens.shape[1]):
                    if tokens[row, i] == token:
                        ranks[0, i] = j
                drafted[token] = False
        _cumulate(q[0], x)
        _remain(q[0], above)
        if race:
            increments[0] = raced[row]
        else:
            _power_increments(q[0], x, draws[row], increments[0])
        _cumulate(increments[0], capacity)
        if minimal:
            _minimal(p[0], capacity, law[0], winner)
        else:
            pool_increments(p, increments, law, width, height, start)
        _cumulate(law[0], winner)
        low[0], high[0] = hull_edge(x, above, winner, capacity, uniforms[row, 0], ranks.max())
        if race:
            pick_race(q, low, high, ranks, uniforms[row : row + 1, 3:], slot)
        else:
            pick_replacement(low, ranks, uniforms[row : row + 1, 3], slot)
        chosen = ranks[0, slot[0]]
        if uniforms[row, 1] * law[0, chosen] < p[0, chosen]:
            out[row] = tokens[row, slot[0]]
            continue
        for j in range(size):
            excess[order[row, j]] = max(p[0, j] - law[0, j], 0.0)
        token = _quantile(excess, uniforms[row, 2])
        out[row] = token if token >= 0 else _quantile(target[row], uniforms[row, 2])


def draw_tokens(target: np.ndarray, draft: np.ndarray, tokens: np.ndarray, uniforms: np.ndarray, *,
                replacement: bool, minimal: bool = False) -> np.ndarray:
    """Emit one token per row by the convex-hull sampler.

    Parameters
    ----------
    target : [B V] float64
    draft : [B V] float64
        Law of the sampled drafts.
    tokens : [B n]
        Sampled drafts in drawing order; -1 where one is absent.
    uniforms : [B m]
        T, acceptance, residual, then the pick inside the cell: one number with replacement, n without.
    replacement : bool
    minimal : bool
        Use the minimal winner law instead of the universal one.

    Returns
    -------
    [B] int64

    Examples
    --------
    >>> laws = np.array([[0.5, 0.5]])
    >>> draw_tokens(laws, laws, np.array([[1]]), np.zeros((1, 4)), replacement=True).tolist()
    [1]
    """
    if not isinstance(target, (np.ndarray, list)):
        from otspec.transport.sampler.draw_parallel import draw_tokens_parallel

        return draw_tokens_parallel(target, draft, tokens, uniforms, replacement=replacement, minimal=minimal)
    target, draft = (np.ascontiguousarray(law, dtype=np.float64) for law in (target, draft))
    draws = (tokens >= 0).sum(axis=-1)
    if not replacement:
        anything = np.where(draft.any(axis=-1, keepdims=True), draft, target)  # any law where nothing is sampled
        draft = narrow_gaps(anything, int(draws.max(initial=1)))
    order = ratio_order(target, draft)
    raced = np.empty((len(target), 0))
    if not replacement:
        raced = sampled_increments(np.take_along_axis(draft, order, axis=-1), draws, race=True)
    out = np.empty(len(target), dtype=np.int64)
    _draw_rows(target, draft, order, raced, draws, np.ascontiguousarray(tokens, dtype=np.int64),
               np.ascontiguousarray(uniforms, dtype=np.float64), not replacement, minimal, out)
    return out
