"""Random batches of drafted trees of every kind, with rows that no rule may read filled with NaN."""

import numpy as np

from otspec.analysis.instances import random_pair
from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import WithoutReplacement, WithReplacement

SCHEMES = ("without_replacement", "branches", "paths", "deterministic")
MOST = 3  # draws at one node


def scheme_of(kind):
    return WithoutReplacement(MOST) if kind == "without_replacement" else WithReplacement(MOST)


class Batch:
    """Trees with laws after every node: ``drafted``, ``target`` and ``draft`` ``[B N+1 V]``."""

    def __init__(self, kind, seed, *, size=5, rows=8, columns=6, family="dirichlet", adaptive=False):
        self.rng, self.size, self.kind = np.random.default_rng(seed), size, kind
        self.tokens = np.full((rows, columns), -1)
        self.parents, self.copies = np.zeros_like(self.tokens), np.ones_like(self.tokens)
        self.target, self.draft = np.full((2, rows, columns + 1, size), np.nan)
        for row in range(rows):
            self._laws(row, 0, family)
            {"paths": self._paths, "branches": self._branches}.get(kind, self._children)(row, family)
        self.drafted = DraftedTrees(self.tokens, self.parents, kind, adaptive,
                                    self.copies if kind in ("paths", "branches") else None)
        leaf = self.drafted.draws == 0
        self.draft[leaf] = np.nan

    def _laws(self, row, node, family):
        self.target[row, node], self.draft[row, node] = random_pair(family, self.size, self.rng)

    def _add(self, row, column, parent, token, family):
        self.tokens[row, column], self.parents[row, column] = token, parent
        self._laws(row, column + 1, family)

    def _nodes(self, row):
        return [0, *(1 + np.flatnonzero(self.tokens[row] >= 0))]

    def _below(self, row, node):
        return np.flatnonzero((self.tokens[row] >= 0) & (self.parents[row] == node))

    def _children(self, row, family):
        """Children one at a time after any node, some columns left empty."""
        for column in range(self.tokens.shape[1]):
            node = self.rng.choice(self._nodes(row))
            law = self.draft[row, node].copy()
            drawn = self.tokens[row][self._below(row, node)]
            law[drawn] = 0
            if self.rng.random() < 0.15 or law.sum() <= 0 or drawn.size == MOST:
                continue
            token = law.argmax() if self.kind == "deterministic" else self.rng.choice(self.size, p=law / law.sum())
            self._add(row, column, node, token, family)

    def _draws(self, row, node, number, columns, family):
        """So many independent draws after a node in the next columns; returns them by child."""
        counts = {}
        for token in self.rng.choice(self.size, size=number, p=self.draft[row, node]).tolist():
            counts[token] = counts.get(token, 0) + 1
        if len(counts) > len(columns):
            return {}
        below = {}
        for token, copies in counts.items():
            column = columns.pop(0)
            self._add(row, column, node, token, family)
            self.copies[row, column] = copies
            below[column + 1] = copies
        return below

    def _branches(self, row, family):
        columns = list(range(self.rng.integers(0, 3), self.tokens.shape[1]))
        grown = set()
        for _ in range(3):
            open_nodes = [node for node in self._nodes(row) if node not in grown]
            node = self.rng.choice(open_nodes)
            grown.add(node)
            self._draws(row, node, self.rng.integers(1, MOST + 1), columns, family)

    def _paths(self, row, family):
        columns, level = list(range(self.tokens.shape[1])), {0: MOST}
        while level:
            below = {}
            for node, copies in level.items():
                below |= self._draws(row, node, copies, columns, family)
            level = below if len(columns) else {}

    def one(self, row):
        """Tree of a row, its nodes, and its laws with the rows of leaves filled."""
        nodes = self.drafted.nodes(row)
        target, draft = self.target[row, nodes], self.draft[row, nodes]
        return self.drafted.tree(row), nodes, target, np.where(np.isnan(draft), target, draft)

    def exact(self, rule):
        """Mass ``[B N+1 V]`` of (node, token) by the conditional law of each tree."""
        joint = np.zeros_like(self.target)
        for row in range(len(self.tokens)):
            tree, nodes, target, draft = self.one(row)
            law = rule.conditional(tree, target, draft)
            joint[row, nodes] = law.stop[:, None] * law.following
        return joint

    def repeated(self, row, times):
        """Arguments of a rule: one row, many times."""
        take = np.full(times, row)
        drafted = DraftedTrees(self.tokens[take], self.parents[take], self.kind, self.drafted.adaptive_widths,
                               None if self.drafted.multiplicity is None else self.copies[take])
        return drafted, self.target[take], self.draft[take]
