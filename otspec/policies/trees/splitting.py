"""Budgets handed down a tree: how many children a node draws, and how they share what is left.

A node of budget B chooses its number of children from B, its depth and the entropy of its own draft law, then draws
them, and only then, knowing their probabilities and the entropies of their laws, splits what is left among them. No
number of children depends on those children, so rules with a winner among n known drafts stay exact. [traversal]

Values come from the programme of the table: V_d(n) of an accepted node at depth d whose law is not known yet, and
G_d(e, n) of one whose law has entropy bin e, by one step of the same recursion with the rates of that bin.
"""

from __future__ import annotations

import numpy as np

from otspec.policies.trees.programme import Forest, Programme, forest
from otspec.policies.trees.table import AcceptanceTable, Calibration


class Splitting:
    """Number of children and value for every depth, entropy bin and budget.

    Parameters
    ----------
    table : AcceptanceTable
        With a calibration, of which at least as many ranks are known as children may be drawn.
    budget, max_depth, max_children : int

    Attributes
    ----------
    width : [D+1 E N+1] int64
        Children that a node draws.
    value : [D+1 E N+1]
        Tokens of an accepted node and what is below it.
    """

    def __init__(self, table: AcceptanceTable, budget: int, max_depth: int, max_children: int) -> None:
        unknown = Programme(table, budget, max_depth, max_children).values
        calibration = table.calibration
        assert calibration is not None  # the policy and the drafter have checked it
        bins = len(calibration.entropy_edges) + 1
        self.width = np.zeros((max_depth + 1, bins, budget + 1), dtype=np.int64)
        self.value = np.ones((max_depth + 1, bins, budget + 1))
        for depth in range(max_depth):
            worth = np.append(-np.inf, unknown[depth + 1][:-1])
            for kind in range(bins):
                value, width = _chosen(calibration, kind, worth, max_children, least=int(depth == 0))
                self.value[depth, kind], self.width[depth, kind] = 1.0 + value, width


def _chosen(calibration: Calibration, kind: int, worth: np.ndarray, most: int,
            *, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Value ``[N+1]`` of the best children of a node of one entropy bin, and how many they are."""
    rates = np.asarray(calibration.by_entropy)[..., kind]
    if calibration.by_width:
        made = np.stack([forest(rates[width - 1, :width], worth, least=width).value if width else np.zeros(worth.size)
                         for width in range(least, most + 1)])
        return made.max(axis=0), made.argmax(axis=0) + least
    best = forest(rates[:most], worth, least=least)
    return best.value, _drawn(best)


def _drawn(best: Forest) -> np.ndarray:
    """Number of children ``[N+1]`` of every budget."""
    left, count = np.arange(best.value.size), np.zeros(best.value.size, dtype=np.int64)
    going = np.ones(best.value.size, dtype=bool)
    for shares in best.shares:
        mine = np.where(going, shares[left], 0)
        going = mine > 0
        count, left = count + going, left - mine
    return count
