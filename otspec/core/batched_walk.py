"""A token rule walked down a batch of trees, level by level, and the drafts of one node per row as lists.

On the CPU only rows that are still under way are handed to the rule, so a level costs what their number says;
elsewhere all rows are, N levels long, since nobody asks the device which ones have ended.

Fact: given a tree whose nodes merge copies, every order of the draws in which first appearances keep their order is
equally likely. Such an order is drawn one place after the other: with R draws left of which r repeat tokens that have
appeared, the next one is each of those repeats with probability 1 / R, and else the next new token. [spectr]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_torch_array

from otspec.core.drafted import DraftedTrees
from otspec.core.laws import draw, namespace
from otspec.core.rows import row_at
from otspec.core.schemes import WithReplacement

Array = Any


def lists_at(drafted: DraftedTrees, node: Array, most: int, coins: Array | None) -> Array:
    """Drafts ``[B most]`` at one node ``[B]`` per row in drawing order, -1 after the last.

    Parameters
    ----------
    drafted : DraftedTrees
    node : [B] int
    most : int
        Largest number of draws at one node.
    coins : [B most], optional
        Numbers in [0, 1) that draw the order of merged copies; None where there are none.
    """
    xp = namespace(drafted.tokens)
    below = drafted.present & (drafted.above == node[:, None])
    place = xp.cumulative_sum(xp.astype(below, xp.int64), axis=-1) - 1
    if coins is None:
        return xp.stack([_only(xp, drafted.tokens, below & (place == slot)) for slot in range(most)], axis=-1)
    left = xp.where(below, drafted.copies, xp.zeros_like(drafted.copies))
    begun, drafts = xp.zeros_like(node), []  # so many children have appeared
    for slot in range(most):
        reached = xp.cumulative_sum(left, axis=-1)
        rest = xp.sum(left, axis=-1, keepdims=True)
        level = xp.astype(xp.floor(coins[:, slot, None] * xp.astype(rest, coins.dtype)), rest.dtype)
        hit = below & (reached > level) & (reached - left <= level)
        chosen = xp.sum(xp.where(hit, place, xp.zeros_like(place)), axis=-1)
        chosen = xp.where(chosen > begun, begun, chosen)  # any token that is new is the next new one
        taken = below & (place == chosen[:, None]) & (rest > 0)
        drafts.append(_only(xp, drafted.tokens, taken))
        left = left - xp.astype(taken, left.dtype)
        begun = xp.where((rest[:, 0] > 0) & (chosen == begun), begun + 1, begun)
    return xp.stack(drafts, axis=-1)


def _only(xp: Any, tokens: Array, mask: Array) -> Array:
    """The token under a mask that holds at most one place per row; -1 where it holds none."""
    found = xp.sum(xp.where(mask, tokens + 1, xp.zeros_like(tokens)), axis=-1) - 1
    return xp.astype(found, xp.int64)


def child_of(drafted: DraftedTrees, node: Array, token: Array) -> Array:
    """Child ``[B]`` of a node that ends in a token; 0 where there is none."""
    xp = namespace(drafted.tokens)
    hit = drafted.present & (drafted.above == node[:, None]) & (drafted.tokens == token[:, None])
    number = xp.arange(1, drafted.num_nodes + 1, dtype=xp.int64, device=drafted.tokens.device)
    return xp.sum(xp.where(hit, number, xp.zeros_like(number)), axis=-1)


def rows_at(rows: Array, node: Array, live: Array | None) -> Array:
    """Rows ``[b V]`` of one node each of ``[B N+1 V]``; of the rows ``live`` of the batch, or of all (None)."""
    return row_at(rows, node) if live is None else rows[live, node[live]]


def in_place(drafted: DraftedTrees, *arrays: Array) -> tuple[Any, ...]:
    """The same without copies in NumPy where it is torch on the CPU."""
    if not (is_torch_array(arrays[0]) and arrays[0].device.type == "cpu"):
        return (drafted, *arrays)
    parts = (None if part is None else np.asarray(part) for part in
             (drafted.tokens, drafted.parents, drafted.multiplicity))
    tokens, parents, copies = parts
    return (DraftedTrees(tokens, parents, drafted.scheme, drafted.adaptive_widths, copies),
            *(np.asarray(array) for array in arrays))


def level_width(rule: Any) -> int:
    """Uniforms of one level of `walk_trees`: those of the token rule, and of the order of its drafts."""
    copies = rule.scheme.num_drafts if isinstance(rule.scheme, WithReplacement) else 0
    return rule.num_uniforms + copies


def walk_trees(rule: Any, drafted: DraftedTrees, target_rows: Array, draft_rows: Array,
               uniforms: Array) -> tuple[Array, Array]:
    """Walk a token rule down one tree per row: node and next token ``[B]``.

    Parameters
    ----------
    rule : TokenVerifier
    drafted : DraftedTrees
    target_rows, draft_rows : [B N+1 V]
    uniforms : [B N level_width + 1]
    """
    given = namespace(target_rows)
    drafted, target_rows, draft_rows, uniforms = in_place(drafted, target_rows, draft_rows, uniforms)
    xp, most = namespace(target_rows), rule.scheme.num_drafts
    node = xp.zeros(drafted.tokens.shape[:1], dtype=xp.int64, device=drafted.tokens.device)
    token, width = xp.zeros_like(node), level_width(rule)
    going = drafted.draws[:, 0] > 0
    for level in range(drafted.num_nodes):
        live = np.flatnonzero(going) if isinstance(going, np.ndarray) else None
        if live is not None and not live.size:
            break
        coins = uniforms[:, level * width : (level + 1) * width]
        drafts = lists_at(drafted, node, most, coins[:, rule.num_uniforms :] if width > rule.num_uniforms else None)
        emitted = _emit(rule, target_rows, draft_rows, node, drafts, coins[:, : rule.num_uniforms], live, token)
        token = xp.where(going, emitted, token)
        child = child_of(drafted, node, token)
        moved = going & (child > 0)
        node = xp.where(moved, child, node)
        going = moved & (xp.take_along_axis(drafted.draws, node[:, None], axis=1)[:, 0] > 0)
    leaf = xp.take_along_axis(drafted.draws, node[:, None], axis=1)[:, 0] == 0
    last = draw(row_at(target_rows, node), uniforms[:, -1])
    return given.asarray(node), given.asarray(xp.where(leaf, last, token))


def _emit(rule: Any, target_rows: Array, draft_rows: Array, node: Array, drafts: Array, coins: Array,
          live: Array | None, token: Array) -> Array:
    """Emitted token ``[B]`` of the rows under way; anything in the others."""
    xp = namespace(target_rows)
    target, draft = (rows_at(rows, node, live) for rows in (target_rows, draft_rows))
    if live is None:  # draft rows of leaves are not read: they may hold anything
        draft = xp.where(drafts[:, :1] >= 0, draft, target)
        return xp.astype(rule._draw(target, draft, drafts, coins), xp.int64)
    emitted = token.copy()
    emitted[live] = rule._draw(target, draft, drafts[live], coins[live])
    return emitted
