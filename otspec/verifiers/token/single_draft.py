"""Single-draft speculative sampling: keep the draft with probability ``min(1, target / draft)``, else the excess.

Theorem: lossless, and its acceptance ``1 - TV(target, draft)`` is the optimum for one draft.
[leviathan2023] [chen2023]
"""

from __future__ import annotations

from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.errors import SchemeMismatch
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import rejection_law

Array = Any


class SingleDraft(TokenVerifier):
    """Speculative sampling of one draft.

    Raises
    ------
    SchemeMismatch
        A scheme of more than one draft.

    Examples
    --------
    >>> float(SingleDraft(1).acceptance([0.5, 0.5], [1.0, 0.0]))
    0.5
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Hybrid)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        super().__init__(scheme)
        if self.scheme.num_drafts != 1:
            raise SchemeMismatch(
                f"SingleDraft is proved for one draft; {self.scheme} has {self.scheme.num_drafts}. "
                f"Fix: use 'naive' to test the first draft only, or a rule for several drafts.")

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        return rejection_law(target, draft, tokens[..., 0])

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Overlap of the two laws, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        return xp.sum(xp.minimum(target, draft), axis=-1)
