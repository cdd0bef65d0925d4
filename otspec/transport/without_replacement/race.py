r"""Capacities of drafts drawn without replacement, as a one-dimensional race integral.

Definitions. Token i arrives at an independent exponential time of rate q_i; the first k arrivals are
k drafts without replacement. With the tokens in some order, c_j is the probability that all drafts are
among the first j, s_j the mass behind them and N_j(t) their arrivals by time t.

Theorem used: :math:`c_j = \int s_j e^{-s_j t} \Pr[N_j(t) \ge k]\,dt`, the first arrival behind the prefix
being exponential of rate s_j. The polynomial of the counts 0..k-1 is carried from token to token on a
grid in log t, and every increment is integrated by itself after the subtraction of
:math:`(1 - e^{-t})^k`, whose integral is :math:`g(s) = \prod_{l \le k} l / (l + s)`; the integrand then
decays at both ends, so equidistant points in log t converge geometrically.
"""

import math

import numpy as np
from numba import njit

from otspec.core.errors import BadArgument
from otspec.transport.without_replacement.spread import narrow_gaps, reach

__all__ = ["race_containment", "race_increments", "race_lead"]

_STEP = 0.20  # in log t: error below 1e-14 for k <= 8 (0.24: 3e-12, 0.28: 3e-10)
_FROZEN = 1e-20  # a grid point whose Pr[fewer than k arrivals] is below this adds nothing any more
_SETTLED = 60.0  # beyond this time 1 - (1 - e^-t)^k is below 1e-24, so a frozen point stays frozen
_HORIZON = 45.0  # e^-45 = 3e-20: arrivals behind the prefix have ended it by then
_SERIES = 0.01  # below this six terms of the exponential series are exact to 1e-17
_RESYNC = 64  # tokens between exact evaluations of e^(-s t); the products between lose 64 roundings, about 1e-15


@njit(cache=True, nogil=True)
def _suffix_mass(draft, mass):
    """Compensated sums of ``draft`` behind each token: 150,000 plain roundings would show."""
    total, lost = 0.0, 0.0
    for j in range(draft.size - 1, -1, -1):
        mass[j] = total + lost
        new = total + draft[j]
        lost += (total - new) + draft[j] if total >= draft[j] else (draft[j] - new) + total
        total = new


