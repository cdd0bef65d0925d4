"""Leaf-first verification of a tree whose children are resolved in groups, one group after the other.

Enter a node with weight a. A group of its children has a winner with a known law L; the winner's subtree is entered
with weight ``min(1, a target / L)`` at its token, and stops inside with that probability. If it fails, the target
becomes ``(a target - L)+ / S``, S its mass, the weight ``a <- S / (S + 1 - a)``, the draft law loses the tokens of the
group, and the next group is tried; after the last one the node itself is kept with probability a.

Theorem: the text has the target's law if L is the winner's law given everything known before the group was drawn.
Groups of one child are Traversal; one group of all children is winner and block. [traversal]
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier

Groups = list[tuple[int, ...]]


class GroupWalk(TreeVerifier):
    """Base of the rules that resolve children in groups; a subclass writes `_groups` and `_winner`."""

    @abstractmethod
    def _groups(self, tree: DraftTree, node: int) -> Groups:
        """Children of a node, split in drawing order."""

    @abstractmethod
    def _winner(self, tree: DraftTree, group: tuple[int, ...], goal: np.ndarray,
                left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Law ``[V]`` of the winning token, and the chance of each child of the group to win given the group."""

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        joint = np.zeros_like(target)

        def failure(node: int, weight: float, reach: float) -> float:
            """Enter a subtree; add its stops to ``joint``; return the probability that it has none."""
            goal, left, alive = target[node], draft[node].copy(), 1.0
            for group in self._groups(tree, node) if tree.children[node] else []:
                law, odds = self._winner(tree, group, goal, left)
                failed = 0.0
                for child, odd in zip(group, odds.tolist(), strict=True):
                    token = tree.tokens[child]
                    wanted, offered = weight * float(goal[token]), float(law[token])
                    entry = 1.0 if wanted >= offered else wanted / offered
                    if odd > 0:
                        failed += odd * failure(child, entry, reach * alive * odd)
                alive *= failed
                weight, goal = after_failure(weight, goal, law)
                left[tree.tokens[list(group)]] = 0.0
            joint[node] += reach * alive * weight * goal
            return alive * (1.0 - weight)

        failure(0, 1.0, 1.0)
        return joint


def after_failure(weight: float, goal: np.ndarray, law: np.ndarray) -> tuple[float, np.ndarray]:
    """Weight and target of a node after a group of winner law ``law`` has failed."""
    excess = np.maximum(weight * goal - law, 0.0)
    mass = float(excess.sum())
    room = mass + (1.0 - weight)  # added in this order, no digit of a small mass is lost
    # weight 1 and nothing left: the group could not fail, so any weight may stand there
    return (mass / room if room > 0 else 1.0), (excess / mass if mass > 0 else goal)


def law_of(tree: DraftTree, child: int, left: np.ndarray) -> np.ndarray:
    """Law ``[V]`` of a child that is tried by itself, given what is left of its parent's draft law.

    Of a child that was chosen without chance it is one-hot, whatever the draft model thinks of it; of the one draw of a
    greedy tree it is without the tokens chosen before it, tried or not.
    """
    if tree.scheme == "deterministic" or not tree.multiplicity[child]:
        law = np.zeros_like(left)
        law[tree.tokens[child]] = 1.0
        return law
    if tree.scheme == "greedy":
        left = left.copy()
        left[[tree.tokens[other] for other in tree.children[tree.parents[child]] if other < child]] = 0.0
    return left / left.sum()
