"""A number with its uncertainty: exact values and Monte-Carlo means share one type."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from otspec.core.errors import BadArgument


@dataclass(frozen=True)
class Estimate:
    """A mean with its standard error.

    Parameters
    ----------
    mean : float
    stderr : float
        Standard error of the mean; 0 for an exact value.
    n : int or None
        Number of independent samples; None for an exact value.

    Examples
    --------
    >>> Estimate.from_samples([1.0, 1.0, 1.0]).covers(1.0)
    True
    """

    mean: float
    stderr: float = 0.0
    n: int | None = None

    @classmethod
    def from_samples(cls, samples: Iterable[float]) -> Estimate:
        """Mean and standard error of independent samples (at least two)."""
        values = np.asarray(samples, dtype=np.float64).ravel()
        if values.size < 2:
            raise BadArgument(f"samples: {values.size} given, a standard error needs at least 2. Fix: draw more.")
        return cls(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)), int(values.size))

    @classmethod
    def from_ratio(cls, numerator: Iterable[float], denominator: Iterable[float]) -> Estimate:
        """Ratio of two means over the same independent units (delta method), such as tokens per call."""
        top = np.asarray(numerator, dtype=np.float64).ravel()
        bottom = np.asarray(denominator, dtype=np.float64).ravel()
        if top.size != bottom.size or top.size < 2:
            raise BadArgument(f"samples: {top.size} numerators and {bottom.size} denominators. Fix: give >= 2 pairs.")
        ratio = float(top.sum() / bottom.sum())
        spread = float(np.std(top - ratio * bottom, ddof=1)) / (float(bottom.mean()) * math.sqrt(top.size))
        return cls(ratio, spread, int(top.size))

    def covers(self, exact: float, z: float = 5.0) -> bool:
        """Whether ``exact`` lies within ``z`` standard errors (plus rounding, 1e-12 relative)."""
        return abs(self.mean - exact) <= z * self.stderr + 1e-12 * max(1.0, abs(exact))

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Mean minus and plus ``z`` standard errors."""
        return self.mean - z * self.stderr, self.mean + z * self.stderr

    def __float__(self) -> float:
        """Return the mean."""
        return self.mean

    def __str__(self) -> str:
        """Mean, with the standard error and n where there is one."""
        return f"{self.mean:.6g}" if self.n is None else f"{self.mean:.4f} ± {self.stderr:.4f} (n={self.n})"
