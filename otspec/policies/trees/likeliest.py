"""The likeliest nodes of the whole tree: deterministic drafts of the largest probability. [eagle-2].

Nothing is left to chance, so a rule keeps a node with the target probability of the way to it, and what is accepted in
the mean is the sum of those: the N likeliest nodes under the target would be the best deterministic tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Likeliest(TreePolicy):
    """The drafter ``"likeliest"`` of the budget.

    Examples
    --------
    >>> Likeliest().plan(None, 16).scheme
    'deterministic'
    """

    name: ClassVar[str] = "likeliest"
    reads: ClassVar[str] = "laws"

    def _plan(self, table: AcceptanceTable | None, budget: int, max_depth: int, max_children: int) -> TreePlan:
        parameters = {"nodes": budget, "max_depth": max_depth, "max_children": max_children}
        return TreePlan(self.name, "likeliest", parameters, budget, max_children, scheme="deterministic",
                        depth=max_depth)
