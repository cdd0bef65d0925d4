"""A heap on measured rates: best first by what was kept on calibration contexts. [dyspec].

How many tokens it gives only a measurement can tell. The number of children of a node depends on the children drawn.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import ClassVar

from otspec.core.errors import SchemeMismatch
from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class CalibratedHeap(TreePolicy):
    """The drafter ``"calibrated_heap"`` of the budget, with the table's calibration."""

    name: ClassVar[str] = "calibrated_heap"
    reads: ClassVar[str] = "calibration"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        assert table.calibration is not None  # `plan` has asked for it
        if table.calibration.by_width:
            raise SchemeMismatch(f"table: {table!r} has rates for each number of children, which a heap does not know "
                                 f"before they are drawn. Fix: 'budget_split', or the table of a rule that tries child "
                                 f"after child, such as 'traversal'.")
        parameters = {"nodes": budget, "calibration": asdict(table.calibration), "max_depth": max_depth,
                      "max_children": max_children}
        return TreePlan(self.name, "calibrated_heap", parameters, budget, max_children, adaptive_widths=True,
                        rule=table.rule, depth=max_depth)
