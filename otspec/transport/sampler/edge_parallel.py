"""The edge of a lower hull above one token in whole-array operations; no step waits for the host.

The steepest edge from the left and the flattest edge to the right alternate a fixed number of times, where
`otspec.transport.sampler.edge`, which is compiled, stops when neither moves.
"""

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import take
from otspec.transport.winner.majorant_parallel import BLOCKED

Array = Any
EDGE_STEPS = 8  # alternations to the edge of a hull: 1 to 4 settle it, also over hundreds of decades
MOVE = 4 * 2.0**-52


def winning_cell_parallel(x: Array, winner: Array, capacity: Array, t: Array, rank: Array, above: Array,
                          steps: int = EDGE_STEPS) -> tuple[Array, Array]:
    """Cell ``(a, b)`` of the lower hull of ``(x, winner - t capacity)`` that holds the token of rank ``rank``.

    Parameters
    ----------
    x, winner, capacity, above : [B V+1]
        Cumulative draft law, winner law and capacity in the sorted order, and 1 - x summed from the right.
    t, rank : [B]
    steps : int
        Alternations of "steepest edge from the left" with "flattest edge to the right".
    """
    xp = array_namespace(x, winner)
    curve = winner - t[:, None] * capacity
    size = x.shape[-1]
    index = xp.arange(size, device=x.device)
    below = index <= rank[:, None]

    def slopes(knot: Array, sign: int) -> tuple[Array, Array]:
        """Where there is width between every knot and one, and the slopes; next to a dominant token x has lost it."""
        at_x, at_above, at_y = (take(values, knot[:, None]) for values in (x, above, curve))
        from_left = xp.where(below, at_x <= above, x <= at_above)
        width = sign * xp.where(from_left, at_x - x, above - at_above)
        wide = width > 0
        return wide, sign * (at_y - curve) / xp.where(wide, width, xp.ones_like(width))

    b = xp.full_like(rank, size - 1)
    a, slope = xp.zeros_like(rank), xp.full_like(t, -BLOCKED)
    for step in range(steps):
        # an end moves only for a slope that is better by more than rounding: ties would go round in circles
        wide, edge = slopes(b, 1)
        edge = xp.where(wide & below, edge, xp.full_like(edge, -BLOCKED))
        found = xp.argmax(edge, axis=-1)
        best = take(edge, found[:, None])[:, 0]
        moved = best > slope + MOVE * xp.maximum(xp.abs(slope), xp.abs(best)) if step else best > -BLOCKED
        a, slope = xp.where(moved, found, a), xp.where(moved, best, slope)
        wide, edge = slopes(a, -1)
        edge = xp.where(wide & ~below, edge, xp.full_like(edge, BLOCKED))
        found = size - 1 - xp.argmin(xp.flip(edge, axis=-1), axis=-1)  # the widest of equally flat edges
        best = take(edge, found[:, None])[:, 0]
        moved = best < slope - MOVE * xp.maximum(xp.abs(slope), xp.abs(best))
        b, slope = xp.where(moved, found, b), xp.where(moved, best, slope)
    return a, b
