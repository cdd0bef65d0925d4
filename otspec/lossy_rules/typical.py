"""Typical acceptance: keep the first draft with ``target > min(threshold, alpha exp(-entropy of the target))``.

The likeliest token has a mass of at least ``exp(-entropy)``, so for ``alpha < 1`` it is typical. When no draft is, the
token is drawn from the typical ones. The draft law plays no part in what is kept, so no parameter bounds the price:
it is what it is for the laws at hand. [medusa]
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.errors import BadArgument
from otspec.core.laws import normalized_or
from otspec.core.schemes import DraftScheme
from otspec.lossy_rules.base import check_share
from otspec.lossy_rules.listed import Listed

Array = Any


class Typical(Listed):
    """Entropy threshold on the target's mass of a draft.

    Parameters
    ----------
    scheme : WithReplacement or int
    threshold : float
        Mass above which a token is always typical, in (0, 1].
    alpha : float
        Share of ``exp(-entropy)`` above which it is as well, in (0, 1).

    Examples
    --------
    >>> rule = Typical(1)
    >>> float(rule.acceptance([0.5, 0.5], [1.0, 0.0])), float(rule.price([0.5, 0.5], [1.0, 0.0]))
    (1.0, 0.5)
    """

    def __init__(self, scheme: DraftScheme | int = 1, *, threshold: float = 0.09, alpha: float = 0.3) -> None:
        super().__init__(scheme)
        self.threshold = check_share("threshold", threshold, above_zero=True)
        self.alpha = check_share("alpha", alpha, above_zero=True)
        if self.alpha == 1:
            raise BadArgument("alpha: 1 leaves no typical token where the target is uniform. Fix: less than 1.")

    def _listed(self, target: Array) -> Array:
        xp = array_namespace(target)
        one = xp.ones_like(target)
        entropy = -xp.sum(target * xp.log(xp.where(target > 0, target, one)), axis=-1, keepdims=True)
        bar = self.alpha * xp.exp(-entropy)
        return target > xp.where(bar < self.threshold, bar, self.threshold * xp.ones_like(bar))

    def _fallback(self, target: Array, listed: Array) -> Array:
        xp = array_namespace(target)
        return normalized_or(xp.where(listed, target, xp.zeros_like(target)), target)
