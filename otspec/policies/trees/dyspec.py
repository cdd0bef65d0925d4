"""DySpec's tree: a heap on draft probabilities, grown anew for every text. [dyspec].

The policy takes the draft probability of a child for the chance that it is kept, so it reads no table; how many tokens
it gives only a measurement can tell. The number of children of a node depends on the children drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.core.errors import BadArgument
from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class DySpec(TreePolicy):
    """The drafter ``"heap"`` of the budget.

    Examples
    --------
    >>> DySpec().plan(None, 16)
    TreePlan(dyspec, 16 nodes, without_replacement, adaptive widths)
    """

    name: ClassVar[str] = "dyspec"
    reads: ClassVar[str] = "laws"

    def _plan(self, table: AcceptanceTable | None, budget: int, max_depth: int, max_children: int) -> TreePlan:
        if max_children < budget:
            raise BadArgument(f"max_children: {max_children}, but this heap bounds its depth only. Fix: leave it out, "
                              f"or 'calibrated_heap'.")
        return TreePlan(self.name, "heap", {"nodes": budget, "max_depth": max_depth}, budget, budget,
                        adaptive_widths=True, depth=max_depth)
