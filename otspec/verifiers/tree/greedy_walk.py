"""The optimal token rule for top tokens and one draw, walked down a tree of them.

At each node the draw is put to rejection against the law it was drawn from; else a token of the residual is emitted,
and the walk goes on while the emitted token is a child. [mdsd]

Theorem: the text has the target's law, also where the shape of the tree depends on the tokens drawn, as long as it does
not depend on a token whether that token is in the tree: given everything else, the tokens follow the target's law one
by one. RheoSampling prunes its trees so [rheo]; its own verification is published as based on optimal transport and no
further, and this rule is the part that the description fixes: the optimal plan of each node by itself.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from otspec.core.drafted import DraftedTrees
from otspec.core.laws import namespace
from otspec.core.schemes import Greedy
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier
from otspec.verifiers.token.rejection import rejection_law
from otspec.verifiers.tree.groups import law_of
from otspec.verifiers.tree.one_draw import expected_depth, plan_trees, root_first, standing, turns

Array = Any


class GreedyWalk(TreeVerifier):
    """Rejection of the draw, then the residual, token by token. [mdsd].

    Parameters
    ----------
    scheme : Greedy

    Examples
    --------
    >>> tree = DraftTree([-1, 0, 0], [-1, 1, 0], scheme="greedy")
    >>> GreedyWalk(Greedy(2)).expected_accepted(tree, [[0.0, 1.0]] * 3, [[0.4, 0.6]] * 3)
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (Greedy,)
    trees: ClassVar[tuple[str, ...]] = ("greedy",)
    adaptive: ClassVar[tuple[str, ...]] = ("greedy",)

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        joint, reached = np.zeros_like(target), np.zeros(len(tree))
        reached[0] = 1.0
        for node, children in enumerate(tree.children):
            law = target[node]
            for child in (child for child in children if tree.multiplicity[child]):
                law = rejection_law(law, law_of(tree, child, draft[node]), tree.tokens[child])
            tokens = tree.tokens[list(children)]
            reached[list(children)] = reached[node] * law[tokens]
            joint[node] = reached[node] * law
            joint[node, tokens] = 0.0
        return joint

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """One for each node, one for the next token."""
        return num_nodes + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        return root_first(drafted, target_rows, draft_rows, uniforms)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        plan = plan_trees(drafted, target_rows, draft_rows, draw_first=True, weighted=False)
        way = standing(drafted, plan, turns(drafted, draw_first=True))
        if not drafted.adaptive_widths:
            return expected_depth(drafted, plan, way)
        xp = namespace(way)
        return xp.sum(xp.where(drafted.present, way[:, 1:], xp.zeros_like(way[:, 1:])), axis=-1)
