"""UniVer: on a tree of top tokens and one draw, conditional plans from the root downwards, decisions in postorder.

A node is entered with its prefix acceptance a, which scales the target there; the optimal plan of the scaled target
``a p`` for the node's children gives each child its own prefix acceptance; and then, leaves first, each node is kept
with its weight or refused. [univer]

This is our reconstruction, from the public descriptions: the hierarchy of drafts (the likeliest tokens and one draw
from the rest), local optimal plans scaled by prefix acceptances, allocation from the top, decision in postorder. They
leave open which of several optimal plans is played and what a refusal does to the siblings that come after. Here the
draw is tried first and then the chosen tokens in their order, each scaled by what the refusals before it leave, as in
Traversal, of the same authors; with no chosen token the rule is Traversal, and with one path block verification.

Theorem: the text has the target's law if the tree's shape is fixed beforehand: a subtree entered with weight w stops
inside with probability w, whatever else was drawn, so a refusal leaves ``(a p - t)+``. At one level it keeps ``p(T) +
sum min(p, t)``, the optimum of these drafts. [mdsd] [traversal]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import Greedy
from otspec.core.tree import DraftTree
from otspec.verifiers.tree.groups import Groups, GroupWalk, law_of
from otspec.verifiers.tree.one_draw import entered, expected_depth, leaf_first, plan_trees

Array = Any


class UniVer(GroupWalk):
    """Conditional plans for the children of each node, the draw first. [univer].

    Parameters
    ----------
    scheme : Greedy

    Examples
    --------
    The target allows one token, which was chosen without chance, though the draw was another:

    >>> tree = DraftTree([-1, 0, 0], [-1, 1, 0], scheme="greedy")
    >>> UniVer(Greedy(2)).expected_accepted(tree, [[0.0, 1.0]] * 3, [[0.4, 0.6]] * 3)
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (Greedy,)
    trees: ClassVar[tuple[str, ...]] = ("greedy",)

    def _groups(self, tree: DraftTree, node: int) -> Groups:
        return [(child,) for child in sorted(tree.children[node], key=lambda child: -tree.multiplicity[child])]

    def _winner(self, tree: DraftTree, group: tuple[int, ...], goal: np.ndarray,
                left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return law_of(tree, group[0], left), np.ones(1)

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """One for each node, one for the next token."""
        return num_nodes + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        return leaf_first(drafted, target_rows, draft_rows, uniforms, draw_first=True)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        plan = plan_trees(drafted, target_rows, draft_rows, draw_first=True, weighted=True)
        return expected_depth(drafted, plan, entered(drafted, plan))
