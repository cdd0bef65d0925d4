"""Majorants and hull edges in whole-array operations, for any array library and device.

The scan that numba compiles is sequential. Here blocks of knots are joined pairwise, 1 with 1, 2 with 2, 4 with 4:
the majorant of two neighbouring blocks is the majorants of both, less the knots under the one edge that bridges them.
A bridge is found by alternating "steepest edge to the right block from here" with "flattest edge from the left block
to there": each step lifts the edge at the dividing line, and a few steps are usual.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import cumulative_maximum, positive_part

Array = Any
MAX_STEPS = 64
MOVE = 4 * 2.0**-52
BLOCKED = 1e300  # slope of an edge that may not be taken


def _neighbours(xp: Any, keep: Array) -> tuple[Array, Array]:
    """Index of the nearest kept knot at or before, and of the nearest strictly after each knot."""
    size = keep.shape[-1]
    index = xp.broadcast_to(xp.arange(size, dtype=xp.int64, device=keep.device), keep.shape)
    at_or_before = cumulative_maximum(xp.where(keep, index, xp.zeros_like(index)))
    mirrored = xp.flip(xp.where(keep, size - 1 - index, xp.zeros_like(index)), axis=-1)
    at_or_after = size - 1 - xp.flip(cumulative_maximum(mirrored), axis=-1)
    after = xp.concat([at_or_after[..., 1:], xp.full_like(at_or_after[..., :1], size - 1)], axis=-1)
    return at_or_before, after


def _best_slope(xp: Any, side: tuple[Array, Array, Array], at_x: Array, at_y: Array, *,
                steepest: bool) -> tuple[Array, Array]:
    """Usable knot of one side whose edge to ``(at_x, at_y)`` is steepest (or flattest), and that slope."""
    x, y, usable = side
    width, height = x - at_x[..., None], y - at_y[..., None]
    usable = usable & (width != 0)
    slope = height / xp.where(usable, width, xp.ones_like(width))
    worst = xp.full_like(slope, -BLOCKED if steepest else BLOCKED)
    slope = xp.where(usable, slope, worst)
    best = (xp.argmax if steepest else xp.argmin)(slope, axis=-1)
    return best, xp.take_along_axis(slope, best[..., None], axis=-1)[..., 0]


def _bridge(xp: Any, left: tuple[Array, Array, Array], right: tuple[Array, Array, Array],
            steps: int | None = None) -> tuple[Array, Array]:
    """Ends of the edge that joins the concave majorants of two blocks; each side is ``(x, y, usable)``.

    With ``steps`` given, exactly so many steps are taken and the host never waits for the device.
    """
    def at(side: tuple[Array, Array, Array], index: Array) -> tuple[Array, Array]:
        return tuple(xp.take_along_axis(values, index[..., None], axis=-1)[..., 0] for values in side[:2])

    start = xp.argmax(xp.astype(left[2], xp.int64), axis=-1)
    stop, slope = _best_slope(xp, right, *at(left, start), steepest=True)
    for _ in range(MAX_STEPS if steps is None else steps):
        # an end moves only for a slope that is better by more than rounding: ties would go round in circles
        found, flatter = _best_slope(xp, left, *at(right, stop), steepest=False)
        moved = flatter < slope - MOVE * xp.maximum(xp.abs(slope), xp.abs(flatter))
        start, slope = xp.where(moved, found, start), xp.where(moved, flatter, slope)
        found, steeper = _best_slope(xp, right, *at(left, start), steepest=True)
        again = steeper > slope + MOVE * xp.maximum(xp.abs(slope), xp.abs(steeper))
        stop, slope = xp.where(again, found, stop), xp.where(again, steeper, slope)
        if steps is None and not bool(xp.any(moved | again)):
            break
    return start, stop


def majorant_knots(x: Array, y: Array) -> Array:
    """Mask ``[*batch n]`` of the vertices of the least concave majorant of points with ascending ``x``.

    Of knots with equal ``x`` only the last is considered, so ``y`` should not fall there.
    """
    xp = array_namespace(x, y)
    size = x.shape[-1]
    padded = 1
    while padded < size:
        padded *= 2
    # padding repeats the last knot and is never usable
    fill = padded - size
    keep = xp.concat([x[..., :-1] < x[..., 1:], xp.ones_like(x[..., -1:], dtype=xp.bool),
                      xp.zeros((*x.shape[:-1], fill), dtype=xp.bool, device=x.device)], axis=-1)
    x, y = (xp.concat([v, xp.broadcast_to(v[..., -1:], (*v.shape[:-1], fill))], axis=-1) for v in (x, y))
    block = 1
    while block < padded:
        shape = (*x.shape[:-1], padded // (2 * block), 2, block)
        bx, by, usable = (xp.reshape(v, shape) for v in (x, y, keep))
        sides = [(bx[..., i, :], by[..., i, :], usable[..., i, :]) for i in (0, 1)]
        start, stop = _bridge(xp, *sides)
        both = xp.any(sides[0][2], axis=-1) & xp.any(sides[1][2], axis=-1)
        index = xp.arange(block, device=x.device)
        left = sides[0][2] & ((index <= start[..., None]) | ~both[..., None])
        right = sides[1][2] & ((index >= stop[..., None]) | ~both[..., None])
        keep = xp.reshape(xp.stack([left, right], axis=-2), (*x.shape[:-1], padded))
        block *= 2
    return keep[..., :size]


def universal_law_parallel(target_sorted: Array, capacity: Array) -> Array:
    """Increments of the least concave majorant of (cumulative target, capacity), ``[*batch V]``.

    The same law as `otspec.transport.winner.universal_law`, to rounding.
    """
    xp = array_namespace(target_sorted, capacity)
    size = target_sorted.shape[-1]
    sums = xp.cumulative_sum(target_sorted, axis=-1)
    mass = xp.concat([xp.zeros_like(sums[..., :1]), sums], axis=-1)
    before, after = _neighbours(xp, majorant_knots(mass, capacity))
    start, stop = before[..., :size], after[..., :size]
    width = xp.take_along_axis(mass, stop, axis=-1) - xp.take_along_axis(mass, start, axis=-1)
    height = xp.take_along_axis(capacity, stop, axis=-1) - xp.take_along_axis(capacity, start, axis=-1)
    shared = target_sorted * (height / xp.where(width > 0, width, xp.ones_like(width)))
    # tokens without target mass stand at both ends, beside the majorant: they keep their own increment
    return xp.where(target_sorted < 1e-290, capacity[..., 1:] - capacity[..., :-1], shared)


def minimal_law_parallel(target_sorted: Array, capacity: Array) -> Array:
    """Winner law by cumulative sums and maxima alone, ``[*batch V]``: no step depends on the data.

    The same law as `otspec.transport.winner.minimal_law`.
    """
    xp = array_namespace(target_sorted, capacity)
    sums = xp.cumulative_sum(target_sorted, axis=-1)
    mass = xp.concat([xp.zeros_like(sums[..., :1]), sums], axis=-1)
    excess = positive_part(capacity - mass)
    from_right = xp.flip(cumulative_maximum(xp.flip(excess, axis=-1)), axis=-1)
    curve = mass + xp.minimum(cumulative_maximum(excess), from_right)
    return positive_part(curve[..., 1:] - curve[..., :-1])


def winning_cell_parallel(x: Array, winner: Array, capacity: Array, t: Array, rank: Array,
                          steps: int | None = None) -> tuple[Array, Array]:
    """Cell ``(a, b)`` of the lower hull of ``(x, winner - t capacity)`` that holds the token of rank ``rank``.

    Parameters
    ----------
    x, winner, capacity : [*batch V+1]
        Cumulative draft law, winner law and capacity in the sorted order.
    t, rank : [*batch]
    steps : int, optional
        Take exactly so many steps instead of asking the device after each whether the edge has settled.
    """
    xp = array_namespace(x, winner)
    curve = t[..., None] * capacity - winner
    index = xp.arange(x.shape[-1], device=x.device)
    # of knots with equal x one is enough: the last below the rank, the first above it
    grows = x[..., :-1] < x[..., 1:]
    edge = xp.ones_like(grows[..., :1])
    below = (index <= rank[..., None]) & (xp.concat([grows, edge], axis=-1) | (index == rank[..., None]))
    above = (index > rank[..., None]) & (xp.concat([edge, grows], axis=-1) | (index == rank[..., None] + 1))
    return _bridge(xp, (x, curve, below), (x, curve, above), steps)
