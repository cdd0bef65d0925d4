"""Evidence against a law, valid at any time one looks, and bounds on the distance of what emits from it.

Counts ``n_i`` of independent outcomes are compared with a law ``p`` through a bet against it: the ratio of the
likelihood under a mixture of other laws to that under ``p``. Under ``p`` its mean is 1 whatever has been seen before,
so that it exceeds ``1/alarm`` *ever* with probability at most ``alarm`` (Ville's inequality): looking early, often, or
only at what is suspicious costs nothing, and no approximation for large counts is made. [ramdas2023]

* The laws betted on are Dirichlet around ``p``, at concentrations from 1 to 10^6, and Dirichlet(1/2), which sees
  outcomes that ``p`` holds for almost impossible.
* Bets on several readings of the same outcomes (a text; each of its tokens) are averaged. Bets on independent cases
  are multiplied, each with one part in m of the money, ``prod(1 - 1/m + E_i/m)``: evidence adds up over cases.
* Distance: with n independent outcomes in c cells, ``|TV(counts/n, p) - TV(law, p)|`` is at most
  ``sqrt((c - 1)/n)/2 + sqrt(log(1/error)/(2 n))`` with probability ``1 - error`` (mean by Cauchy-Schwarz, then
  McDiarmid).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from otspec.core.errors import BadArgument

CONCENTRATIONS = 10.0 ** np.arange(7)
SIMULATED = 400  # runs behind a statement of power: .99 is known within .005
CELLS = 5_000  # most cells that are simulated; of more, each bet is a sum that is as good as normal
SIZES = 63  # steps of 12 % that are searched first, and then again as long as the last one is too small


def log_evidence(counts: np.ndarray, law: np.ndarray) -> np.ndarray:
    """Logarithm of the evidence that counts ``[*batch cells]`` are not drawn from ``law`` ``[cells]``, ``[*batch]``.

    Infinite where an outcome of probability zero was seen.

    Examples
    --------
    >>> bool(log_evidence(np.array([50, 50]), np.array([0.5, 0.5])) < 0)
    True
    >>> bool(log_evidence(np.array([80, 20]), np.array([0.5, 0.5])) > 10)
    True
    """
    from scipy.special import gammaln

    counts, law = np.asarray(counts, dtype=np.float64), np.asarray(law, dtype=np.float64)
    kept = law > 0
    impossible = counts[..., ~kept].sum(axis=-1) > 0
    counts, law = counts[..., kept], law[kept] / law.sum()
    total, null = counts.sum(axis=-1), counts @ np.log(law)
    bets = []
    for prior in (*(strength * law for strength in CONCENTRATIONS), np.full(law.size, 0.5)):
        weight = prior.sum()
        bets.append(gammaln(weight) - gammaln(weight + total) + (gammaln(prior + counts) - gammaln(prior)).sum(axis=-1))
    return np.where(impossible, np.inf, mean_evidence(bets) - null)


def mean_evidence(readings: list[np.ndarray]) -> np.ndarray:
    """Logarithm of the mean of evidences that rest on the same outcomes."""
    values = np.stack(readings)
    top = values.max(axis=0)
    with np.errstate(invalid="ignore"):  # infinite where one is
        return np.where(np.isfinite(top), np.log(np.exp(values - top).mean(axis=0)) + top, top)


def pooled_evidence(cases: list[float]) -> float:
    """Logarithm of the evidence of independent cases together.

    Examples
    --------
    >>> round(pooled_evidence([0.0, 0.0]), 12), pooled_evidence([np.inf, -3.0])
    (0.0, inf)
    """
    share = 1 / len(cases)
    with np.errstate(divide="ignore"):
        rest = math.log1p(-share) if share < 1 else -math.inf
        return float(sum(np.logaddexp(rest, math.log(share) + value) for value in cases))


def margin(total: int, cells: int, error: float) -> float:
    """Distance within which the total variation of counts is that of their law, with probability ``1 - error``.

    Examples
    --------
    >>> margin(10**6, 2, 0.01) < 0.003
    True
    """
    return min(1.0, math.sqrt(max(cells - 1, 0) / total) / 2 + math.sqrt(math.log(1 / error) / (2 * total)))


def hidden(law: np.ndarray, tv: float) -> np.ndarray:
    """Law at distance ``tv`` that is hardest to tell from ``law``: mass moved between two halves, in proportion.

    Examples
    --------
    >>> hidden(np.array([0.5, 0.5]), 0.1)
    array([0.6, 0.4])
    """
    order, high, low = np.argsort(-law, kind="stable"), 0.0, 0.0
    up = np.zeros(law.size, dtype=bool)
    for token in order:  # the larger half first: halves of nearly the same mass
        up[token] = high <= low
        high, low = high + law[token] * up[token], low + law[token] * ~up[token]
    if low == 0:  # one outcome alone: whatever is emitted instead is impossible
        return law.copy()
    moved = min(tv, low)
    other = np.maximum(np.where(up, law * (1 + moved / high), law * (1 - moved / low)), 0.0)
    return other / other.sum()


def calls_needed(readings: list[np.ndarray], tv: float, alarm: float, power: float) -> int:
    """Outcomes after which the law that is hardest to tell, at distance ``tv``, raises the alarm.

    Parameters
    ----------
    readings : list of [cells]
        The law, and the laws of what else is read from an outcome; those can only help, and pay their share.
    tv, alarm, power : float
        ``alarm`` is that of one case: the budget over the number of cases.

    Returns
    -------
    int
        By simulation with a fixed seed, so that the same question has the same answer.

    Examples
    --------
    >>> 5_000 < calls_needed([np.full(5, 0.2)], 0.05, 1e-4, 0.99) < 10_000
    True
    """
    law = readings[0].ravel()
    return _calls_needed(np.sort(law[law > 0] / law.sum()).tobytes(), len(readings), tv, alarm, power)


@lru_cache(maxsize=512)
def _calls_needed(masses: bytes, readings: int, tv: float, alarm: float, power: float) -> int:
    law = np.frombuffer(masses)
    if law.size == 1:  # a deviation emits something impossible
        return math.ceil(math.log(1 - power) / math.log1p(-tv))
    other, rng = hidden(law, tv), np.random.default_rng(0)
    level = math.log(1 / alarm) + 1 + math.log(readings)
    simulated = _normal_evidence if law.size > CELLS else _counted_evidence

    def suffices(step: int) -> bool:
        return bool((simulated(_size(tv, step), other, law, rng) >= level).mean() >= power)

    low, high = 0, SIZES
    while True:
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if suffices(middle) else (middle + 1, high)
        if low % SIZES or not low or suffices(low):  # the last of a range is an answer only if it was seen to be one
            return _size(tv, low)
        low, high = low + 1, low + SIZES


def _counted_evidence(total: int, other: np.ndarray, law: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Evidence ``[runs]`` against ``law`` of that many outcomes of another."""
    return log_evidence(rng.multinomial(total, other, size=SIMULATED), law)


