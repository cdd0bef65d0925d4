"""SpecDec++: stop as soon as a refusal among the drafts so far is too likely. [specdec++].

With ``a_i`` the chance that token i is accepted, at least one of k drafts is refused with probability
``1 - a_1 .. a_k``. A token drafted behind a refused one is wasted, so drafting stops above a threshold; see
`otspec.policies.length.stopping` for what is optimal about that. The chances come from a predictor fitted on recorded
blocks; without one, they are the true chances, which a drafter cannot know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.policies.length.base import LengthPolicy, cheapest, check_cost, check_share
from otspec.policies.length.blocks import Blocks, Seen
from otspec.policies.length.fixed import unfitted
from otspec.policies.length.predictor import AcceptancePredictor

GRID = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.975, 0.99, 0.995, 0.999)


@dataclass(frozen=True)
class SpecDecPlusPlus(LengthPolicy):
    """Stop where the predicted probability of a refusal so far exceeds ``threshold``.

    Parameters
    ----------
    threshold : float
    max_length : int
    weight : float
        Of refusals when the predictor is fitted; the paper tries 1, 3, 6 and 12.
    predictor : AcceptancePredictor, optional
        `fitted` makes one.

    Examples
    --------
    >>> SpecDecPlusPlus(max_length=8).threshold
    0.7
    """

    threshold: float = 0.7
    max_length: int = 20
    weight: float = 6.0
    predictor: AcceptancePredictor | None = None

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "threshold", check_share("threshold", self.threshold))
        check_positive("max_length", self.max_length)
        check_cost("weight", self.weight)

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> SpecDecPlusPlus:
        """Fit the predictor, then choose threshold and length (up to ``max_length``) of least cost per token."""
        self._check_blocks(blocks)
        learned = replace(self, predictor=AcceptancePredictor.fit(blocks, weight=self.weight))
        return cheapest(_candidates(learned), blocks, draft_cost, verify_cost)

    def stops(self, seen: Seen) -> np.ndarray:
        """Look at all tokens drafted so far."""
        if self.predictor is None:
            raise unfitted(self)
        return 1.0 - self.predictor(seen).prod(axis=1) > self.threshold


@dataclass(frozen=True)
class TrueThreshold(LengthPolicy):
    """The same with the true chances instead of predicted ones: what a perfect predictor would gain.

    Examples
    --------
    >>> TrueThreshold(0.5, 4).needs_target
    True
    """

    needs_target = True

    threshold: float = 0.7
    max_length: int = 8

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "threshold", check_share("threshold", self.threshold))
        check_positive("max_length", self.max_length)

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> TrueThreshold:
        """Choose threshold and length (up to ``max_length``) of least cost per token."""
        self._check_blocks(blocks)
        return cheapest(_candidates(self), blocks, draft_cost, verify_cost)

    def stops(self, seen: Seen) -> np.ndarray:
        """Look at the target's chances of all tokens drafted so far."""
        assert seen.chances is not None  # who asks knows the target
        return 1.0 - seen.chances.prod(axis=1) > self.threshold


def _candidates(policy: Any) -> list[Any]:
    return [replace(policy, threshold=value, max_length=length) for length in range(1, policy.max_length + 1)
            for value in GRID]
