"""The best fixed tree for the rule that will verify it: acceptance by depth, rank and, where it matters, width.

It is Sequoia's programme on the whole table. A rule that weighs whole blocks keeps a deep node more often than a
shallow one, so its best tree is longer; a rule with a winner among n children has other rates for each n. [sequoia]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.programme import Programme
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Fitted(TreePolicy):
    """Dynamic programme on rates by depth, rank and width.

    Examples
    --------
    >>> Fitted().plan([[0.5, 0.3], [0.9, 0.0], [0.1, 0.0]], 4).text  # two depths are worth it
    '(1 1)'
    """

    name: ClassVar[str] = "fitted"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        return self._fixed(table, Programme(table, budget, max_depth, max_children).counts())
