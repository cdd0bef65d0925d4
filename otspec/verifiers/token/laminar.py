"""A near-optimal rule for different drafters at any vocabulary: the laminar plan, then rejection of its winner.

The tokens are sorted once and lie in *cells*, which merge as a uniform time grows; the drafts that lie in the highest
drafted cell hold a tournament, whose odds depend on the cell only (`otspec.transport.drafters.laminar`). The plan's
winner law is known exactly, so the rule loses nothing; `otspec.acceptance_bound` with ``method="laminar"`` says how
much acceptance it may lack. Its exact acceptance is a little more than that lower end, since a token drawn after a
refusal may be a draft by luck.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from otspec.core.drafters import Independent
from otspec.verifiers.token.winner_by_context import WinnerByContext

if TYPE_CHECKING:
    from otspec.transport.drafters.laminar import LaminarPlan


class Laminar(WinnerByContext):
    """Tournament in the highest drafted cell at a random time, then rejection of its winner."""

    schemes: ClassVar[tuple[type, ...]] = (Independent,)

    def _find(self, target: np.ndarray, draft: np.ndarray) -> LaminarPlan:
        from otspec.transport.drafters.laminar import laminar_plan  # compiled by numba: loaded when first used

        return laminar_plan(target, draft)
