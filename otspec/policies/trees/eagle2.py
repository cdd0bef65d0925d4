"""EAGLE-2's tree: expand the likeliest nodes of each depth, then keep the likeliest of all. [eagle-2].

The tree is a function of the draft laws, so the drafts have one-hot laws. A policy that draws its tokens and then keeps
some of them by what was drawn is another thing, and lawful for no rule: what was left out is missing from the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.core.checks import check_positive
from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class EagleTwo(TreePolicy):
    """The drafter ``"rerank"`` of the budget.

    Parameters
    ----------
    width : int
        Nodes that are expanded at each depth, and tokens that each proposes; bounded by ``max_children``.
    depth : int
        Depths that are expanded; bounded by ``max_depth``.

    Examples
    --------
    >>> EagleTwo().plan(None, 16).parameters
    {'nodes': 16, 'width': 8, 'max_depth': 6}
    """

    width: int = 8
    depth: int = 6

    name: ClassVar[str] = "eagle2"
    reads: ClassVar[str] = "laws"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("width", self.width)
        check_positive("depth", self.depth)

    def _plan(self, table: AcceptanceTable | None, budget: int, max_depth: int, max_children: int) -> TreePlan:
        width, depth = min(self.width, max_children), min(self.depth, max_depth)
        nodes = min(budget, width + (depth - 1) * width**2)
        return TreePlan(self.name, "rerank", {"nodes": nodes, "width": width, "max_depth": depth}, nodes, width,
                        scheme="deterministic", depth=depth)
