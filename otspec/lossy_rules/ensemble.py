"""Static ensemble: verify losslessly against the mixture ``weight target + (1 - weight) draft``.

Of one draft this is what ``assistant_ensemble_weight`` does in transformers: keep it with probability
``min(1, 1 - weight + weight target / draft)``, else draw from the excess, which is that of the target. Its price is
``(1 - weight) TV(target, draft)`` and its acceptance ``1 - weight TV(target, draft)``, so it lies on the frontier; for
more drafts it does not, because the mixture moves towards one draft instead of the winner. [diversed]
"""

from __future__ import annotations

from typing import Any, ClassVar

from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement
from otspec.lossy_rules.base import OtherTarget, check_share

Array = Any


class Ensemble(OtherTarget):
    """Mixture of both laws as the target.

    Parameters
    ----------
    scheme : WithReplacement, Hybrid or int
    weight : float
        Of the target, in (0, 1]; 1 is lossless.

    Examples
    --------
    >>> rule = Ensemble(1, weight=0.5)
    >>> float(rule.acceptance([0.5, 0.5], [1.0, 0.0])), float(rule.price([0.5, 0.5], [1.0, 0.0]))
    (0.75, 0.25)
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Hybrid)

    def __init__(self, scheme: DraftScheme | int = 1, *, weight: float = 0.9) -> None:
        super().__init__(scheme)
        self.weight = check_share("weight", weight, above_zero=True)
        self.max_deviation = 2 * (1 - self.weight)

    def _output(self, target: Array, draft: Array) -> Array:
        return self.weight * target + (1 - self.weight) * draft
