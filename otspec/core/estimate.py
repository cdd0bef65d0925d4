"""A number with its uncertainty: exact values and Monte-Carlo means share one type.

A standard error that was itself estimated from few samples is uncertain: the mean of ``n`` normal samples, in units
of its own standard error, has Student's t law with ``n - 1`` degrees of freedom, whose tails are far heavier than the
normal's (at 5 degrees of freedom ``|t| > 3.6`` in 1.5 % of runs). Every "z" of this package therefore means a
probability: `normal_score` is the normal score with the tail probability of a t, `critical` its inverse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np

from otspec.core.checks import check_number
from otspec.core.errors import BadArgument
from otspec.core.showing import public_names

_SMALLEST_TAIL = 1e-290


def normal_score(t: float, dof: float | None) -> float:
    """Return the z whose normal tail probability is that of ``t`` under Student's t with ``dof`` degrees of freedom.

    Parameters
    ----------
    t : float
        A difference in units of its estimated standard error.
    dof : float or None
        Degrees of freedom; None where the standard error is known.

    Examples
    --------
    >>> round(normal_score(3.0, 5), 2), normal_score(3.0, None)
    (2.17, 3.0)
    """
    if dof is None or not math.isfinite(t):
        return t
    from scipy.special import ndtri, stdtr

    tail = float(stdtr(dof, -abs(t)))
    if tail > _SMALLEST_TAIL:
        return math.copysign(float(ndtri(tail)), t)
    # beyond the floats, Wallace's approximation: at 36 it is .05 % low with 200 degrees of freedom, 1 % with 20
    return math.copysign(math.sqrt(dof * math.log1p(t * t / dof)) * (8 * dof + 1) / (8 * dof + 3), t)


def critical(z: float, dof: float | None) -> float:
    """Return how many estimated standard errors have the tail probability of ``z`` under the normal law.

    Examples
    --------
    >>> round(critical(3.0, 5), 2), critical(3.0, None)
    (5.51, 3.0)
    """
    if dof is None:
        return z
    from scipy.special import ndtr, stdtrit

    tail = float(ndtr(-abs(z)))
    if tail > _SMALLEST_TAIL:
        return math.copysign(float(stdtrit(dof, tail)), z)
    exponent = (z * (8 * dof + 3) / (8 * dof + 1)) ** 2 / dof
    return math.copysign(math.sqrt(dof * math.expm1(exponent)) if exponent < 709 else math.inf, z)


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Parameters
    ----------
    mean : float
    stderr : float
        Standard error of the mean; 0 for an exact value, infinite where a single sample leaves it unknown.
    n : int or None
        Number of independent samples; None for an exact value.
    dof : float or None
        Degrees of freedom of the standard error; None where it is known rather than estimated from samples.

    Examples
    --------
    >>> Estimate.from_samples([1.0, 1.0, 1.0]).covers(1.0)
    True
    """

    mean: float
    stderr: float = 0.0
    n: int | None = None
    dof: float | None = None
    __dir__ = public_names

    def __post_init__(self) -> None:
        for name, value in (("mean", self.mean), ("stderr", self.stderr)):
            object.__setattr__(self, name, check_number(name, value, "a number"))
        for name, count in (("n", self.n), ("dof", self.dof)):
            if count is not None:
                check_number(name, count, "a number of samples, or None")

    @classmethod
    def from_samples(cls, samples: Iterable[float]) -> Estimate:
        """Mean and standard error of independent samples (at least two)."""
        values = np.asarray(samples, dtype=np.float64).ravel()
        if values.size < 2:
            raise BadArgument(f"samples: {values.size} given, a standard error needs at least 2. Fix: draw more.")
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)), int(values.size),
                   values.size - 1)

    @classmethod
    def from_ratio(cls, numerator: Iterable[float], denominator: Iterable[float]) -> Estimate:
        """Ratio of two means over the same independent units (delta method), such as tokens per call.

        Raises
        ------
        BadArgument
            Fewer than two pairs, or denominators without a positive sum.
        """
        top = np.asarray(numerator, dtype=np.float64).ravel()
        bottom = np.asarray(denominator, dtype=np.float64).ravel()
        if top.size != bottom.size or top.size < 2:
            raise BadArgument(f"samples: {top.size} numerators and {bottom.size} denominators. Fix: give >= 2 pairs.")
        if not bottom.sum() > 0:
            raise BadArgument(f"denominator: sums to {bottom.sum():g}, by which nothing is divided. Fix: units whose "
                              f"denominators have a positive sum.")
        ratio = float(top.sum() / bottom.sum())
        spread = float(np.std(top - ratio * bottom, ddof=1)) / (float(bottom.mean()) * math.sqrt(top.size))
        return cls(ratio, spread, int(top.size), top.size - 1)

    @classmethod
    def from_groups(cls, means: Iterable[float], errors: Iterable[float], size: int) -> Estimate:
        """Mean of group means, each from ``size`` samples of its own with its own standard error.

        The degrees of freedom are Welch's: ``(sum e^2)^2 / sum(e^4 / (size - 1))``.
        """
        means, errors = (np.asarray(part, dtype=np.float64).ravel() for part in (means, errors))
        largest = float(errors.max())
        shares = (errors / largest) ** 2 if largest > 0 else errors
        dof = (size - 1) * float(shares.sum()) ** 2 / float((shares**2).sum()) if largest > 0 else None
        stderr = largest * math.sqrt(float(shares.sum())) / means.size
        return cls(float(means.mean()), stderr, size * means.size, dof)

    def covers(self, exact: float, z: float = 5.0) -> bool:
        """Whether ``exact`` lies within the bounds that a normal mean leaves as rarely as ``z`` standard errors.

        That is ``critical(z, dof)`` standard errors, plus rounding (1e-12 relative).
        """
        exact = check_number("exact", exact, "the value to compare with")
        return abs(self.mean - exact) <= self.margin(z) + 1e-12 * max(1.0, abs(exact))

    def margin(self, z: float = 1.96) -> float:
        """Half the width of `interval`: ``critical(z, dof)`` standard errors."""
        z = check_number("z", z, "a number of standard errors")
        return critical(z, self.dof) * self.stderr if self.stderr > 0 else 0.0

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Mean minus and plus the margin that covers as often as ``z`` standard errors of a normal mean."""
        return self.mean - self.margin(z), self.mean + self.margin(z)

    def score(self, exact: float = 0.0) -> float:
        """Distance from ``exact`` as a normal score; infinite where samples without any spread miss it."""
        gap = self.mean - exact
        if gap == 0:
            return 0.0
        return normal_score(gap / self.stderr, self.dof) if self.stderr > 0 else math.copysign(math.inf, gap)

    def __float__(self) -> float:
        """Return the mean."""
        return self.mean

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        return f"<b>{escape(str(self))}</b>"

    def __str__(self) -> str:
        """Mean, with the standard error and n where there is one."""
        if math.isinf(self.stderr):
            return f"{self.mean:.4f} (n={self.n}: no standard error)"
        return f"{self.mean:.6g}" if self.n is None else f"{self.mean:.4f} ± {self.stderr:.4f} (n={self.n})"


def ratio_of(numerator: np.ndarray, denominator: np.ndarray) -> Estimate:
    """`Estimate.from_ratio`; a single pair gives the ratio with an infinite, that is unknown, standard error.

    Examples
    --------
    >>> print(ratio_of(np.array([5.0]), np.array([2.0])))
    2.5000 (n=1: no standard error)
    """
    if np.size(numerator) == np.size(denominator) == 1:
        return Estimate(float(np.ravel(numerator)[0] / np.ravel(denominator)[0]), math.inf, 1)
    return Estimate.from_ratio(numerator, denominator)
