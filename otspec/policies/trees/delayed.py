"""Delayed trees: one chain first, then branches. [delayed-trees].

Early tokens are often certain enough for one draft, so branches pay only where the draft model begins to err. A trunk
of L1 tokens is followed by K branches of L2 tokens, which begin with K different tokens; lengths and number are the
best of the budget under the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

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
        alone = np.array([table.at(depth, 1)[0] for depth in range(max_depth)])  # of the only child at each depth
        best, chosen, reach, kept = 0.0, (0, 1, 1), 1.0, 0.0
        for trunk in range(max_depth):
            # tokens of a branch of 1, 2, ... whose first token is accepted
            chain = 1.0 + np.append(0.0, np.cumsum(np.cumprod(alone[trunk + 1 :])))
            for branches in range(1, min(max_children, budget - trunk) + 1):
                length = min(max_depth - trunk, (budget - trunk) // branches)
                value = kept + reach * table.at(trunk, branches).sum() * chain[length - 1]
                if value > best:
                    best, chosen = value, (trunk, branches, length)
            reach *= alone[trunk]
            kept += reach
        trunk, branches, length = chosen
        return self._fixed(table, (1,) * trunk + (branches,) + (1,) * (branches * (length - 1)))
