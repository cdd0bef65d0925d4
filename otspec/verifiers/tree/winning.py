"""One winner among the drafts of a node per row, drawn with a few uniforms, and the law that it has.

The convex-hull sampler, for drafts that are independent or without replacement, on any device; `winners` has the
exact chances of each draft instead. [mdsd]
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from otspec.transport.sampler.pick_parallel import pick_marked
from otspec.transport.winner.laws import cumulative, remaining
from otspec.transport.winner.sorted_laws import sort_laws

Array = Any


class Winner(NamedTuple):
    """Winning drafts."""

    token: Array  # [B]
    law: Array  # [B V] of the winner, by token, given everything but the drafts


def num_winner_uniforms(most: int, *, race: bool) -> int:
    """One for the hull, one for the pick among independent drafts, or one for each draft without replacement."""
    return 1 + (most if race else 1)


def draw_winner(target: Array, draft: Array, tokens: Array, uniforms: Array, *, race: bool,
                kind: str = "universal") -> Winner:
    """Pick one draft per row so that it has the winner law.

    Parameters
    ----------
    target, draft : [B V] float64
        Laws.
    tokens : [B n] int64
        Drafts in drawing order; -1 after the last. Rows without drafts have -1 as winner and any law.
    uniforms : [B num_winner_uniforms(n)]
    race : bool
        Whether the drafts were drawn without replacement.
    kind : {"universal", "minimal", "vertex"}

    Examples
    --------
    >>> laws = np.array([[0.5, 0.5]])
    >>> draw_winner(laws, laws, np.array([[1, 0]]), np.zeros((1, 3)), race=True).law.tolist()
    [[0.5, 0.5]]
    """
    xp = array_namespace(target, draft)
    present = tokens >= 0
    draws = xp.sum(xp.astype(present, xp.int64), axis=-1)
    game = sort_laws(target, draft, draws, race=race, most=tokens.shape[1])
    law = game.law(kind)
    law = law / xp.sum(law, axis=-1, keepdims=True)
    safe = xp.where(present, tokens, xp.zeros_like(tokens))
    ranks = xp.where(present, xp.take_along_axis(game.rank, safe, axis=-1), -xp.ones_like(tokens))
    slot = _slot(game, law, ranks, uniforms, race)
    return Winner(xp.take_along_axis(tokens, slot[:, None], axis=-1)[:, 0], game.by_token(law))


def _slot(game: Any, law: Array, ranks: Array, uniforms: Array, race: bool) -> Array:
    """Winning slot ``[B]``; ranks ``[B n]`` are places in the order of target/draft."""
    from otspec.transport.sampler.hull import winning_cell

    xp = array_namespace(law)
    highest = xp.max(xp.where(ranks >= 0, ranks, xp.zeros_like(ranks)), axis=-1)
    low, high = winning_cell(cumulative(game.draft), cumulative(law), game.capacity, uniforms[:, 0], highest,
                             above=remaining(game.draft))
    if not race:
        return pick_marked(ranks >= low[:, None], uniforms[:, 1])
    if is_numpy_array(law):
        from otspec.transport.sampler.pick import pick_race

        slot = np.zeros(len(law), dtype=np.int64)
        pick_race(game.draft, low, high, np.ascontiguousarray(ranks), np.ascontiguousarray(uniforms[:, 1:]), slot)
        return slot
    from otspec.transport.sampler.pick_parallel import pick_race_parallel

    return pick_race_parallel(game.draft, low, high, ranks, uniforms[:, 1:])
