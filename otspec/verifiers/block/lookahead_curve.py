"""Curves of the look-ahead rule: how n drafts of different prefixes are thinned by the ranks of their next tokens.

The rank u of a draft is uniform on [0, 1] whatever its prefix. A curve is a convex G from G(0) = 0 to G(1) = 1 with
``G(u) >= u^n``, linear between equidistant knots; those are the cumulative laws that a winner's rank can have. A good
one is the average, over contexts, of the cumulative universal winner laws. We know of no published source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from otspec.core.checks import as_laws, check_positive
from otspec.core.errors import BadArgument

Array = Any
KNOTS = 33
ROUNDING = 1e-9  # a curve averaged over thousands of contexts may miss convexity by its sums


def power_curve(draws: int, knots: int = KNOTS) -> np.ndarray:
    """``u^n`` at equidistant knots, the smallest curve: the largest rank wins.

    Examples
    --------
    >>> power_curve(2, 3).tolist()
    [0.0, 0.25, 1.0]
    """
    return np.linspace(0.0, 1.0, knots) ** draws


def average_curves(target: Array, draft: Array, draws: Iterable[int] = (2, 3, 4), *,
                   knots: int = KNOTS) -> dict[int, np.ndarray]:
    """Average of the cumulative universal winner laws over recorded contexts.

    Parameters
    ----------
    target, draft : [n V]
        Laws of a trace (``trace.target``, ``trace.draft``); contexts on which rules will be compared are better left
        out.
    draws : iterable of int
        Numbers of drafts n.
    knots : int

    Returns
    -------
    dict of int to ndarray [knots]

    Examples
    --------
    >>> average_curves([[0.5, 0.5]], [[0.5, 0.5]], [2], knots=3)[2].tolist()
    [0.0, 0.5, 1.0]
    """
    from otspec.verifiers.tree.winners import game

    _, target, draft = as_laws(target=target, draft=draft)
    at = np.linspace(0.0, 1.0, knots)
    curves = {}
    for count in draws:
        total = np.zeros(knots)
        for p, q in zip(np.asarray(target, dtype=np.float64), np.asarray(draft, dtype=np.float64), strict=True):
            played = game(p, q, check_positive("draws", count))
            total += np.interp(at, played.x, played.winner)
        curves[int(count)] = checked_curve(total / total[-1], int(count))
    return curves


def checked_curve(curve: Array, draws: int) -> np.ndarray:
    """Return a curve as float64 ``[m+1]``, its knots being equidistant.

    Raises
    ------
    BadArgument
        Not from 0 to 1, not convex, or below ``u^n``.
    """
    curve = np.asarray(curve, dtype=np.float64)
    if curve.ndim != 1 or curve.size < 2 or curve[0] != 0 or abs(curve[-1] - 1) > ROUNDING:
        raise BadArgument(f"curves[{draws}]: {curve.shape} values from {curve.ravel()[:1]} to {curve.ravel()[-1:]}. "
                          f"Fix: at least two values at equidistant knots, from 0 to 1.")
    least = power_curve(draws, curve.size)
    if np.any(np.diff(curve, 2) < -ROUNDING) or np.any(curve < least - ROUNDING):
        raise BadArgument(f"curves[{draws}]: not convex, or below u^{draws} at some knot, so that no rule has it. "
                          f"Fix: average_curves(target, draft) makes curves from a trace.")
    # the steps sorted and the power below them: convex to the last digit
    steps = np.sort(np.diff(curve))
    return np.maximum(np.concatenate([[0.0], np.cumsum(steps) / steps.sum()]), least)


def checked_curves(curves: Mapping[int, Array]) -> dict[int, np.ndarray]:
    """Checked curves by number of drafts, all with as many knots.

    Raises
    ------
    BadArgument
    """
    checked = {check_positive("curves", draws): checked_curve(curve, draws) for draws, curve in curves.items()}
    sizes = {curve.size for curve in checked.values()}
    if len(sizes) > 1:
        raise BadArgument(f"curves: {sorted(sizes)} knots. Fix: give all curves the same number.")
    return checked


def pocket_curves() -> dict[int, np.ndarray]:
    """Return the shipped curves: averages over the recorded contexts of the pocket pair."""
    return checked_curves({draws: np.concatenate([[0.0], np.cumsum(steps) / np.sum(steps)])
                           for draws, steps in POCKET_STEPS.items()})


# Steps, in units of 1e-5, of `average_curves` over the recorded contexts of the pocket pair, by number of drafts.
POCKET_STEPS: dict[int, list[int]] = {
    2: [719, 1125, 1371, 1553, 1699, 1839, 1976, 2114, 2226, 2345, 2463, 2565, 2669, 2777, 2874, 2981, 3110, 3256, 3389,
        3512, 3639, 3760, 3893, 4030, 4179, 4331, 4468, 4631, 4791, 4966, 5178, 5571],
    3: [606, 944, 1145, 1289, 1406, 1521, 1635, 1749, 1840, 1942, 2047, 2143, 2243, 2352, 2458, 2577, 2719, 2903, 3079,
        3244, 3426, 3613, 3827, 4063, 4326, 4621, 4909, 5261, 5652, 6109, 6682, 7667],
    4: [572, 890, 1078, 1212, 1321, 1427, 1532, 1636, 1718, 1810, 1903, 1986, 2077, 2177, 2273, 2383, 2513, 2692, 2866,
        3021, 3199, 3389, 3615, 3870, 4183, 4543, 4934, 5410, 5984, 6697, 7676, 9415],
    5: [554, 861, 1043, 1173, 1277, 1379, 1481, 1580, 1657, 1744, 1831, 1908, 1992, 2087, 2177, 2282, 2403, 2574, 2742,
        2888, 3056, 3235, 3457, 3711, 4025, 4396, 4824, 5375, 6081, 6977, 8333, 10896],
    6: [542, 843, 1021, 1148, 1250, 1350, 1449, 1545, 1620, 1703, 1787, 1860, 1941, 2033, 2119, 2220, 2334, 2500, 2661,
        2800, 2957, 3129, 3343, 3586, 3893, 4260, 4698, 5288, 6076, 7105, 8779, 12160],
    8: [527, 823, 996, 1119, 1218, 1315, 1411, 1504, 1575, 1655, 1735, 1803, 1881, 1969, 2051, 2147, 2255, 2413, 2568,
        2697, 2841, 3003, 3206, 3428, 3713, 4063, 4497, 5093, 5947, 7111, 9266, 14168],
}
