"""Grouped traversal on a batch of trees: one row after the other, each with the coins that its verdict needs.

A row costs a few copies of the laws of the nodes on its way and one preparation of the hull sampler for each group of
two or more children that is reached; nothing is enumerated. [traversal]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from otspec.core.batched_walk import in_place
from otspec.core.drafted import DraftedTrees
from otspec.core.host import check_host
from otspec.core.laws import draw, namespace
from otspec.core.tree import DraftTree
from otspec.verifiers.tree.groups import after_failure
from otspec.verifiers.tree.winning import draw_winner

Array = Any


class _Row(NamedTuple):
    """One tree with its laws ``[N V]`` and coins ``[3 N]``, all by node."""

    rule: Any
    tree: DraftTree
    target: np.ndarray
    draft: np.ndarray
    coins: np.ndarray

    def winner(self, group: tuple[int, ...], target: np.ndarray, left: np.ndarray) -> tuple[int, np.ndarray]:
        """Child that wins in a group, and the law of its token."""
        law = left / left.sum()
        if len(group) == 1:
            return group[0], law
        tokens = self.tree.tokens[list(group)]
        coins = np.append(self.coins[1, group[0]], self.coins[2, list(group)])
        found = draw_winner(target[None], law[None], tokens[None], coins[None], race=True)
        return group[int(np.flatnonzero(tokens == found.token[0])[0])], found.law[0]

    def stop(self, node: int, weight: float) -> tuple[int, np.ndarray] | None:
        """Node in the subtree where the walk stops, and the law of the next token; None if it fails."""
        target, left = self.target[node], self.draft[node].copy()
        for group in self.rule._groups(self.tree, node):
            child, law = self.winner(group, target, left)
            found = self.stop(child, _entry(weight, target, law, self.tree.tokens[child]))
            if found is not None:
                return found
            weight, target = after_failure(weight, target, law)
            left[self.tree.tokens[list(group)]] = 0.0
        return (node, target) if node == 0 or self.coins[0, node] < weight else None

    def mean(self, node: int, weight: float, reach: float) -> float:
        """Expected number of tokens kept below a node that is reached with a chance and entered with a weight."""
        target, left, total = self.target[node], self.draft[node].copy(), 0.0
        for group in self.rule._groups(self.tree, node):
            child, law = self.winner(group, target, left)
            entry = _entry(weight, target, law, self.tree.tokens[child])
            total += reach * float(np.minimum(weight * target, law).sum()) + self.mean(child, entry, reach)
            reach *= 1.0 - entry
            weight, target = after_failure(weight, target, law)
            left[self.tree.tokens[list(group)]] = 0.0
        return total


def _entry(weight: float, target: np.ndarray, law: np.ndarray, token: int) -> float:
    wanted, offered = weight * float(target[token]), float(law[token])
    return 1.0 if wanted >= offered else wanted / offered


def _rows(rule: Any, drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array) -> Any:
    check_host("target_rows", target_rows, rule)
    drafted, target_rows, draft_rows, uniforms = in_place(drafted, target_rows, draft_rows, uniforms)
    for row in range(drafted.tokens.shape[0]):
        nodes, tree = drafted.nodes(row), drafted.tree(row)
        target = np.asarray(target_rows[row])[nodes].astype(np.float64)
        draft = np.asarray(draft_rows[row])[nodes].astype(np.float64)
        coins = np.asarray(uniforms[row, :-1], dtype=np.float64).reshape(3, -1)
        coins = np.concatenate([np.zeros((3, 1)), coins], axis=1)[:, nodes]
        yield nodes, float(uniforms[row, -1]), _Row(rule, tree, target / target.sum(-1, keepdims=True), draft, coins)


def draw_groups(rule: Any, drafted: DraftedTrees, target_rows: Array, draft_rows: Array,
                uniforms: Array) -> tuple[Array, Array]:
    """Node and token ``[B]``.

    Parameters
    ----------
    rule : GroupedTraversal
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
        On the CPU.
    uniforms : [B 3N+1]
        By node: one to stop there, one for the hull of the group that it begins, one for its place in that group.

    Raises
    ------
    BadArgument
        Arrays on another device.
    """
    xp, verdicts = namespace(target_rows), []
    for nodes, coin, row in _rows(rule, drafted, target_rows, draft_rows, uniforms):
        node, law = row.stop(0, 1.0)
        verdicts.append((int(nodes[node]), int(draw(law, np.asarray(coin)))))
    return tuple(xp.asarray(list(part), dtype=xp.int64) for part in zip(*verdicts, strict=True))


def expected_groups(rule: Any, drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array) -> Array:
    """Unbiased estimate ``[B]`` of the number of tokens kept; only the choice of winners is drawn."""
    xp = namespace(target_rows)
    means = [row.mean(0, 1.0, 1.0) for *_, row in _rows(rule, drafted, target_rows, draft_rows, uniforms)]
    return xp.asarray(means, dtype=xp.float64)
