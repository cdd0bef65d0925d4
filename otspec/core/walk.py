"""A token rule walked down a tree: at each node it emits one token, and the walk goes on while that token is drafted.

The copies at a node are draws from its draft law whatever was emitted before, so the rule, bound to draws with
replacement or without, applies with the number of surviving copies in place of K. The emitted tokens follow the
target's law one by one, so nothing has to be known about later levels, and nothing is gained from them either. [spectr]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from otspec.core.batched_walk import level_width, walk_trees
from otspec.core.drafted import DraftedTrees
from otspec.core.errors import SchemeMismatch
from otspec.core.laws import draw, namespace
from otspec.core.rows import row_at
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.survivors import Survivors
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier
from otspec.core.verifier import TokenVerifier

Array = Any
KEPT = 8192  # answers of the rule that exact analysis, which asks again and again, need not compute twice


class TokenWalk(TreeVerifier):
    """Walk of a token rule on a tree.

    Parameters
    ----------
    rule : TokenVerifier
        Bound to draws with replacement or without.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement)

    def __init__(self, rule: TokenVerifier) -> None:
        if not isinstance(rule, TokenVerifier):
            raise SchemeMismatch(f"rule: {rule!r} is no token rule. Fix: otspec.verifier(name, scheme).")
        super().__init__(rule.scheme)
        self.rule = rule
        self._answers: dict[tuple[Any, ...], np.ndarray] = {}

    def num_uniforms(self, draft_length: int) -> int:
        """Those of the rule at each level, and one for the token after a whole path."""
        return draft_length * self.rule.num_uniforms + 1

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        joint, reached = np.zeros_like(target), np.zeros(len(tree))
        reached[0] = 1.0
        for node, children in enumerate(tree.children):
            if not children:
                joint[node] = reached[node] * target[node]
            elif reached[node] > 0:
                law = reached[node] * self._emitted(tree, children, target[node], draft[node])
                tokens = tree.tokens[list(children)]
                reached[list(children)] = law[tokens]
                law[tokens] = 0.0
                joint[node] = law
        return joint

    def _emitted(self, tree: DraftTree, children: tuple[int, ...], target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Law ``[V]`` of the token emitted at a node, given its children."""
        drawn = tuple((int(tree.tokens[child]), int(tree.multiplicity[child])) for child in children)
        key = (target.tobytes(), draft.tobytes(), drawn)
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) * target.size > KEPT * 64:
                self._answers.clear()
            most = self.scheme.num_drafts
            lists = [order + [-1] * (most - len(order)) for order in _orders(*zip(*drawn, strict=True))]
            goal, drawn_from = (np.broadcast_to(row, (len(lists), row.size)) for row in (target, draft))
            # given the tree, every order of the draws that makes it is equally likely
            answer = self._answers[key] = self.rule._conditional(goal, drawn_from, np.asarray(lists)).mean(axis=0)
        return answer

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple:
        xp = namespace(target_rows)
        length, width, walk = tokens.shape[-1], self.rule.num_uniforms, Survivors(tokens)
        token = xp.zeros_like(walk.accepted)
        for depth in range(length):
            # survivors share their prefix, hence their laws; the first one's rows stand for all
            target, draft = (row_at(given[:, :, depth, :], walk.first) for given in (target_rows, draft_rows))
            coins = uniforms[:, depth * width : (depth + 1) * width]
            emitted = xp.astype(self.rule._draw(target, draft, walk.drafts(depth), coins), xp.int64)
            token = xp.where(walk.reached, emitted, token)
            walk.step(depth, emitted)
        last = draw(row_at(target_rows[:, :, length, :], walk.first), uniforms[:, -1])
        return walk.accepted, xp.where(walk.reached, last, token), walk.first

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        xp = namespace(target_rows)
        return xp.astype(self._draw_paths(target_rows, draft_rows, tokens, uniforms)[0], xp.float64)

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """Those of the rule and of the order of merged copies at each level, one for the token after a leaf."""
        return num_nodes * level_width(self.rule) + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        return walk_trees(self.rule, drafted, target_rows, draft_rows, uniforms)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        node, _ = self._draw_trees(drafted, target_rows, draft_rows, uniforms)
        xp = namespace(node)
        return xp.astype(xp.take_along_axis(drafted.depths, node[:, None], axis=1)[:, 0], xp.float64)


def _orders(tokens: tuple[int, ...], copies: tuple[int, ...]) -> Iterator[list[int]]:
    """Lists with so many copies of each token, in which first appearances keep their order."""
    if not any(copies):
        yield []
    for place, left in enumerate(copies):
        # which token may stand last: one that has appeared before, or the last to appear
        if left > 1 or (left == 1 and not any(copies[place + 1 :])):
            rest = (*copies[:place], left - 1, *copies[place + 1 :])
            yield from ([*order, tokens[place]] for order in _orders(tokens, rest))
