r"""Chance that recursive rejection refuses every one of up to four drafts without replacement, at any vocabulary.

Definitions. Let :math:`E(\lambda) = \sum (p - \lambda q)_+` for target p and draft law q. Stage i refuses a draft and
leaves a residual; *left* is the draft mass that no refused draft has taken.

Theorem used: every residual is :math:`(p - \lambda q)_+ / E(\lambda)`, with :math:`\lambda_0 = 0` and
:math:`\lambda_{i+1} = \lambda_i + E(\lambda_i) / left`: a refused token has no residual any more, so it matters by its
mass alone. Stage i refuses token x with probability :math:`(\lambda_{i+1} q_x - \max(p_x, \lambda_i q_x))_+ /
E(\lambda_i)`, and the last one refuses anything with probability :math:`E(\lambda_k) / E(\lambda_{k-1})`.

Two refused tokens are summed one by one. The third runs over the heavy tokens one by one and over groups of light
tokens of similar mass: as E is convex, the group's mean of 1 / left bounds the sum from below and the chord between
the group's ends from above. Both ends are returned, with all that was left out counted in the upper one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from otspec.transport.without_replacement.spread import narrow_gaps

MAX_DRAFTS = 4
_LEFT_OUT = 1e-10  # probability of first, and of second tokens that are not looked at
_FEW = 1e7  # sums of so many terms leave nothing out
_LIGHT = 0.005  # share of what is left below which tokens are grouped: eight terms of 1 / (1 - share) are exact
_TERMS = 8
_SHRINK = 0.4  # each group this much lighter than the one before, the last without end
_GROUPS = 5


@njit(cache=True, nogil=True)
def _above(ratio, level):
    """Return how many of the descending ratios exceed a level."""
    low, high = 0, ratio.size
    while low < high:
        middle = (low + high) // 2
        if ratio[middle] > level:
            low = middle + 1
        else:
            high = middle
    return low


@njit(cache=True, nogil=True, inline="always")
def _forward(ratio, level, place):
    """`_above` where at least ``place`` ratios exceed the level: most steps are short, some cross the vocabulary."""
    step = 1
    while place + step <= ratio.size and ratio[place + step - 1] > level:
        place += step
        step *= 2
    while step > 1:
        step //= 2
        if place + step <= ratio.size and ratio[place + step - 1] > level:
            place += step
    return place


@njit(cache=True, nogil=True, inline="always")
def _left(tail, q, first, second, third):
    """Mass without some tokens, ascending indices into descending masses (-1: none), by sums where it is small."""
    if first != 0:
        mass = tail[0] - q[first]
        start = 0
    else:
        mass, start = tail[1], 1
    if second >= 0:
        if start == 1 and second == 1:
            mass, start = tail[2], 2
        else:
            mass -= q[second]
    if third >= 0:
        if start == 2 and third == 2:
            mass = tail[3]
        else:
            mass -= q[third]
    return mass


@njit(cache=True, nogil=True, inline="always")
def _refused(p, q, before, after):
    return max(after * q - max(p, before * q), 0.0)


@njit(cache=True, nogil=True)
def _last_needed(p, q, skip, before, after, most):
    """Index behind the last token needed if those left out may be refused with weight ``most``; and their weight."""
    total, stop = 0.0, q.size
    while stop > 0:
        weight = 0.0 if stop - 1 == skip else _refused(p[stop - 1], q[stop - 1], before, after)
        if total + weight > most:
            break
        total += weight
        stop -= 1
    return stop, total


@njit(cache=True, nogil=True)
def _two_left(p, q, tail, curve, x, level, excess, stop, first_excess):
    """Sum over the second refused token, times E of the third level."""
    ratio, target, draft = curve
    total, place = 0.0, -1
    for y in range(stop):
        weight = 0.0 if y == x else _refused(p[y], q[y], 1.0, level)
        if weight <= 0.0:
            continue
        last = level + excess / _left(tail, q, min(x, y), max(x, y), -1)
        place = _above(ratio, last) if place < 0 else _forward(ratio, last, place)
        total += weight * max(target[place] - last * draft[place], 0.0)
    return total / (first_excess * excess)


@njit(cache=True, nogil=True)
def _heavy_third(p, q, tail, curve, heavy, low_token, high_token, levels, excess):
    """Sum over third refused tokens z < heavy of their weight times E of the fourth level; and the last place."""
    ratio, target, draft = curve
    second, level = levels
    total, place = 0.0, -1
    for z in range(heavy):
        weight = 0.0 if z in (low_token, high_token) else _refused(p[z], q[z], second, level)
        if weight <= 0.0:
            continue
        if z > high_token:
            left = _left(tail, q, low_token, high_token, z)
        elif z > low_token:
            left = _left(tail, q, low_token, z, high_token)
        else:
            left = _left(tail, q, z, low_token, high_token)
        last = level + excess / left
        place = _above(ratio, last) if place < 0 else _forward(ratio, last, place)
        total += weight * max(target[place] - last * draft[place], 0.0)
    return total, max(place, 0)


@njit(cache=True, nogil=True)
def _group_weight(here, before, levels, mine, other, q_x, q_y, left):
    """Weight of a group of third tokens, and its sum of weight / (left - q): ``mine``, ``other`` are taken off."""
    second, level = levels
    weight, total, power = 0.0, 0.0, 1.0 / left
    for term in range(here.shape[0]):
        part = level * here[term, 0] - here[term, 1] - second * before[term, 0] + before[term, 1] - mine - other
        mine *= q_x
        other *= q_y
        if term == 0:
            weight = part
        total += part * power
        power /= left
    return weight, total


@njit(cache=True, nogil=True)
def _light_third(q, curve, groups, moments, x, y, levels, excess, places, left, place):
    """Both bounds of the sum over the third refused tokens in groups."""
    ratio, target, draft = curve
    second, level = levels
    lower, upper = 0.0, 0.0
    for g in range(groups.size - 1):
        start, stop = groups[g], groups[g + 1]
        if start == stop:
            continue
        mine = (level - second) * q[x] if start <= x < stop else 0.0
        other = (level - second) * q[y] if start <= y < stop else 0.0
        weight, total = _group_weight(moments[places[1], g], moments[places[0], g], levels, mine, other, q[x], q[y],
                                      left)
        if weight <= 0.0:
            continue
        steep, flat = 1.0 / (left - q[start]), 1.0 / (left - q[stop - 1])
        mean = min(max(total / weight, flat), steep)
        last = level + excess * steep
        place = _forward(ratio, last, place)
        at_steep = max(target[place] - last * draft[place], 0.0)
        last = level + excess * mean
        place = _forward(ratio, last, place)
        lower += weight * max(target[place] - last * draft[place], 0.0)
        last = level + excess * flat
        place = _forward(ratio, last, place)
        at_flat = max(target[place] - last * draft[place], 0.0)
        share = (mean - flat) / (steep - flat) if steep > flat else 0.0
        upper += weight * (at_flat + (at_steep - at_flat) * share)
    return lower, upper


@njit(cache=True, nogil=True)
def _three_left(p, q, tail, curve, groups, moments, x, level, excess, places, stop, first_excess):
    """Both bounds of the sum over the second and third refused tokens."""
    ratio, target, draft = curve
    lower, upper = 0.0, 0.0
    for y in range(stop):
        weight = 0.0 if y == x else _refused(p[y], q[y], 1.0, level)
        if weight <= 0.0:
            continue
        low_token, high_token = min(x, y), max(x, y)
        left = _left(tail, q, low_token, high_token, -1)
        levels = (level, level + excess / left)
        places[1] = _above(ratio, levels[1])
        remains = max(target[places[1]] - levels[1] * draft[places[1]], 0.0)
        if remains <= 0.0:
            continue
        heavy, place = _heavy_third(p, q, tail, curve, groups[0], low_token, high_token, levels, remains)
        low, high = _light_third(q, curve, groups, moments, x, y, levels, remains, places, left, place)
        scale = weight / (first_excess * excess * remains)
        lower += scale * (heavy + low)
        upper += scale * (heavy + high)
    return lower, upper


@njit(cache=True, nogil=True)
def _refuse_all(p, q, tail, curve, groups, moments, k, left_out):
    """Bounds of the chance that all of 2 .. 4 drafts are refused."""
    ratio, target, draft = curve
    place = _above(ratio, 1.0)
    first_excess = max(target[place] - draft[place], 0.0)
    if first_excess <= 0.0:
        return 0.0, 0.0
    places = np.empty(2, np.int64)
    stop_x, out = _last_needed(p, q, -1, 0.0, 1.0, left_out)
    lower, upper = 0.0, out
    for x in range(stop_x):
        weight = _refused(p[x], q[x], 0.0, 1.0)
        if weight <= 0.0:
            continue
        level = 1.0 + first_excess / _left(tail, q, x, -1, -1)
        places[0] = _above(ratio, level)
        excess = max(target[places[0]] - level * draft[places[0]], 0.0)
        if excess <= 0.0:
            continue
        if k == 2:
            low = high = excess / first_excess
        else:
            # the rarer the first token, the less its second ones matter
            allowed = left_out * first_excess * max(1.0, 1.0 / (weight * stop_x))
            stop_y, out = _last_needed(p, q, x, 1.0, level, allowed)
            if k == 3:
                low = high = _two_left(p, q, tail, curve, x, level, excess, stop_y, first_excess)
            else:
                low, high = _three_left(p, q, tail, curve, groups, moments, x, level, excess, places, stop_y,
                                        first_excess)
            high += out / first_excess
        lower += weight * low
        upper += weight * high
    return lower, upper


def refusal_bounds(target: np.ndarray, draft: np.ndarray, k: int) -> tuple[float, float]:
    """Bounds of the chance that recursive rejection refuses all k <= 4 drafts without replacement of one context.

    Parameters
    ----------
    target, draft : ndarray [V] float64
    k : int

    Returns
    -------
    lower, upper : float
        Equal but for rounding on small vocabularies, less than 2e-9 apart on recorded laws of 2,048 tokens.

    Examples
    --------
    >>> refusal_bounds(np.array([0.0, 0.0, 1.0]), np.array([0.5, 0.5, 0.0]), 2)
    (1.0, 1.0)
    """
    k = min(k, int(np.count_nonzero(draft)))
    target = target / target.sum()
    draft = narrow_gaps(draft, k)
    if k == 1:
        refused = float(np.maximum(target - draft, 0.0).sum())
        return refused, refused
    heavy = np.argsort(-draft, kind="stable")[: np.count_nonzero(draft)]
    p, q = target[heavy], draft[heavy]
    tail = np.append(np.cumsum(q[::-1])[::-1], np.zeros(2))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        ratio = np.where(draft > 0, target / draft, np.where(target > 0, np.inf, 0.0))
    order = np.argsort(-ratio, kind="stable")
    curve = ratio[order], np.append(0.0, np.cumsum(target[order])), np.append(0.0, np.cumsum(draft[order]))
    groups, moments = np.zeros(1, np.int64), np.zeros((1, 0, _TERMS, 2))
    if k == MAX_DRAFTS:
        groups = _groups(q, tail[k - 1])
        moments = _moments(target[order], draft[order], q, groups)
    left_out = _LEFT_OUT if float(q.size) ** (k - 1) > _FEW else 0.0
    return _refuse_all(p, q, tail, curve, groups, moments, k, left_out)


def _groups(q: np.ndarray, left: float) -> np.ndarray:
    """Ends of the groups of light tokens, the first of which also counts the heavy ones."""
    limits = left * _LIGHT * _SHRINK ** np.arange(_GROUPS)
    return np.append(np.searchsorted(-q, -limits, side="left"), q.size).astype(np.int64)


def _moments(target: np.ndarray, draft: np.ndarray, q: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums ``[V+1, group, term, 2]`` of ``draft**(term+1)`` and ``target draft**term`` from each place on."""
    size = draft.size
    moments = np.zeros((size + 1, groups.size - 1, _TERMS, 2))
    # equal masses stand side by side, so a mass tells the group
    place = np.searchsorted(-q, -draft, side="left")
    for g in range(groups.size - 1):
        member = (place >= groups[g]) & (place < groups[g + 1]) & (draft > 0)
        for term in range(_TERMS):
            for part, values in enumerate((draft ** (term + 1), target * draft**term)):
                moments[:-1, g, term, part] = np.cumsum(np.where(member, values, 0.0)[::-1])[::-1]
    return moments