@njit(cache=True, nogil=True, error_model="numpy")
def _head_increments(draft, behind, k, head):
    """g(s) - g(s + q) of every token without cancellation: g(s) times one less the product of 1 - q / (l + s + q)."""
    lost = np.zeros(draft.size)
    head[:] = 1.0
    # the tokens inside: their divisions do not wait for one another
    for order in range(1, k + 1):
        for j in range(draft.size):
            head[j] *= order / (order + behind[j])
            lost[j] += (draft[j] / (order + behind[j] + draft[j])) * (1.0 - lost[j])
    for j in range(draft.size):
        head[j] *= lost[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def _advance(count, times, settled, decay, reached, arrival, q, s, series_end, live, k):
    """Integrate one token's increment (less its head) and add the token to the counts.

    Row 0 of ``count`` [k + 1, points] is zero, row m + 1 holds Pr[m arrivals].
    ``decay`` holds e^(-t (s + q)) on entry and e^(-t s) on exit at the points that matter.
    """
    total = 0.0
    few = count[k]
    # two plain loops, so that the compiler can vectorise the first: nearly all points of a light token
    early = min(max(series_end, 0), live)
    for i in range(early):
        y = q * times[i]
        grown = y * (1 + y * (1 / 2 + y * (1 / 6 + y * (1 / 24 + y * (1 / 120 + y * (1 / 720))))))
        a = grown / (1 + grown)
        after = decay[i] * (1 + grown)
        gap = reached[i] - settled[i]
        total += times[i] * (s * a * after * (gap + few[i]) - q * decay[i] * gap)
        arrival[i] = a
        decay[i] = after
        reached[i] += a * few[i]
    for i in range(early, live):
        a = -math.expm1(-q * times[i])
        after = math.exp(-s * times[i])
        gap = reached[i] - settled[i]
        total += times[i] * (s * a * after * (gap + few[i]) - q * decay[i] * gap)
        arrival[i] = a
        decay[i] = after
        reached[i] += a * few[i]
    # the counts' polynomials times 1 - a + a z, four degrees to a pass: loads and stores are the limit here
    m = k
    while m >= 4:
        for i in range(live):
            a, low = arrival[i], count[m - 4, i]
            first, second, third = count[m - 3, i], count[m - 2, i], count[m - 1, i]
            count[m, i] += a * (third - count[m, i])
            count[m - 1, i] = third + a * (second - third)
            count[m - 2, i] = second + a * (first - second)
            count[m - 3, i] = first + a * (low - first)
        m -= 4
    while m >= 1:
        for i in range(live):
            count[m, i] += arrival[i] * (count[m - 1, i] - count[m, i])
        m -= 1
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def _race_row(draft, k, step, lightest, increments):
    """Fill ``increments`` [V] for one law [V] whose support exceeds k >= 1."""
    size = draft.size
    behind = np.empty(size)
    _suffix_mass(draft, behind)
    smallest = 1.0
    for j in range(size):
        if behind[j] >= lightest:
            smallest = min(smallest, behind[j])
    # the integrand is O(t^(k+1)) near 0, and ends at the horizon of the smallest mass behind a prefix
    first = -44.0 / (k + 1)
    points = int((math.log(_HORIZON / smallest) - first) / step) + 2
    times = np.exp(first + step * np.arange(points))
    settled = (-np.expm1(-times)) ** k
    count = np.zeros((k + 1, points))
    count[1] = 1.0
    reached = np.zeros(points)
    arrival = np.empty(points)
    decay = np.empty(points)
    head = np.empty(size)
    _head_increments(draft, behind, k, head)
    live, seen = points, 0
    for j in range(size):
        q, s = draft[j], behind[j]
        increments[j] = 0.0
        if q <= 0.0:
            continue
        if seen % _RESYNC == 0:
            while times[live - 1] > _SETTLED and count[:, live - 1].sum() < _FROZEN:
                live -= 1
            for i in range(live):
                decay[i] = math.exp(-times[i] * (s + q))
        seen += 1
        light = q * times[live - 1] <= _SERIES
        series_end = live if light else int((math.log(_SERIES) - math.log(q) - first) / step)
        integral = _advance(count, times, settled, decay, reached, arrival, q, s, series_end, live, k)
        if seen >= k:
            increments[j] = max(0.0, head[j] + step * integral)


@njit(cache=True, nogil=True)
def _pair_row(draft, increments):
    """Two drafts: x w_j + q_j W with w = q / (1 - q), sums over the tokens before j, all positive."""
    size = draft.size
    behind = np.empty(size)
    _suffix_mass(draft, behind)
    x, odds = 0.0, 0.0
    for j in range(size):
        q = draft[j]
        # 1 - q would lose the digits of what is left beside a dominant token
        w = q / (x + behind[j])
        increments[j] = x * w + q * odds
        x += q
        odds += w


@njit(cache=True, nogil=True)
def _race_rows(draft, k, step, lightest, increments):
    for row in range(draft.shape[0]):
        support, last = 0, 0
        for j in range(draft.shape[1]):
            if draft[row, j] > 0.0:
                support += 1
                last = j
        if support <= k:
            increments[row] = 0.0
            increments[row, last] = 1.0
        elif k == 1:
            increments[row] = draft[row]
        elif k == 2:
            _pair_row(draft[row], increments[row])
        else:
            _race_row(draft[row], k, step, lightest, increments[row])
        increments[row] /= increments[row].sum()


def race_increments(draft_sorted: np.ndarray, k: int) -> np.ndarray:
    """Increments of Pr[all k drafts are among the first j tokens], drafts without replacement.

    Parameters
    ----------
    draft_sorted : ndarray [*batch V]
        Draft law in any order, usually `otspec.transport.winner.laws.ratio_order`. Every token of
        positive mass takes part, however light.
    k : int
        Number of drafts; at most the support takes part.

    Returns
    -------
    ndarray [*batch V]
        Non-negative, summing to 1.

    Raises
    ------
    BadArgument
        If k is not a whole number of at least 1.

    Examples
    --------
    >>> race_increments([0.5, 0.5], 1).tolist()
    [0.5, 0.5]
    >>> race_increments([0.5, 0.5], 2).tolist()
    [0.0, 1.0]
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise BadArgument(f"k is {k!r}; give a whole number of drafts, at least 1")
    draft = narrow_gaps(np.asarray(draft_sorted, dtype=np.float64), int(k))
    rows = np.ascontiguousarray(draft).reshape(-1, draft.shape[-1])
    increments = np.empty_like(rows)
    _race_rows(rows, int(k), _STEP, reach(int(k)), increments)
    return increments.reshape(draft.shape)


def race_containment(draft: np.ndarray, subset_mask: np.ndarray, k: int) -> np.ndarray:
    """Probability that all k drafts without replacement lie in a subset.

    Parameters
    ----------
    draft : ndarray [*batch V]
    subset_mask : bool ndarray [*batch V]
    k : int

    Returns
    -------
    ndarray [*batch]

    Examples
    --------
    >>> float(race_containment([0.5, 0.25, 0.25], [True, True, False], 1))
    0.75
    """
    draft, mask = np.broadcast_arrays(np.asarray(draft, dtype=np.float64), np.asarray(subset_mask, dtype=bool))
    order = np.argsort(~mask, axis=-1, kind="stable")
    increments = race_increments(np.take_along_axis(draft, order, axis=-1), k)
    inside = np.take_along_axis(mask, order, axis=-1)
    return np.minimum(np.sum(increments * inside, axis=-1), 1.0)


def race_lead(inside: np.ndarray, outside: np.ndarray, goal: int) -> np.ndarray:
    """Law of how many inside tokens arrive before the first outside one, counted up to a goal.

    Parameters
    ----------
    inside : ndarray [m]
        Rates of one group of tokens; they need not sum to 1.
    outside : ndarray [n]
        Rates of the other group. If it is empty, every inside token arrives first.
    goal : int
        Larger numbers count as this one.

    Returns
    -------
    ndarray [goal+1]

    Examples
    --------
    >>> race_lead(np.array([1.0]), np.array([3.0]), 2).tolist()
    [0.75, 0.25, 0.0]
    """
    at_least = np.zeros(goal + 2)
    at_least[0] = 1.0
    rates = np.concatenate([inside, outside])
    for size in range(1, min(goal, int(np.count_nonzero(inside))) + 1):
        at_least[size] = race_increments(rates, size)[: inside.size].sum()
    return at_least[:-1] - at_least[1:]
