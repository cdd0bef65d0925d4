"""Speculative sampling of the first draft; the token drawn after a rejection may be one of the other drafts.

Lossless because the first draft alone is used. Acceptance counts membership in all drafts: for i.i.d. drafts
``sum min(target, draft) + sum (target - draft)+ (1 - (1 - draft)^(k-1))``. [leviathan2023]
"""

from __future__ import annotations

from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.laws import positive_part
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import excess_law, rejection_law
from otspec.verifiers.token.second_draw import split_peak

Array = Any


class Naive(TokenVerifier):
    """Put the first draft to rejection and ignore the others.

    Examples
    --------
    >>> float(Naive(2).acceptance([0.5, 0.5], [1.0, 0.0]))
    0.5
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement)

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        return rejection_law(target, draft, tokens[..., 0])

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """Overlap plus the excess that hits a later draft, ``[*batch]``; None for k >= 3 without replacement."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        overlap = xp.sum(xp.minimum(target, draft), axis=-1)
        k = self.scheme.num_drafts
        if k == 1:
            return overlap
        if isinstance(self.scheme, WithReplacement):
            return overlap + xp.sum(positive_part(target - draft) * (1 - (1 - draft) ** (k - 1)), axis=-1)
        return overlap + self._second_hit(target, draft) if k == 2 else None

    def _second_hit(self, target: Array, draft: Array) -> Array:
        # a rejected x has no excess, so the excess token never equals it and the sum over pairs factorises
        xp = array_namespace(target, draft)
        excess = excess_law(target, draft)
        refused = positive_part(draft - target)
        peak, others, after_peak = split_peak(draft)
        zero = xp.zeros_like(refused)
        after_others = xp.sum(xp.where(peak, zero, refused) / (1 - others), axis=-1) * xp.sum(excess * draft, axis=-1)
        return after_others + xp.sum(xp.where(peak, refused, zero), axis=-1) * xp.sum(excess * after_peak, axis=-1)