def _normal_evidence(total: int, other: np.ndarray, law: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same where both laws have many cells and few different masses, without a count of each cell.

    The counts are independent Poisson numbers whose sum is held fixed, and a bet is a sum of one function of each: the
    bets are nearly normal together, with the moments of what the functions leave when a line is taken off.
    """
    from scipy.special import gammaln

    kinds, cells = np.unique(np.stack([law, other]), axis=1, return_counts=True)
    (mean, slope), spread = np.zeros((2, len(CONCENTRATIONS) + 1)), []
    for (null, mass), many in zip(kinds.T, cells, strict=True):
        rate = total * mass
        least, most = max(0.0, np.floor(rate - 12 * rate**0.5)), np.ceil(rate + 12 * rate**0.5 + 12)
        count = np.linspace(least, most, int(min(most - least + 1, 4001)))  # all whole numbers, or points of a grid
        chance = np.exp(count * math.log(rate) - rate - gammaln(count + 1)) if rate > 0 else count == 0
        chance = chance / chance.sum()
        bets = np.array([gammaln(prior + count) - gammaln(prior) for prior in (*CONCENTRATIONS * null, 0.5)])
        bets -= count * math.log(null)
        mean += many * (bets @ chance)
        off = count - count @ chance
        slope += many * (bets @ (chance * off)) / total
        spread.append((many * chance, bets - (bets @ chance)[:, None], off))
    left = [(weight, bets - slope[:, None] * off) for weight, bets, off in spread]
    covariance = sum((bets * weight) @ bets.T for weight, bets in left)
    weights = np.array([*CONCENTRATIONS, law.size / 2])
    mean += gammaln(weights) - gammaln(weights + total)
    return mean_evidence(list(rng.multivariate_normal(mean, covariance, size=SIMULATED, method="eigh").T))


def _size(tv: float, step: int) -> int:
    number = 10 / tv**2 * 1.12**step if tv > 1e-150 else math.inf
    if number >= 2**62:
        raise BadArgument(f"tv: {tv:g} takes more than 2**62 outcomes to find. Fix: a larger tv.")
    return math.ceil(number)
