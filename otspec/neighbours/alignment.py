"""Best-of-n against the best that a divergence can buy: alignment of memoryless models, for long texts.

Definitions. A memoryless reference draws m tokens from a law q; token y has reward r(y) and a text the sum of its
tokens' rewards. With ``L(t) = log sum_y q(y) exp(t r(y))``, the *rate function* is its Legendre transform

    I(x) = sup_t  t x - L(t).

Theorem (the optimum). Among all models with ``KL(model || reference) <= m d`` the largest mean reward per token is the
x above the reference's mean with ``I(x) = d``, attained by the *tilted* law ``q_t ~ q exp(t r)`` with ``L'(t) = x``:
for any model, ``t E[reward] - KL <= m L(t)`` (Gibbs), with equality for the tilted law alone.

Theorem (best-of-n catches up). The best of ``n = exp(m d)`` texts has divergence and mean reward per token that tend to
d and to the optimal x as m grows: by Cramer's theorem a text of reward m x has probability ``exp(-m I(x))`` up to a
power of m, so n texts reach the reward with I(x) = d. [alignment-asymptotics] At every finite m the point of best-of-n
lies on or below the curve of the optimum, and `best_of_n_point` gives it exactly, by convolution.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from otspec.core.checks import as_law, check_number, check_positive
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.neighbours.best_of_n import winner_masses

Array = Any
MAX_SUMS = 10**6


def tilted(law: Array, rewards: Array, t: float) -> np.ndarray:
    """Law proportional to ``law * exp(t * rewards)``, ``[V]``.

    Examples
    --------
    >>> tilted([0.5, 0.5], [0.0, math.log(3.0)], 1.0)
    array([0.25, 0.75])
    """
    law, rewards = _checked(law, rewards)
    powers = t * (rewards - rewards.max() if t > 0 else rewards - rewards.min())
    weights = law * np.exp(powers)
    return weights / weights.sum()


def rate_function(law: Array, rewards: Array, reward: float) -> float:
    """``I(reward)`` in nats per token: how fast a mean reward per token becomes improbable.

    Parameters
    ----------
    law, rewards : [V]
    reward : float

    Returns
    -------
    float
        0 at the mean of the reference, infinite outside the range of the rewards that it draws.

    Examples
    --------
    >>> rate_function([0.5, 0.5], [0.0, 1.0], 1.0) == math.log(2), rate_function([0.5, 0.5], [0.0, 1.0], 0.5)
    (True, 0.0)
    """
    law, rewards = _checked(law, rewards)
    x, drawn = check_number("reward", reward, "give a mean reward per token"), rewards[law > 0]
    if not drawn.min() <= x <= drawn.max():
        return math.inf
    for edge in (drawn.min(), drawn.max()):
        if x == edge:
            return -math.log(min(1.0, law[rewards == edge].sum()))
    t = _root(lambda t: float(tilted(law, rewards, t) @ rewards) - x)
    return max(0.0, t * x - _log_mean_exp(law, rewards, t))


def optimal_reward(law: Array, rewards: Array, divergence: float) -> float:
    """Largest mean reward per token that ``divergence`` nats per token can buy.

    Parameters
    ----------
    law, rewards : [V]
    divergence : float
        At least 0.

    Returns
    -------
    float
        The x with ``rate_function(x) = divergence``; the largest reward where less would do for it.

    Examples
    --------
    >>> optimal_reward([0.5, 0.5], [0.0, 1.0], 0.0), optimal_reward([0.5, 0.5], [0.0, 1.0], 1.0)
    (0.5, 1.0)
    """
    law, rewards = _checked(law, rewards)
    budget = check_number("divergence", divergence, "give nats per token")
    if not budget >= 0:
        raise BadArgument(f"divergence: {divergence} is negative. Fix: give nats per token, at least 0.")
    drawn = rewards[law > 0]
    if budget >= -math.log(min(1.0, law[rewards == drawn.max()].sum())):
        return float(drawn.max())
    if budget == 0:
        return float(law @ rewards)

    def excess(t: float) -> float:
        mean = float(tilted(law, rewards, t) @ rewards)
        return t * mean - _log_mean_exp(law, rewards, t) - budget

    return float(tilted(law, rewards, _root(excess, lower=0.0)) @ rewards)


def best_of_n_point(law: Array, rewards: Array, length: int, rate: float) -> tuple[float, float]:
    """Divergence and mean reward, both per token, of the best of ``exp(length * rate)`` texts, exactly.

    Parameters
    ----------
    law, rewards : [V]
        Rewards are integers, so that few sums occur.
    length : int
        Tokens m of a text.
    rate : float
        ``log(n) / length``, at least 0; n need not be a whole number.

    Returns
    -------
    (float, float)

    Raises
    ------
    BadArgument, ShapeMismatch, TooLarge

    Examples
    --------
    >>> best_of_n_point([0.5, 0.5], [0, 1], 4, 0.0)
    (0.0, 0.5)
    """
    law, rewards = _checked(law, rewards)
    m, pace = check_positive("length", length), check_number("rate", rate, "give log(n) / length")
    if not 0 <= pace * m < 700:
        raise BadArgument(f"rate: {rate} makes n = exp({pace * m:g}). Fix: length * rate between 0 and 700.")
    if not np.all(rewards == np.round(rewards)):
        raise BadArgument("rewards: not whole numbers. Fix: round them to a grid and count its steps.")
    low = int(rewards.min())
    span = int(rewards.max()) - low
    if m * span > MAX_SUMS:
        raise TooLarge(f"{m * span} sums of rewards, more than {MAX_SUMS}. Fix: a coarser grid or a shorter text.",
                       m * span)
    step = np.bincount((rewards - low).astype(np.int64), law)
    sums = np.ones(1)
    for _ in range(m):
        sums = np.convolve(sums, step)
    # every tail is summed from its small end, or F**n would be lost to rounding
    below, above = np.append(0.0, np.cumsum(sums[:-1])), np.append(np.cumsum(sums[:0:-1])[::-1], 0.0)
    best = winner_masses(below, sums, above, math.exp(pace * m))
    best = best / best.sum()
    live = best > 0
    divergence = float((best[live] * (np.log(best[live]) - np.log(sums[live]))).sum())
    return max(0.0, divergence) / m, float(best @ np.arange(sums.size)) / m + low


def _checked(law: Array, rewards: Array) -> tuple[np.ndarray, np.ndarray]:
    law, rewards = np.asarray(as_law("law", law), dtype=np.float64), np.asarray(rewards, dtype=np.float64)
    if law.ndim != 1 or rewards.shape != law.shape:
        raise ShapeMismatch(f"rewards: shape {rewards.shape} with a law of shape {law.shape}. Fix: both [V].")
    if not np.all(np.isfinite(rewards)):
        raise BadArgument("rewards: not all finite. Fix: give every token a number.")
    return law / law.sum(), rewards


def _log_mean_exp(law: np.ndarray, rewards: np.ndarray, t: float) -> float:
    powers = t * rewards
    peak = powers[law > 0].max()
    return float(peak + np.log(law @ np.exp(np.minimum(powers - peak, 0.0))))


def _root(rising: Any, lower: float | None = None) -> float:
    """Zero of a rising function, from a bracket that doubles."""
    from scipy.optimize import brentq

    high = 1.0
    while rising(high) < 0 and high < 1e6:
        high *= 2
    low = -1.0 if lower is None else lower
    while lower is None and rising(low) > 0 and low > -1e6:
        low *= 2
    return float(brentq(rising, low, high, xtol=1e-14, rtol=1e-14))
