"""Budgets handed down: a shape fitted to the text whose widths are fixed before children are drawn. [dyspec].

See the drafter ``"budget_split"``. How many tokens it gives only a measurement can tell.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class BudgetSplit(TreePolicy):
    """The drafter ``"budget_split"`` of the budget, with the table's rates and calibration."""

    name: ClassVar[str] = "budget_split"
    reads: ClassVar[str] = "calibration"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        assert table.calibration is not None  # `plan` has asked for it
        most = min(max_children, table.num_ranks)
        parameters = {"nodes": budget, "rates": table.rates.tolist(), "calibration": asdict(table.calibration),
                      "max_depth": max_depth, "max_children": most}
        return TreePlan(self.name, "budget_split", parameters, budget, most, rule=table.rule, depth=max_depth)
