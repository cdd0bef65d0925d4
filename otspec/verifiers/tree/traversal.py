"""Traversal verification: try leaves first, then their siblings, then their parents. [traversal].

A child is tried with weight ``min(1, a target / draft)``; after a refusal its parent's target becomes
``(a target - draft)+ / S`` and its weight ``S / (S + 1 - a)``, and the draft law loses the token and is renormalised.
This holds for children without replacement, and as it stands for independent draws whose copies are merged in the
order of first appearance, since the distinct tokens of independent draws are draws without replacement.

Theorem: the text has the target's law, also when the shape of the tree depends on the children drawn before; on one
path the rule is block verification. [traversal]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from otspec.core.block import clipped_ratio, row_at
from otspec.core.laws import at, draw, namespace, normalized_or, one_hot, positive_part
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import SCHEMES, DraftTree
from otspec.verifiers.tree.groups import Groups, GroupWalk

Array = Any


class Traversal(GroupWalk):
    """Leaf-first verification of a drafted tree, child by child. [traversal]."""

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, WithoutReplacement)
    order_matters: ClassVar[bool] = True
    adaptive: ClassVar[tuple[str, ...]] = SCHEMES

    def _groups(self, tree: DraftTree, node: int) -> Groups:
        return [(child,) for child in tree.children[node]]

    def _winner(self, tree: DraftTree, group: tuple[int, ...], goal: np.ndarray,
                left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return left / left.sum(), np.ones(1)

    def num_uniforms(self, draft_length: int) -> int:
        """One for each node of each path, one for the next token."""
        return self.scheme.num_drafts * draft_length + 1

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple:
        accepted, path, law, _ = _walk(target_rows, draft_rows, tokens, uniforms)
        return accepted, draw(law, uniforms[:, -1]), path

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        return _walk(target_rows, draft_rows, tokens, None)[3]


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


def _walk(target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array | None) -> tuple[Array, ...]:
    """Walk the trees of ``[B K L]`` paths, path after path, with coins or (uniforms None) with their means.

    Returns the depth of the stop, its path and its residual ``[B V]``, drawn; and the expected depth of the stop.
    """
    xp = namespace(target_rows)
    size, count, length = tokens.shape
    order, common = in_tree_order(tokens)
    targets = xp.reshape(target_rows, (size, count * (length + 1), -1))
    drafts = xp.reshape(draft_rows, (size, count * length, -1))
    weight = [xp.ones((size,), dtype=xp.float64, device=tokens.device)] * (length + 1)
    goal: list[Array] = [None] * (length + 1)
    left: list[Array] = [None] * length
    alive, depth_mean = xp.ones_like(weight[0]), xp.zeros_like(weight[0])
    accepted, path, law = xp.zeros_like(order[:, 0]), xp.zeros_like(order[:, 0]), None
    for turn in range(count):
        at_path = order[:, turn]
        x = xp.take_along_axis(tokens, at_path[:, None, None], axis=1)[:, 0, :]
        for depth in range(length + 1):
            fresh = xp.ones_like(alive, dtype=xp.bool) if turn == 0 else depth > common[:, turn - 1]
            if turn and not _any(xp, fresh):
                continue
            if depth:
                wanted = weight[depth - 1] * _mass(goal[depth - 1], x[:, depth - 1])
                offered = _mass(left[depth - 1], x[:, depth - 1]) / xp.sum(left[depth - 1], axis=-1)
                weight[depth] = xp.where(fresh, clipped_ratio(wanted, offered), weight[depth])
            row = xp.astype(row_at(targets, at_path * (length + 1) + depth), xp.float64)
            goal[depth] = row if turn == 0 else xp.where(fresh[:, None], row, goal[depth])
            if depth < length:
                row = xp.astype(row_at(drafts, at_path * length + depth), xp.float64)
                left[depth] = row if turn == 0 else xp.where(fresh[:, None], row, left[depth])
        for depth in range(length, 0, -1):
            active = (depth > common[:, turn]) & (alive > 0)
            if not _any(xp, active):
                continue
            chance = weight[depth]
            if uniforms is not None:
                chance = xp.astype(uniforms[:, turn * length + depth - 1] < chance, xp.float64)
            chance = chance * xp.astype(active, xp.float64)
            depth_mean = depth_mean + alive * chance * depth
            alive = alive * (1.0 - chance)
            stops = chance > 0
            accepted = xp.where(stops, xp.full_like(accepted, depth), accepted)
            path = xp.where(stops, at_path, path)
            if uniforms is not None:
                law = goal[depth] if law is None else xp.where(stops[:, None], goal[depth], law)
            weight[depth - 1], goal[depth - 1], left[depth - 1] = _after_failure(
                xp, active & (alive > 0), weight[depth - 1], goal[depth - 1], left[depth - 1], x[:, depth - 1])
    root = (alive > 0)[:, None]
    law = goal[0] if law is None else xp.where(root, goal[0], law)
    return accepted, path, law, depth_mean


def _after_failure(xp: Any, active: Array, weight: Array, goal: Array, left: Array,
                   token: Array) -> tuple[Array, Array, Array]:
    """State ``[B]``, ``[B V]``, ``[B V]`` of nodes after the child of ``token`` ``[B]`` has failed, where active."""
    law = left / xp.sum(left, axis=-1)[:, None]
    excess = positive_part(weight[:, None] * goal - law)
    mass = xp.sum(excess, axis=-1)
    room = mass + 1.0 - weight
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
