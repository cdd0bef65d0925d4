"""Delayed trees: one chain first, then branches. [delayed-trees].

Early tokens are often certain enough for one draft, so branches pay only where the draft model begins to err. A trunk
of L1 tokens is followed by K branches of L2 tokens, which begin with K different tokens; lengths and number are the
best of the budget under the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from otspec.policies.trees.base import TreePlan, TreePolicy
from otspec.policies.trees.table import AcceptanceTable


@dataclass(frozen=True)
class Delayed(TreePolicy):
    """Trunk, then branches of equal length.

    Examples
    --------
    >>> Delayed().plan([[0.9, 0.0], [0.5, 0.5], [0.1, 0.0]], 5).text
    '1(1 1)'
    """

    name: ClassVar[str] = "delayed"

    def _plan(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> TreePlan:
        shapes = (_counts(trunk, branches, length) for trunk in range(max_depth)
                  for branches in range(1, min(max_children, budget - trunk) + 1)
                  for length in range(1, min(max_depth - trunk, (budget - trunk) // branches) + 1))
        # the first of equal ones, which is the smallest
        return self._fixed(table, max(shapes, key=lambda counts: float(table.reached(counts).sum())))


def _counts(trunk: int, branches: int, length: int) -> tuple[int, ...]:
    return (1,) * trunk + (branches,) + (1,) * (branches * (length - 1))
