"""Sequoia's tree: the best of its budget if acceptance depends on the rank of a child alone. [sequoia].

Rates are pooled over depths. Sequoia measures them for recursive rejection without replacement; measured for another
rule they give the tree that Sequoia would draw for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.programme import Programme
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Sequoia(TreePolicy):
    """Dynamic programme on rates by rank.

    Examples
    --------
    >>> Sequoia().plan([0.6, 0.3], 4).text
    '(2 .)'
    """

    name: ClassVar[str] = "sequoia"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        return self._fixed(table, Programme(table.pooled(), budget, max_depth, max_children).counts())
