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


def curves_by_draws(curves: Mapping[int, Array] | None) -> dict[int, np.ndarray]:
    """Checked curves; None stands for the shipped ones, and a number of draws without a curve for ``u^n``."""
    if curves is None:
        return {draws: checked_curve(np.concatenate([[0.0], np.cumsum(steps) / np.sum(steps)]), draws)
                for draws, steps in POCKET_STEPS.items()}
    return {check_positive("curves", draws): checked_curve(curve, draws) for draws, curve in curves.items()}


# Steps, in units of 1e-5, of `average_curves` over the recorded contexts of the pocket pair, by number of drafts.
POCKET_STEPS: dict[int, list[int]] = {}
