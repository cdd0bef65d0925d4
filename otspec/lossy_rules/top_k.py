"""Relaxed acceptance: keep the first draft among the target's likeliest tokens, else draw from the target.

``count`` and ``delta`` are what serving engines call top-N and delta of relaxed acceptance: a token counts as likely
if it is among the ``count`` likeliest and at most ``delta`` below the likeliest. [relaxed-acceptance]
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.core.schemes import DraftScheme
from otspec.core.truncation import top_mask
from otspec.lossy_rules.base import check_share
from otspec.lossy_rules.listed import Listed

Array = Any


class TopK(Listed):
    """Acceptance of any of the target's likeliest tokens.

    Parameters
    ----------
    scheme : WithReplacement or int
    count : int
        Tokens that are kept when drafted; those of target mass 0 never are. Ties: the lower id is likelier.
    delta : float
        How much less likely than the likeliest such a token may be, in [0, 1].

    Examples
    --------
    >>> rule = TopK(1, count=1)
    >>> float(rule.acceptance([0.75, 0.25], [0.5, 0.5])), float(rule.price([0.75, 0.25], [0.5, 0.5]))
    (0.625, 0.125)
    """

    def __init__(self, scheme: DraftScheme | int = 1, *, count: int = 10, delta: float = 0.6) -> None:
        super().__init__(scheme)
        self.count, self.delta = check_positive("count", count), check_share("delta", delta)

    def _listed(self, target: Array) -> Array:
        if self.count > target.shape[-1]:
            raise BadArgument(f"count: {self.count} of a vocabulary of {target.shape[-1]}. Fix: at most that many.")
        xp = array_namespace(target)
        near = target >= xp.max(target, axis=-1, keepdims=True) - self.delta
        return top_mask(target, self.count) & near & (target > 0)

    def _fallback(self, target: Array, listed: Array) -> Array:
        return target
