"""Means over an exponential time, to rounding: the trapezoidal rule in the logarithm of the time.

``E f(T)`` for a standard exponential T is the integral of ``f(e^y) e^{y - e^y}`` over all y. For the f of this package,
polynomials in ``e^{-c t}``, the integrand is analytic in a strip around the real axis and dies off at both ends, so the
trapezoidal rule converges exponentially in the step.
"""

from __future__ import annotations

from functools import cache

import numpy as np

STEP = 0.15
# e^-35 of the mass lies to the left of the first node, and e^-40 to the right of the last
FIRST, LAST = -35.0, 3.7


@cache
def exponential_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Times and weights, which sum to one.

    Examples
    --------
    >>> time, weight = exponential_nodes()
    >>> round(float(weight @ time), 14), round(float(weight @ np.exp(-3 * time)), 14)
    (1.0, 0.25)
    """
    time = np.exp(np.arange(FIRST, LAST, STEP))
    weight = time * np.exp(-time)
    return time, weight / weight.sum()
