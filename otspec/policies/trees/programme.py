"""The tree of a budget that keeps most tokens under an acceptance table, by dynamic programming. [sequoia].

Let V_d(n) be the tokens that an accepted node at depth d and at most n nodes below it give, the node itself included.
With rates a_r of its w children, ``V_d(n) = 1 + max sum_r a_r V_{d+1}(m_r - 1)`` over widths w and shares
``m_1 + .. + m_w <= n``: a max-plus convolution for each child, of N^2 steps. Where the rates do not depend on w a child
is added to those of smaller rank; otherwise each width has a convolution of its own.
Exact for the table: tokens per call is ``V_0(N)``, the one of the root being the token that every call adds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from otspec.policies.trees.shapes import Shape, counts_of
from otspec.policies.trees.table import AcceptanceTable


class Forest(NamedTuple):
    """Best children for every budget: value ``[N+1]``, and the share ``[w N+1]`` of each rank, 0 for no child."""

    value: np.ndarray
    shares: np.ndarray


class Level(NamedTuple):
    """Best value ``[N+1]`` of the children of a node at one depth, and which of the forests ``made`` has it."""

    value: np.ndarray
    choice: np.ndarray
    made: tuple[Forest, ...]


def forest(rates: np.ndarray, worth: np.ndarray, *, least: int) -> Forest:
    """Children of one node, at least ``least`` of them, where a child of share m is worth ``worth[m]`` when accepted.

    Parameters
    ----------
    rates : [w]
    worth : [N+1]
        ``-inf`` where a share is impossible, as 0 is.
    """
    size, ranks = worth.size, len(rates)
    ahead = np.arange(size)[:, None] - np.arange(size)[None, :]
    value, shares = np.zeros(size), np.zeros((ranks, size), dtype=np.int64)
    offered = np.where(worth > -np.inf, worth, 0.0)
    for rank in range(ranks - 1, -1, -1):
        gain = np.where(worth > -np.inf, rates[rank] * offered, -np.inf)
        table = np.where(ahead >= 0, gain[None, :] + value[np.maximum(ahead, 0)], -np.inf)
        share = table.argmax(axis=1)
        best = table[np.arange(size), share]
        if rank >= least:  # a child that adds nothing is not drafted, nor are those after it
            share, best = np.where(best > 0, share, 0), np.maximum(best, 0.0)
        value, shares[rank] = best, share
    return Forest(value, shares)


class Programme:
    """Values V_d and best children for every depth and budget.

    Parameters
    ----------
    table : AcceptanceTable
    budget, max_depth, max_children : int

    Examples
    --------
    >>> Programme(AcceptanceTable([0.5, 0.4]), 3, 3, 2).counts()
    (2, 1)
    """

    def __init__(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> None:
        self.table, self.budget, self.widest = table, budget, max_children
        self.values, self.levels = [np.ones(budget + 1)], []
        for depth in range(max_depth - 1, -1, -1):
            level = self._level(depth, np.append(-np.inf, self.values[-1][:-1]))
            self.values.append(1.0 + level.value)
            self.levels.append(level)
        self.values.reverse()
        self.levels.reverse()

    def _level(self, depth: int, worth: np.ndarray) -> Level:
        least = int(depth == 0)  # a tree has a node
        if not self.table.by_width:
            only = forest(self.table.at(depth, self.widest), worth, least=least)
            return Level(only.value, np.zeros(worth.size, dtype=np.int64), (only,))
        made = [forest(self.table.at(depth, width), worth, least=width) for width in range(least, self.widest + 1)]
        values = np.stack([one.value for one in made])
        return Level(values.max(axis=0), values.argmax(axis=0), tuple(made))

    def shape(self) -> Shape:
        """The best tree, nested."""
        return self._shape(0, self.budget)

    def counts(self) -> tuple[int, ...]:
        """The best tree as child counts."""
        return counts_of(self.shape())

    def _shape(self, depth: int, budget: int) -> Shape:
        if depth == len(self.levels):
            return ()
        level, left, kids = self.levels[depth], budget, []
        for share in level.made[level.choice[budget]].shares:
            mine = int(share[left])
            if mine == 0:
                break
            kids.append(self._shape(depth + 1, mine - 1))
            left -= mine
        return tuple(kids)
