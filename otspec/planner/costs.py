"""What a target call and a draft step cost, and the speed-up over plain sampling that follows.

A round of drafts costs its draft steps, one after the other, and one target call that reads every draft and the token
before them; a token of plain sampling costs one target call that reads one token. So

    speed-up = tokens per call * verify(1) / (steps * draft + verify(drafts + 1)).

Costs may be in any unit, as long as it is one. What the rule itself takes is not in them. [leviathan2023]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.decode.drafters.base import Drafter
from otspec.decode.drafters.budget_split import BudgetSplit
from otspec.decode.drafters.calibrated_heap import CalibratedHeap
from otspec.decode.drafters.heap import Heap
from otspec.decode.drafters.likeliest import Likeliest
from otspec.policies.length.base import check_cost

ONE_BY_ONE = (Heap, CalibratedHeap, BudgetSplit, Likeliest)  # drafters that ask the model node after node


@dataclass(frozen=True)
class Costs:
    """Cost of a draft step, and of a target call by the tokens that it reads.

    Parameters
    ----------
    draft : float
        One step of the draft model.
    verify : None, float or mapping of token counts to costs
        A target call: None for one unit however many tokens it reads, a number for that many units, a mapping for a
        measured curve, linear between its points and beyond the last two.
    batch_size : int
        Sequences that are decoded together: a curve is read at ``batch_size`` times as many tokens.

    Raises
    ------
    BadArgument
        A cost that is not positive and finite; a curve of fewer than two points.

    Examples
    --------
    >>> Costs(0.125, {1: 1.0, 17: 2.0}).speedup(3.0, drafts=16, steps=8)
    1.0
    """

    draft: float
    verify: Any = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        """Check the numbers."""
        object.__setattr__(self, "draft", check_cost("draft_cost", self.draft))
        object.__setattr__(self, "batch_size", check_positive("batch_size", self.batch_size))
        if isinstance(self.verify, Mapping):
            points = tuple(sorted((check_positive("verify_cost", tokens), check_cost(f"verify_cost[{tokens}]", cost))
                                  for tokens, cost in self.verify.items()))
            if len(points) < 2:
                raise BadArgument(f"verify_cost: a curve of {len(points)} points. Fix: the cost of calls of at least "
                                  f"two token counts, such as {{1: 1.0, 17: 1.3}}, or one number for all calls.")
            object.__setattr__(self, "verify", points)
        elif self.verify is not None:
            object.__setattr__(self, "verify", check_cost("verify_cost", self.verify))

    def call(self, drafts: int) -> float:
        """Cost of a target call that reads so many drafts of each sequence, and the token before them."""
        if not isinstance(self.verify, tuple):
            return 1.0 if self.verify is None else self.verify
        tokens, costs = np.asarray(self.verify).T
        asked = self.batch_size * (drafts + 1)
        if asked <= tokens[-1]:
            return float(np.interp(asked, tokens, costs))
        slope = max(0.0, (costs[-1] - costs[-2]) / (tokens[-1] - tokens[-2]))
        return float(costs[-1] + slope * (asked - tokens[-1]))

    def factor(self, *, drafts: int, steps: int) -> float:
        """Speed-up for each token per call."""
        return self.call(0) / (steps * self.draft + self.call(drafts))

    def speedup(self, tokens: float, *, drafts: int, steps: int) -> float:
        """Speed-up over plain sampling of so many tokens per call."""
        return tokens * self.factor(drafts=drafts, steps=steps)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        verify = {str(int(at)): cost for at, cost in self.verify} if isinstance(self.verify, tuple) else self.verify
        return {"draft_cost": self.draft, "verify_cost": verify, "batch_size": self.batch_size}

    def __str__(self) -> str:
        """In words."""
        each = f" at batch size {self.batch_size}" if self.batch_size > 1 else ""
        if isinstance(self.verify, tuple):
            last = int(self.verify[-1][0])
            curve = f"target calls by a curve up to {last} tokens ({self.call(0):.3g} plain)"
        else:
            curve = f"{self.call(0):.3g} a target call"
        return f"{self.draft:.3g} a draft step, {curve}{each}"


def draft_steps(drafter: Drafter | None) -> int:
    """Calls of the draft model in a round, one after the other.

    Examples
    --------
    >>> from otspec.decode.drafters import drafter
    >>> draft_steps(drafter("tree", widths=(4, 2))), draft_steps(drafter("heap", nodes=8)), draft_steps(None)
    (2, 8, 0)
    """
    if drafter is None or not drafter.asks_model:
        return 0
    return drafter.num_nodes if isinstance(drafter, ONE_BY_ONE) else drafter.depth


__all__ = ["Costs", "draft_steps"]
