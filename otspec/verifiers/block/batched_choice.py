"""Winner and block on a batch of trees: level by level the winner carries on, and its path is verified on the way.

Block verification keeps the last prefix whose coin succeeds, and the coin of a prefix needs nothing from below it: so
one pass down the winner paths is enough, which holds a single law per row, that of the token after the last success.
[block]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from otspec.core.batched_walk import child_of, in_place, lists_at, rows_at
from otspec.core.drafted import DraftedTrees
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part
from otspec.core.rows import clipped_ratio, weight_after_failure
from otspec.verifiers.tree.winning import draw_winner, num_winner_uniforms

Array = Any


class Followed(NamedTuple):
    """Outcome of the way down, ``[B]`` each."""

    node: Array
    token: Array
    mean: Array  # expected number of tokens kept, the coins and the last winner of every prefix integrated out


def num_level_uniforms(most: int, *, race: bool) -> int:
    """Uniforms of one level: those of the winner, and one for the prefix."""
    return num_winner_uniforms(most, race=race) + 1


def follow_winners(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array, most: int, *,
                   race: bool, kind: str) -> Followed:
    """Follow the winner of each level and verify its path.

    Parameters
    ----------
    drafted, target_rows, draft_rows
        As in `draw_trees`.
    uniforms : [B (N + 1) num_level_uniforms + 1]
    most : int
        Largest number of draws at one node.
    race, kind
        Whether children are drawn without replacement, and the winner law.
    """
    given = namespace(target_rows)
    drafted, target_rows, draft_rows, uniforms = in_place(drafted, target_rows, draft_rows, uniforms)
    xp, width = namespace(target_rows), num_level_uniforms(most, race=race)
    node = xp.zeros(drafted.tokens.shape[:1], dtype=xp.int64, device=drafted.tokens.device)
    weight = xp.ones(node.shape, dtype=xp.float64, device=node.device)
    stop, mean, going = node, xp.zeros_like(weight), xp.ones_like(node, dtype=xp.bool)
    law = None
    # which of several copies wins is the same verdict, so their order need not be drawn
    order = None if race else xp.zeros_like(uniforms[:, :most])
    for level in range(drafted.num_nodes + 1):
        live = np.flatnonzero(going) if isinstance(going, np.ndarray) else None
        if live is not None and not live.size:
            break
        drafts, here = lists_at(drafted, node, most, order), slice(None) if live is None else live
        coins = uniforms[here, level * width : (level + 1) * width]
        found = _level(target_rows, draft_rows, node, drafts[here, ...], weight[here], coins, live, race, kind)
        success, excess, ratio, winner, residual = (_spread(part, like, live) for part, like in zip(
            found, (going, weight, weight, node, law), strict=True))
        success = going & success  # certain at the root, whose weight is 1
        stop = xp.where(success, node, stop)
        law = residual if law is None else xp.where(success[:, None], residual, law)
        going = going & (drafts[:, 0] >= 0)
        mean = mean + xp.where(going, positive_part(weight - excess), xp.zeros_like(mean))
        weight = xp.where(going, ratio, weight)
        node = xp.where(going, child_of(drafted, node, winner), node)
    return Followed(*map(given.asarray, (stop, draw(law, uniforms[:, -1]), mean)))


def _spread(part: Array, like: Array | None, live: Array | None) -> Array:
    """Values of the rows under way in an array of all rows."""
    if live is None or like is None:
        return part
    whole = like.copy()
    whole[live] = part
    return whole


def _level(target_rows: Array, draft_rows: Array, node: Array, drafts: Array, weight: Array, coins: Array,
           live: Array | None, race: bool, kind: str) -> tuple[Array, ...]:
    """Success of a prefix, mass left there, weight and token of its winner ``[b]``, and the law after it ``[b V]``."""
    xp = namespace(target_rows)
    target, draft = (xp.astype(rows_at(rows, node, live), xp.float64) for rows in (target_rows, draft_rows))
    target = target / xp.sum(target, axis=-1, keepdims=True)
    some = drafts[:, :1] >= 0
    draft = xp.where(some, draft, target)  # draft rows of leaves are not read: they may hold anything
    draft = draft / xp.sum(draft, axis=-1, keepdims=True)
    winner, law = draw_winner(target, draft, drafts, coins[:, :-1], race=race, kind=kind)
    residual = xp.where(some, positive_part(weight[:, None] * target - law), target)
    excess = xp.sum(residual, axis=-1)
    success = coins[:, -1] < xp.where(some[:, 0], weight_after_failure(weight, excess), weight)
    ratio = clipped_ratio(weight * at(target, winner[:, None])[:, 0], at(law, winner[:, None])[:, 0])
    return success, excess, ratio, winner, normalized_or(residual, target)
