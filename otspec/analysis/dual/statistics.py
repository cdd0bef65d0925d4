"""Unbiased estimates of powers and maxima over K independent draws, and what each sample adds to them."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln


def _log_choose(n: np.ndarray | float, k: int) -> np.ndarray:
    n = np.asarray(n, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        value = gammaln(n + 1) - gammaln(k + 1) - gammaln(np.maximum(n - k, 0) + 1)
    return np.where(n >= k, value, -np.inf)


def top_weights(count: int, paths: int) -> np.ndarray:
    """Chance that the i-th smallest of ``count`` values is the largest of ``paths`` of them taken at random.

    Examples
    --------
    >>> top_weights(3, 2)
    array([0.        , 0.33333333, 0.66666667])
    """
    ranks = np.arange(count)
    return np.exp(_log_choose(ranks, paths - 1) - _log_choose(count, paths))


def mean_largest(values: np.ndarray, paths: int) -> float:
    """Estimate ``E max`` of ``paths`` independent values without bias from ``[n]`` of them."""
    return float(np.sort(values) @ top_weights(len(values), paths))


def largest_without(values: np.ndarray, paths: int) -> np.ndarray:
    """`mean_largest` of all values but the i-th, ``[n]``."""
    order = np.argsort(values, kind="stable")
    ranked, count = values[order], len(values)
    weights = top_weights(count - 1, paths)
    before = np.concatenate([[0.0], np.cumsum(ranked[:-1] * weights)])  # values of lower rank keep it
    after = np.concatenate([np.cumsum((ranked[1:] * weights)[::-1])[::-1], [0.0]])  # the others move down by one
    out = np.empty(count)
    out[order] = before + after
    return out


def all_inside(hits: np.ndarray | int, count: int, paths: int) -> np.ndarray:
    """Estimate ``Q**paths`` without bias from ``hits`` of ``count`` draws inside a set of mass Q.

    Examples
    --------
    >>> float(all_inside(2, 4, 2).round(6))
    0.166667
    """
    return np.exp(_log_choose(hits, paths) - _log_choose(count, paths))


def jackknife_variance(without: np.ndarray) -> float:
    """Variance of an estimate from its values ``[n]`` without one sample each."""
    count = len(without)
    return float((count - 1) / count * ((without - without.mean()) ** 2).sum())
