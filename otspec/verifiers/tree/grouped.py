"""Grouped traversal: children without replacement, resolved a few at a time by the winner rule.

The children of a node fall into groups in drawing order, the first groups of given sizes and one of what remains. The
winner of a group is picked with the universal law for the target and the draft law that earlier groups have left.
Groups of one child each are Traversal, a single group is `winner_block`; one child, then all others is the useful case
in between, since a tree of limited size wants most of the acceptance on one child. We know of no published source of
the rule; the walk is that of [traversal].

Theorem: the text has the target's law if the number of children of a node is fixed before they are drawn. [traversal]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import DraftScheme, WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers.tree.batched_groups import draw_groups, expected_groups
from otspec.verifiers.tree.groups import Groups, GroupWalk
from otspec.verifiers.tree.winners import game, odds

Array = Any


class GroupedTraversal(GroupWalk):
    """Traversal of groups of children drawn without replacement.

    Parameters
    ----------
    scheme : WithoutReplacement
    sizes : tuple of int
        Sizes of the first groups; the remaining children make one more.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithoutReplacement,)
    trees: ClassVar[tuple[str, ...]] = ("without_replacement",)

    def __init__(self, scheme: DraftScheme | int = 1, *, sizes: tuple[int, ...] = (1,)) -> None:
        super().__init__(scheme)
        self.sizes = tuple(check_positive("sizes", size) for size in sizes)

    def _groups(self, tree: DraftTree, node: int) -> Groups:
        left, groups = tree.children[node], []
        for size in self.sizes:
            groups.append(left[:size])
            left = left[size:]
        return [group for group in (*groups, left) if group]

    def _winner(self, tree: DraftTree, group: tuple[int, ...], goal: np.ndarray,
                left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        played = game(goal, left / left.sum(), len(group), race=True)
        return played.law, odds(played, tree.tokens[list(group)], race=True)

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """One to stop at each node, two for the winner of its group, one for the token."""
        return 3 * num_nodes + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        return draw_groups(self, drafted, target_rows, draft_rows, uniforms)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        return expected_groups(self, drafted, target_rows, draft_rows, uniforms)
