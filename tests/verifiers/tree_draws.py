"""Every drafted tree of a small model with its probability, and the law of one verified tree and what follows it.

A toy has its own pair of laws after each prefix. A shape says, before the children of a node are drawn, how they are
drawn; a rule is lossless when the text of one verified tree, completed by the target, has the target's law.
"""

import itertools

import numpy as np

from otspec.analysis.instances import FAMILIES, random_pair
from otspec.analysis.paths import drafted_trees
from otspec.core.tree import DraftTree


class Toy:
    """Random laws after every prefix of at most ``depth`` tokens: ``target[d]`` and ``draft[d]`` are ``[V**d V]``."""

    def __init__(self, family, size, depth, seed):
        rng = np.random.default_rng(seed)
        self.size, self.depth = size, depth
        levels = [zip(*(random_pair(family, size, rng) for _ in range(size**d)), strict=True) for d in range(depth + 1)]
        pairs = [[np.stack(laws) for laws in level] for level in levels]
        self.target, self.draft = ([pair[i] for pair in pairs] for i in (0, 1))

    def rows(self, tree):
        numbers = np.zeros_like(tree.parents)
        for node in range(1, len(tree)):
            numbers[node] = numbers[tree.parents[node]] * self.size + tree.tokens[node]
        pick = list(zip(tree.depths.tolist(), numbers.tolist(), strict=True))
        return (np.stack([rows[d][n] for d, n in pick]) for rows in (self.target, self.draft))

    def text(self, prefix_depth, number, length):
        """Law ``[V**length]`` of the target after a prefix."""
        law, at = np.ones(1), np.array([number])
        for d in range(prefix_depth, prefix_depth + length):
            law = (law[:, None] * self.target[d][at]).ravel()
            at = (at[:, None] * self.size + np.arange(self.size)).ravel()
        return law

    def bias(self, rule, trees):
        """Largest error of the probability of a text of depth + 1 tokens, over all trees ``(probability, tree)``."""
        law = np.zeros((self.size,) * (self.depth + 1))
        total = 0.0
        for chance, tree in trees:
            total += chance
            verdict = rule.conditional(tree, *self.rows(tree))
            for node, depth in enumerate(tree.depths.tolist()):
                if verdict.stop[node] > 0:
                    prefix = prefix_of(tree, node)
                    law[prefix] += chance * verdict.stop[node] * self.after(depth, prefix, verdict.following[node])
        assert abs(total - 1) < 1e-9  # the trees are all there are
        return np.abs(law - self.text(0, 0, self.depth + 1).reshape(law.shape)).max()

    def after(self, depth, prefix, following):
        """Law of the next token and of the target's text after it, ``[V] * (depth left + 1)``."""
        number = int(np.ravel_multi_index(prefix, (self.size,) * depth)) if depth else 0
        left = self.depth - depth
        rest = np.stack([self.text(depth + 1, number * self.size + y, left) for y in range(self.size)])
        return (following[:, None] * rest).reshape((self.size,) * (left + 1))


def prefix_of(tree, node):
    tokens = []
    while node:
        tokens.append(int(tree.tokens[node]))
        node = int(tree.parents[node])
    return tuple(reversed(tokens))


def path_trees(toy, paths, ordered=True):
    """All trees of K independent paths, with their probabilities."""
    for tree, count in drafted_trees(toy.size, toy.depth, paths, ordered=ordered):
        _, draft = toy.rows(tree)
        chance = count * np.prod(draft[tree.parents[1:], tree.tokens[1:]] ** tree.multiplicity[1:])
        if chance > 0:
            yield chance, tree


def shaped_trees(toy, shape, scheme, *, adaptive_widths=False):
    """All trees of a shape; ``shape(path, siblings)`` is the draft scheme at a node, or None for a leaf.

    ``path`` holds the ranks among siblings on the way to the node; ``siblings`` the tokens drawn so far there.
    """
    def below(prefix, ranks, copies):
        law = toy.draft[len(prefix)][np.ravel_multi_index(prefix, (toy.size,) * len(prefix)) if prefix else 0]
        how = shape(ranks, prefix)
        if how is None:
            yield 1.0, ()
            return
        lists, chances = how.lists(law)
        for drawn, chance in zip(lists.tolist(), chances.tolist(), strict=True):
            distinct = [token for token in dict.fromkeys(drawn) if token >= 0]
            parts = [list(below((*prefix, token), (*ranks, rank), drawn.count(token)))
                     for rank, token in enumerate(distinct)]
            for combination in itertools.product(*parts):
                kids = tuple((token, drawn.count(token), kid)
                             for token, (_, kid) in zip(distinct, combination, strict=True))
                yield chance * float(np.prod([share for share, _ in combination])), kids

    for chance, kids in below((), (), 1):
        if chance > 0:
            yield chance, as_tree(kids, scheme, adaptive_widths)


def as_tree(kids, scheme, adaptive_widths=False):
    """DraftTree from nested ``(token, copies, kids)``."""
    parents, tokens, copies = [-1], [-1], [1]

    def write(parent, below):
        for token, number, more in below:
            parents.append(parent)
            tokens.append(token)
            copies.append(number)
            write(len(parents) - 1, more)

    write(0, kids)
    if scheme == "greedy":  # all but the last child of a node were chosen without chance
        copies = None
    return DraftTree(parents, tokens, copies, scheme=scheme, adaptive_widths=adaptive_widths)


def fixed(kind, *widths):
    """Shape with ``kind(widths[d])`` at every node of depth d."""
    return lambda ranks, prefix: kind(widths[len(ranks)]) if len(ranks) < len(widths) else None


def toys(size, depth, count, families=tuple(FAMILIES)):
    return [Toy(families[seed % len(families)], size, depth, seed) for seed in range(count)]


