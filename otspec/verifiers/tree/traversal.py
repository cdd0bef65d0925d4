"""Traversal verification: try leaves first, then their siblings, then their parents. [traversal].

A child is tried with weight ``min(1, a target / draft)``; after a refusal its parent's target becomes
``(a target - draft)+ / S`` and its weight ``S / (S + 1 - a)``, and the draft law loses the token and is renormalised.
This holds for children without replacement, and as it stands for independent draws whose copies are merged in the
order of first appearance, since the distinct tokens of independent draws are draws without replacement. A child that
was chosen without chance is a draw from a one-hot law, whatever the draft model thinks of it, alone or beside a draw.

Theorem: the text has the target's law, also when the shape of the tree depends on the children drawn before; on one
path the rule is block verification. [traversal]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from otspec.core.drafted import DraftedTrees
from otspec.core.laws import at, draw, namespace, normalized_or, one_hot, positive_part
from otspec.core.rows import clipped_ratio, row_at
from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.core.tree import SCHEMES, DraftTree
from otspec.verifiers.tree import one_draw
from otspec.verifiers.tree.batched_traversal import TRAVERSAL, draw_nodes, expected_depth, stop_depth
from otspec.verifiers.tree.groups import Groups, GroupWalk, law_of
from otspec.verifiers.tree.one_draw import entered, leaf_first, plan_trees

Array = Any


class Traversal(GroupWalk):
    """Leaf-first verification of a drafted tree, child by child. [traversal].

    Examples
    --------
    Two children of the text's end, of which the target allows the second one:

    >>> drafted = DraftedTrees(tokens=np.array([[0, 1]]), parents=np.array([[0, 0]]))
    >>> target, draft = np.array([[[0.0, 1.0]] * 3]), np.full((1, 3, 2), 0.5)
    >>> Traversal(WithoutReplacement(2)).draw_trees(drafted, target, draft, np.full((1, 3), 0.5))
    TreeVerdicts(node=array([2]), token=array([1]))
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement, Greedy)
    adaptive: ClassVar[tuple[str, ...]] = SCHEMES
    trees: ClassVar[tuple[str, ...]] = SCHEMES

    def _groups(self, tree: DraftTree, node: int) -> Groups:
        return [(child,) for child in tree.children[node]]

    def _winner(self, tree: DraftTree, group: tuple[int, ...], goal: np.ndarray,
                left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return law_of(tree, group[0], left), np.ones(1)

    def num_uniforms(self, draft_length: int) -> int:
        """One for each node of each path, one for the next token."""
        return self.scheme.num_drafts * draft_length + 1

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple:
        accepted, path, law = _draw_tree(_Walk(target_rows, draft_rows, tokens), uniforms)
        return accepted, draw(law, uniforms[:, -1]), path

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        return _expected_depth(_Walk(target_rows, draft_rows, tokens))

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """One for each node, one for the next token."""
        return num_nodes + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        if drafted.scheme == "greedy":
            return leaf_first(drafted, target_rows, draft_rows, uniforms, draw_first=False)
        return draw_nodes(drafted, target_rows, draft_rows, uniforms, TRAVERSAL)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        if drafted.scheme == "greedy":
            plan = plan_trees(drafted, target_rows, draft_rows, draw_first=False, weighted=True)
            return stop_depth(drafted, plan.weight) if drafted.adaptive_widths else \
                one_draw.expected_depth(drafted, plan, entered(drafted, plan))
        return expected_depth(drafted, target_rows, draft_rows, TRAVERSAL)


def in_tree_order(tokens: Array) -> tuple[Array, Array]:
    """Order of the paths ``[B K L]`` in which their tree is walked, and each path's common prefix with the next.

    Both ``[B K]``: siblings in order of first appearance, copies side by side; -1 after the last path.
    """
    xp = namespace(tokens)
    size, count, length = tokens.shape
    same = xp.ones((size, count, count), dtype=xp.bool, device=tokens.device)
    leaders = []
    for depth in range(length):
        same = same & (tokens[:, :, None, depth] == tokens[:, None, :, depth])
        leaders.append(xp.argmax(xp.astype(same, xp.int64), axis=-1))
    order = xp.broadcast_to(xp.arange(count, dtype=xp.int64, device=tokens.device), (size, count))
    for leader in reversed(leaders):
        key = xp.take_along_axis(leader, order, axis=-1)
        order = xp.take_along_axis(order, xp.argsort(key, axis=-1, stable=True), axis=-1)
    common = xp.zeros((size, count - 1), dtype=xp.int64, device=tokens.device)
    for leader in leaders:
        sorted_leader = xp.take_along_axis(leader, order, axis=-1)
        common = common + xp.astype(sorted_leader[:, :-1] == sorted_leader[:, 1:], xp.int64)
    return order, xp.concat([common, -xp.ones((size, 1), dtype=xp.int64, device=tokens.device)], axis=1)


class _Walk:
    """State of every depth of the current path while the trees of ``[B K L]`` paths are walked, path after path."""

    def __init__(self, target_rows: Array, draft_rows: Array, tokens: Array) -> None:
        self.xp = xp = namespace(target_rows)
        size, self.count, self.length = tokens.shape
        self.tokens = tokens
        self.order, self.common = in_tree_order(tokens)
        self.targets = xp.reshape(target_rows, (size, self.count * (self.length + 1), -1))
        self.drafts = xp.reshape(draft_rows, (size, self.count * self.length, -1))
        self.weight = [xp.ones((size,), dtype=xp.float64, device=tokens.device)] * (self.length + 1)
        self.goal: list[Array] = [None] * (self.length + 1)
        self.left: list[Array] = [None] * self.length

    def down(self, turn: int) -> Iterator[tuple[int, Array]]:
        """Enter the nodes that the next path does not share with the last one; yields depth and rows ``[B]``."""
        xp, at_path = self.xp, self.order[:, turn]
        self.x = xp.take_along_axis(self.tokens, at_path[:, None, None], axis=1)[:, 0, :]
        for depth in range(self.length + 1):
            fresh = xp.ones_like(at_path, dtype=xp.bool) if turn == 0 else depth > self.common[:, turn - 1]
            if not _any(xp, fresh):
                continue
            if depth:
                wanted = self.weight[depth - 1] * _mass(self.goal[depth - 1], self.x[:, depth - 1])
                offered = _mass(self.left[depth - 1], self.x[:, depth - 1]) / xp.sum(self.left[depth - 1], axis=-1)
                self.weight[depth] = xp.where(fresh, clipped_ratio(wanted, offered), self.weight[depth])
                yield depth, fresh
            self._read(self.goal, self.targets, depth, self.length + 1, at_path, fresh, turn == 0)
            if depth < self.length:
                self._read(self.left, self.drafts, depth, self.length, at_path, fresh, turn == 0)

    def _read(self, state: list[Array], rows: Array, depth: int, stride: int, at_path: Array, fresh: Array,
              first: bool) -> None:
        row = self.xp.astype(row_at(rows, at_path * stride + depth), self.xp.float64)
        state[depth] = row if first else self.xp.where(fresh[:, None], row, state[depth])

    def up(self, turn: int) -> Iterator[tuple[int, Array]]:
        """Leave the nodes that the path after this one does not share; yields depth and rows ``[B]``."""
        for depth in range(self.length, 0, -1):
            leaving = depth > self.common[:, turn]
            if _any(self.xp, leaving):
                yield depth, leaving

    def fail(self, depth: int, active: Array) -> None:
        """Change the state of the parent where its child at ``depth`` has failed."""
        here = depth - 1
        self.weight[here], self.goal[here], self.left[here] = _after_failure(
            self.xp, active, self.weight[here], self.goal[here], self.left[here], self.x[:, here])


def _draw_tree(walk: _Walk, uniforms: Array) -> tuple[Array, Array, Array]:
    """Depth and path of the stop ``[B]`` and the law of the next token ``[B V]``."""
    xp = walk.xp
    accepted, path = xp.zeros_like(walk.order[:, 0]), xp.zeros_like(walk.order[:, 0])
    going, law = xp.ones_like(path, dtype=xp.bool), None
    for turn in range(walk.count):
        for _ in walk.down(turn):
            pass
        for depth, leaving in walk.up(turn):
            tried = leaving & going
            stops = tried & (uniforms[:, turn * walk.length + depth - 1] < walk.weight[depth])
            accepted = xp.where(stops, xp.full_like(accepted, depth), accepted)
            path = xp.where(stops, walk.order[:, turn], path)
            law = walk.goal[depth] if law is None else xp.where(stops[:, None], walk.goal[depth], law)
            going = going & ~stops
            walk.fail(depth, tried & going)
    return accepted, path, xp.where(going[:, None], walk.goal[0], law)


def _expected_depth(walk: _Walk) -> Array:
    """Sum over nodes of the chance that the walk enters the node and stops there or below, ``[B]``.

    A subtree entered with weight w stops inside with probability w on average over its own draws, and the token of the
    node is integrated out too: what is left is the chance that each node is reached.
    """
    xp = walk.xp
    mean = xp.zeros_like(walk.weight[0])
    reach, entry = list(walk.weight), list(walk.weight)
    for turn in range(walk.count):
        for depth, fresh in walk.down(turn):
            left = walk.left[depth - 1]
            common = xp.minimum(walk.weight[depth - 1][:, None] * walk.goal[depth - 1],
                                left / xp.sum(left, axis=-1)[:, None])
            mean = mean + xp.where(fresh, reach[depth - 1] * xp.sum(common, axis=-1), xp.zeros_like(mean))
            entry[depth] = xp.where(fresh, walk.weight[depth], entry[depth])
            reach[depth] = xp.where(fresh, reach[depth - 1], reach[depth])
        for depth, leaving in walk.up(turn):
            reach[depth - 1] = xp.where(leaving, reach[depth - 1] * (1.0 - entry[depth]), reach[depth - 1])
            walk.fail(depth, leaving)
    return mean


def _after_failure(xp: Any, active: Array, weight: Array, goal: Array, left: Array,
                   token: Array) -> tuple[Array, Array, Array]:
    """State ``[B]``, ``[B V]``, ``[B V]`` of nodes after the child of ``token`` ``[B]`` has failed, where active."""
    law = left / xp.sum(left, axis=-1)[:, None]
    excess = positive_part(weight[:, None] * goal - law)
    mass = xp.sum(excess, axis=-1)
    room = mass + (1.0 - weight)  # added in this order, no digit of a small mass is lost
    later = xp.where(room > 0, mass / xp.where(room > 0, room, xp.ones_like(room)), xp.ones_like(room))
    rest = xp.where(one_hot(token, left.shape[-1], xp.float64, xp) > 0, xp.zeros_like(left), left)
    # a law that has run out of tokens is never drawn from again
    rest = xp.where(xp.sum(rest, axis=-1)[:, None] > 0, rest, left)
    wide = active[:, None]
    return (xp.where(active, later, weight), xp.where(wide, normalized_or(excess, goal), goal),
            xp.where(wide, rest, left))


def _any(xp: Any, mask: Array) -> bool:
    """Whether a step can change a row; a device is not asked, so that it need not be waited for."""
    return bool(xp.any(mask)) if isinstance(mask, np.ndarray) else True


def _mass(rows: Array, token: Array) -> Array:
    return at(rows, token[:, None])[:, 0]
