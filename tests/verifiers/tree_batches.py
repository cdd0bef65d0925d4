"""Random batches of drafted trees of every kind, with rows that no rule may read filled with NaN."""

import numpy as np

from otspec.analysis.instances import random_pair
from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree_verifier import TreeLaw
from otspec.verifiers import list_verifiers
from otspec.verifiers.tree.batched_traversal import stop_masses
from otspec.verifiers.tree.refusals import goal, refuse_all

SCHEMES = ("without_replacement", "branches", "paths", "deterministic")
MOST = 3  # draws at one node
RULES = [*list_verifiers(kind="tree")]
WITHOUT = [name for name in RULES if list_verifiers()[name].supports(WithoutReplacement(2))]
WITH = [name for name in RULES if list_verifiers()[name].supports(WithReplacement(2))]
PAIRS = [(name, kind) for names, kinds in ((WITHOUT, ("without_replacement",)), (WITH, ("branches", "paths")))
         for name in names for kind in kinds
         if (name, kind) not in {("lookahead_block", "branches"), ("score_block", "branches")}]
LOOPS = ("grouped_traversal", "lookahead_block", "score_block", "layer_block")  # over rows
FAST = [pair for pair in PAIRS if pair[0] not in LOOPS]


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
            grow = {"paths": self._paths, "branches": self._branches, "greedy": self._greedy}
            grow.get(kind, self._children)(row, family)
        self.drafted = DraftedTrees(self.tokens, self.parents, kind, adaptive,
                                    self.copies if kind in ("paths", "branches", "greedy") else None)
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

    def _greedy(self, row, family):
        """Children after any node, one of them drawn from what those before it leave, in any place among them."""
        for column in range(self.tokens.shape[1]):
            node = self.rng.choice(self._nodes(row))
            below = self._below(row, node)
            law = self.draft[row, node].copy()
            law[self.tokens[row][below]] = 0
            drawn = self.rng.random() < 0.5 and not self.copies[row][below].any() and law.sum() > 0
            free = np.setdiff1d(np.arange(self.size), self.tokens[row][below])
            if self.rng.random() < 0.15 or not free.size:
                continue
            token = self.rng.choice(self.size, p=law / law.sum()) if drawn else self.rng.choice(free)
            self._add(row, column, node, token, family)
            self.copies[row, column] = drawn

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


def masses(drafted, found, weighted):
    """Chance that the rule stops at each node, from what refusals leave."""
    if weighted:
        return stop_masses(drafted, found.weight)
    reach = np.zeros((len(drafted.tokens), drafted.num_nodes + 1))
    reach[:, 0] = 1
    rows = np.arange(len(reach))
    for column in range(drafted.num_nodes):
        parent = drafted.above[:, column]
        reach[:, column + 1] = reach[rows, parent] * found.ratio[:, column]
        reach[rows, parent] -= reach[:, column + 1]
    return reach


def joint(drafted, target, draft, weighted, form=refuse_all):
    """Mass [B N+1 V] of (node, token), the coins integrated out."""
    given = None if drafted.scheme == "deterministic" else draft
    found = form(drafted, target, given, weighted)
    stop, out = masses(drafted, found, weighted), np.zeros_like(target)
    for node in range(drafted.num_nodes + 1):
        here = stop[:, node] > 0
        law = goal(drafted, target, given, np.full(len(target), node), found)[here]
        out[here, node] = stop[here, node, None] * law / np.maximum(law.sum(axis=-1, keepdims=True), 1e-300)
    return out


class Exactly:
    """A batched rule as a rule with a conditional law, one tree at a time."""

    def __init__(self, weighted, form=refuse_all):
        self.weighted, self.form = weighted, form

    def conditional(self, tree, target, draft):
        whole = joint(DraftedTrees.stack([tree]), target[None], draft[None], self.weighted, self.form)[0]
        stop = whole.sum(axis=-1)
        return TreeLaw(stop, whole / np.where(stop > 0, stop, 1)[:, None])
