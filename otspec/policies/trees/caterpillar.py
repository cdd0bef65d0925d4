"""Caterpillars: one deep chain, and siblings beside its nodes, most of them near the root.

Only first children have children. Where a rule keeps the first child far more often than its siblings, the best tree of
a budget is close to one; its drafts need one step of the draft model for each node of the chain, whatever the budget.
With W_d(n) the most tokens of an accepted node of the chain at depth d and n nodes below it,
``W_d(n) = 1 + max over widths w of a_1 W_{d+1}(n - w) + a_2 + .. + a_w``. [traversal]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.shapes import Shape, counts_of
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Caterpillar(TreePolicy):
    """The best chain with leaves beside it.

    Examples
    --------
    >>> Caterpillar().plan([0.6, 0.3], 5).text
    '((1 .) .)'
    """

    name: ClassVar[str] = "caterpillar"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        value, widths = np.ones(budget + 1), []
        for depth in range(max_depth - 1, -1, -1):
            value, width = _step(table, depth, value, max_children)
            widths.append(width)
        left, chain = budget, []
        for choice in reversed(widths):
            chain.append(int(choice[left]))
            left -= chain[-1]
        shape: Shape = ()
        for count in reversed(chain):
            shape = (shape, *[()] * (count - 1)) if count else ()
        return self._fixed(table, counts_of(shape))


def _step(table: AcceptanceTable, depth: int, below: np.ndarray, max_children: int) -> tuple[np.ndarray, np.ndarray]:
    """Value ``[N+1]`` of a node of the chain and the number of its children, from the value one depth further."""
    made = np.full((max_children + 1, below.size), -np.inf)
    if depth:  # a tree has a node
        made[0] = 1.0
    for width in range(1, min(max_children, below.size - 1) + 1):
        rates = table.at(depth, width)
        made[width, width:] = 1.0 + rates[0] * below[: below.size - width] + rates[1:].sum()
    return made.max(axis=0), made.argmax(axis=0)
