"""The optimum for draws with replacement without sorting the vocabulary.

The optimum is ``1 + min (P - x**k)`` over the prefixes of the tokens sorted by target/draft, with P and x the target
and draft mass of the prefix. Tokens are thrown into buckets of nearly equal ratio, read off the leading bits of the
quotient. Within a bucket whose smallest ratio is r, a prefix that adds draft mass d adds at least ``r d`` of target
mass, and ``P + r d - (x + d)**k`` is concave in d: its minimum lies at an end of the bucket. Only buckets whose
bound beats the best prefix found so far are sorted; usually that is one bucket of some dozens of tokens, so the cost
is one pass over the vocabulary.
"""

from __future__ import annotations

import numpy as np
from numba import njit

_SHIFT = 46  # drops all but six bits of the mantissa: 64 buckets for each power of two
_LOWEST = (1023 - 32) << 6  # ratios below 2**-32 share the first bucket, those above 2**32 the last
_BUCKETS = 64 * 64


@njit(cache=True, nogil=True)
def _fill(target, draft, bits, weight, mass, least):
    """Sum target and draft mass per bucket and note each bucket's smallest ratio; return both totals."""
    total_target, total_draft = 0.0, 0.0
    for i in range(target.size):
        total_target += target[i]
        if draft[i] <= 0.0:
            continue
        total_draft += draft[i]
        b = min(max((bits[i] >> _SHIFT) - _LOWEST, 0), _BUCKETS - 1)
        weight[b] += target[i]
        mass[b] += draft[i]
        ratio = target[i] / draft[i]
        least[b] = min(least[b], ratio)
    return total_target, total_draft


@njit(cache=True, nogil=True)
def _within(target, draft, bits, bucket, base, x, scale, k, best):
    """Best prefix that ends inside one bucket, its tokens sorted by ratio."""
    count = 0
    for i in range(target.size):
        if draft[i] > 0.0 and min(max((bits[i] >> _SHIFT) - _LOWEST, 0), _BUCKETS - 1) == bucket:
            count += 1
    chosen = np.empty(count, dtype=np.int64)
    ratio = np.empty(count)
    count = 0
    for i in range(target.size):
        if draft[i] > 0.0 and min(max((bits[i] >> _SHIFT) - _LOWEST, 0), _BUCKETS - 1) == bucket:
            chosen[count] = i
            ratio[count] = target[i] / draft[i]
            count += 1
    for j in np.argsort(ratio):
        base += target[chosen[j]] / scale[0]
        x += draft[chosen[j]] / scale[1]
        best = min(best, base - min(x, 1.0) ** k)
    return best


@njit(cache=True, nogil=True)
def _row(target, draft, bits, k):
    weight, mass = np.zeros(_BUCKETS), np.zeros(_BUCKETS)
    least = np.full(_BUCKETS, np.inf)
    scale = _fill(target, draft, bits, weight, mass, least)
    best, base, x = 0.0, 0.0, 0.0
    for b in range(_BUCKETS):
        if mass[b] > 0.0:
            base += weight[b] / scale[0]
            x += mass[b] / scale[1]
            best = min(best, base - min(x, 1.0) ** k)
    base, x = 0.0, 0.0
    for b in range(_BUCKETS):
        if mass[b] > 0.0:
            step = mass[b] / scale[1]
            low = base + least[b] * step * (scale[1] / scale[0]) - min(x + step, 1.0) ** k
            if low < best:
                best = _within(target, draft, bits, b, base, x, scale, k, best)
            base += weight[b] / scale[0]
            x += step
    return 1.0 + best


@njit(cache=True, nogil=True)
def _rows(target, draft, bits, k, out):
    for i in range(target.shape[0]):
        out[i] = _row(target[i], draft[i], bits[i], k)


def replacement_optimum(target: np.ndarray, draft: np.ndarray, k: int) -> np.ndarray:
    """Optimal acceptance of k draws with replacement, ``[*batch V] -> [*batch]``.

    Examples
    --------
    >>> float(replacement_optimum(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 2))
    0.75
    """
    shape, size = target.shape[:-1], target.shape[-1]
    target = np.ascontiguousarray(target, dtype=np.float64).reshape(-1, size)
    draft = np.ascontiguousarray(draft, dtype=np.float64).reshape(-1, size)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        bits = (target / draft).view(np.int64)
    out = np.empty(len(target))
    _rows(target, draft, bits, k, out)
    return out.reshape(shape)
