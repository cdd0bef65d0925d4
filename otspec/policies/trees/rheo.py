"""RheoSampling's tree: EAGLE-2's, with one sampled token among the candidates of each node. [rheo].

The public descriptions fix the pool of candidates and what ranks the sampled one; see `otspec.decode.drafters.rheo`,
our reconstruction. What is kept depends on the tokens drawn, but whether a drawn token is kept does not depend on which
token it is: lawful for Traversal and for the walk of the optimal token rule, not for UniVer, which tries the draw
before tokens whose place in the tree decides whether the draw has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.core.checks import check_positive
from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Rheo(TreePolicy):
    """The drafter ``"rheo"`` of the budget.

    Parameters
    ----------
    width : int
        Nodes that are expanded at each depth, and candidates of each; bounded by ``max_children``.
    depth : int
        Depths that are expanded; bounded by ``max_depth``.

    Examples
    --------
    >>> Rheo().plan(None, 16).parameters
    {'nodes': 16, 'width': 8, 'max_depth': 6}
    """

    width: int = 8
    depth: int = 6

    name: ClassVar[str] = "rheo"
    reads: ClassVar[str] = "laws"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("width", self.width)
        check_positive("depth", self.depth)

    def _plan(self, table: AcceptanceTable | None, budget: int, max_depth: int, max_children: int) -> TreePlan:
        width, depth = max(2, min(self.width, max_children)), min(self.depth, max_depth)
        nodes = min(budget, width + (depth - 1) * width**2)
        return TreePlan(self.name, "rheo", {"nodes": nodes, "width": width, "max_depth": depth}, nodes,
                        min(nodes, width), scheme="greedy", adaptive_widths=True, depth=depth)
