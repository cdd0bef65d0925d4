"""The winner among the drafts of the top cell in whole-array operations; no step waits for the host.

The same uniforms give the same slots as `otspec.transport.sampler.pick`, which is compiled.
"""

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import at, cumulative_maximum

Array = Any


def pick_marked(marked: Array, uniform: Array) -> Array:
    """Index ``[B]`` of a uniformly chosen marked slot of ``[B n]``, counted from the left."""
    xp = array_namespace(marked, uniform)
    count = xp.cumulative_sum(xp.astype(marked, xp.int64), axis=-1)
    total = count[:, -1]
    skip = xp.minimum(xp.astype(xp.floor(uniform * xp.astype(total, uniform.dtype)), xp.int64), total - 1)
    return xp.argmax(xp.astype(marked & (count == skip[:, None] + 1), xp.int64), axis=-1)


def pick_race_parallel(draft_sorted: Array, low: Array, high: Array, ranks: Array, uniforms: Array) -> Array:
    """Winning slot ``[B]`` among drafts without replacement whose top cell is ``[low, high)``.

    The race goes on among the tokens outside the cell, one step after the other; see `otspec.transport.sampler.hull`.

    Parameters
    ----------
    draft_sorted : [B V]
    low, high : [B] int
    ranks : [B n] int
        Sorted positions in drawing order; -1 for an absent draft.
    uniforms : [B n]
        One for each step of the race; the last for the draw inside the cell.
    """
    xp = array_namespace(draft_sorted, ranks)
    index = xp.arange(draft_sorted.shape[-1], dtype=ranks.dtype, device=ranks.device)
    low, high = low[:, None], high[:, None]
    present, inside = ranks >= 0, ranks >= low
    drafts = xp.sum(xp.astype(present, xp.int64), axis=-1)
    out = xp.sum(xp.astype(present & ~inside, xp.int64), axis=-1)
    free = xp.where(index < low, draft_sorted, xp.zeros_like(draft_sorted))
    for slot in range(ranks.shape[1]):
        free = xp.where(index == ranks[:, slot, None], xp.zeros_like(free), free)
    beyond = xp.sum(xp.where(index >= high, draft_sorted, xp.zeros_like(free)), axis=-1)
    running = xp.ones_like(out, dtype=xp.bool)
    for step in range(ranks.shape[1] - 1):
        sums = cumulative_maximum(xp.cumulative_sum(free, axis=-1))
        mass = sums[:, -1]
        mark = uniforms[:, step] * (mass + beyond)
        running = running & (mark < mass)
        taken = xp.sum(xp.astype(sums <= mark[:, None], xp.int64), axis=-1)
        free = xp.where(running[:, None] & (index == taken[:, None]), xp.zeros_like(free), free)
        out = out + xp.astype(running, xp.int64)
    quota = drafts - out  # below 1 where the race took more than it had to: the first draft of the cell wins
    cell = xp.sum(xp.where((index >= low) & (index < high), draft_sorted, xp.zeros_like(free)), axis=-1)
    held = xp.cumulative_sum(xp.where(inside, at(draft_sorted, ranks), xp.zeros_like(uniforms)), axis=-1)
    nth = xp.cumulative_sum(xp.astype(inside, xp.int64), axis=-1)
    wins = inside & ((nth >= quota[:, None]) | (held > (uniforms[:, -1] * cell)[:, None]))
    return xp.argmax(xp.astype(wins, xp.int64), axis=-1)
