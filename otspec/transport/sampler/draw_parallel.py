"""One optimal draw as whole-array operations, for other libraries and devices; no step waits for the host.

The same uniforms give the same tokens as `otspec.transport.sampler.draw`, which is compiled.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import at, draw, normalized_or, positive_part, take
from otspec.transport.sampler.edge_parallel import winning_cell_parallel
from otspec.transport.sampler.pick_parallel import pick_marked, pick_race_parallel
from otspec.transport.winner.laws import cumulative, remaining
from otspec.transport.winner.sorted_laws import sort_laws

Array = Any


def draw_tokens_parallel(target: Array, draft: Array, tokens: Array, uniforms: Array, *,
                         replacement: bool, minimal: bool = False) -> Array:
    """Emit one token per row by the convex-hull sampler.

    Parameters
    ----------
    target, draft : [B V]
        Law of the large model, and of the sampled drafts.
    tokens : [B n] int64
        Sampled drafts in drawing order; -1 where one is absent.
    uniforms : [B m]
        T, acceptance, residual, then the pick inside the cell: one number with replacement, n without.
    replacement : bool
    minimal : bool
        Use the minimal winner law instead of the universal one.

    Returns
    -------
    [B] int64

    Examples
    --------
    >>> laws = np.array([[0.5, 0.5]])
    >>> draw_tokens_parallel(laws, laws, np.array([[1]]), np.zeros((1, 4)), replacement=True).tolist()
    [1]
    """
    xp = array_namespace(target, draft, tokens, uniforms)
    p, q, u = (xp.astype(values, xp.float64) for values in (target, draft, uniforms))
    p = p / xp.sum(p, axis=-1, keepdims=True)
    if not replacement:
        q = xp.where(xp.any(q > 0, axis=-1, keepdims=True), q, p)  # any law where nothing is sampled
    present = tokens >= 0
    draws = xp.sum(xp.astype(present, xp.int64), axis=-1)
    laws = sort_laws(p, q, draws, race=not replacement, most=tokens.shape[1])
    law = laws.law("minimal" if minimal else "universal")
    safe = xp.where(present, tokens, xp.zeros_like(tokens))
    ranks = xp.where(present, take(laws.rank, safe), -xp.ones_like(tokens))
    highest = xp.max(xp.where(present, ranks, xp.zeros_like(ranks)), axis=-1)
    low, high = winning_cell_parallel(cumulative(laws.draft), cumulative(law), laws.capacity, u[:, 0], highest,
                                      remaining(laws.draft))
    if replacement:
        slot = pick_marked(ranks >= low[:, None], u[:, 3])
    else:
        slot = pick_race_parallel(laws.draft, low, high, ranks, u[:, 3 : 3 + tokens.shape[1]])
    winner = take(tokens, slot[:, None])
    # without any draft the residual is the target itself
    law = xp.where((draws > 0)[:, None], laws.by_token(law), xp.zeros_like(law))
    accepted = (winner >= 0) & (u[:, 1:2] * at(law, winner) < at(p, winner))
    emitted = draw(normalized_or(positive_part(p - law), p), u[:, 2])
    return xp.where(accepted[:, 0], winner[:, 0], emitted)
