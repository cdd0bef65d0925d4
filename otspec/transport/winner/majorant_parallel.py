"""The least concave majorant in whole-array operations, for any array library and device.

The compiled scan (`otspec.transport.winner.majorant`) is sequential. Here blocks of knots are joined pairwise, 1 with
1, 2 with 2, 4 with 4: the majorant of two neighbouring blocks is a head of the left chain of vertices and a tail of the
right one, joined by the one edge that bridges them. From a left vertex i the slope to the right chain is unimodal, so
its maximum s(i) is found on every r-th vertex first and then between two of them. The bridge starts at the first i
whose own edge is not steeper than s(i): before it, that edge looks over the whole right block; from it on, the right
block stands higher. That is a search of one monotone answer, again on every r-th vertex first. With r the root of the
block's length each join is four tables of at most ``[B V]`` numbers, whatever the data; no step waits for the host.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import cumulative_maximum, take
from otspec.transport.winner.majorant import NEGLIGIBLE

Array = Any
BLOCKED = 1e300  # slope of an edge that may not be taken


def _slope(xp: Any, width: Array, height: Array) -> Array:
    """Slope of edges to the right; an edge without width is flatter than any other."""
    wide = width > 0
    return xp.where(wide, height / xp.where(wide, width, xp.ones_like(width)), xp.full_like(width, -BLOCKED))


def _within(xp: Any, index: Array, size: int) -> Array:
    """Indices moved to ``0 .. size-1``."""
    index = xp.where(index > 0, index, xp.zeros_like(index))
    return xp.where(index < size, index, xp.full_like(index, size - 1))


def _last_of_equals(xp: Any, x: Array) -> Array:
    """Index of the last knot with the same ``x``, for each knot of ``[B n]``."""
    size = x.shape[-1]
    ends = xp.concat([x[:, :-1] < x[:, 1:], xp.ones_like(x[:, -1:], dtype=xp.bool)], axis=-1)
    index = xp.arange(size, dtype=xp.int64, device=x.device)
    mirrored = xp.where(ends, size - 1 - index, xp.zeros_like(index))
    return size - 1 - xp.flip(cumulative_maximum(xp.flip(mirrored, axis=-1)), axis=-1)


def _tangents(xp: Any, point: tuple[Array, Array], chain: tuple[Array, Array], stride: int) -> tuple[Array, Array]:
    """Steepest edges from points ``[B n m]`` to a concave chain ``[B n b]``: their slopes, and where they end."""
    size = chain[0].shape[-1]

    def steepest(x: Array, y: Array) -> tuple[Array, Array]:
        slope = _slope(xp, x - point[0][..., None], y - point[1][..., None])
        best = xp.argmax(slope, axis=-1)
        return best, take(slope, best[..., None])[..., 0]

    near, _ = steepest(*(values[..., None, ::stride] for values in chain))
    window = (near[..., None] - 1) * stride + xp.arange(2 * stride, dtype=near.dtype, device=near.device)
    window = _within(xp, window, size)
    flat = xp.reshape(window, (*window.shape[:2], -1))
    best, slope = steepest(*(xp.reshape(take(values, flat), window.shape) for values in chain))
    return slope, take(window, best[..., None])[..., 0]


def _bridge(xp: Any, left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array, Array]:
    """Ends and slope ``[B n]`` of the edge that joins concave chains ``[B n b]``; b is a power of two."""
    size = left[0].shape[-1]
    stride = 1 << ((size.bit_length() - 1) // 2)
    own = _slope(xp, *(values[..., 1:] - values[..., :-1] for values in left))
    own = xp.concat([own, xp.full_like(left[0][..., :1], -BLOCKED)], axis=-1)

    def over(index: Array) -> tuple[Array, Array, Array]:
        """Place in ``index`` of the first vertex that sees the right block; all slopes and ends."""
        edge, *point = (take(values, index) for values in (own, *left))
        slope, stop = _tangents(xp, tuple(point), right, stride)
        return xp.astype(edge > slope, xp.int64), slope, stop

    batch = left[0].shape[:2]
    every = xp.arange(0, size, stride, dtype=xp.int64, device=own.device)
    looks, _, _ = over(xp.broadcast_to(every, (*batch, every.shape[0])))
    # the first that does not look over the right block, or one past the end
    passed = xp.argmin(xp.concat([looks, xp.zeros_like(looks[..., :1])], axis=-1), axis=-1)
    index = (passed[..., None] - 1) * stride + 1 + xp.arange(stride, dtype=xp.int64, device=own.device)
    index = _within(xp, index, size)
    looks, slope, stop = over(index)
    first = xp.argmin(looks, axis=-1)[..., None]
    return tuple(take(values, first)[..., 0] for values in (index, stop, slope))


def majorant_slopes(x: Array, y: Array) -> Array:
    """Slopes ``[B n-1]`` of the least concave majorant of points ``[B n]`` between neighbouring ``x``.

    ``x`` ascends and ``y`` does not fall; of knots with equal ``x`` the last counts. Work space is a few times the
    arguments.

    Examples
    --------
    >>> majorant_slopes(np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 1.0, 4.0]])).tolist()
    [[2.0, 2.0]]
    """
    xp = array_namespace(x, y)
    rows, size = x.shape
    if rows == 0:
        return x[:, : size - 1]
    padded = 1 << (size - 1).bit_length()
    # padding repeats the last knot, as do the ends of all chains below
    token = xp.arange(padded, dtype=xp.int64, device=x.device)
    place = xp.take(_last_of_equals(xp, x), _within(xp, token, size), axis=-1)
    x, y = (take(values, place) for values in (x, y))
    slopes = xp.zeros_like(x)
    block = 1
    while block < padded:
        pairs = [xp.reshape(values, (rows, -1, 2 * block)) for values in (x, y, place)]
        left, right = ([values[..., part] for values in pairs] for part in (slice(None, block), slice(block, None)))
        start, stop, slope = _bridge(xp, tuple(left[:2]), tuple(right[:2]))
        low = take(left[2], start[..., None])
        high = take(right[2], stop[..., None])
        here = xp.reshape(token, (-1, 2 * block))
        spanned = (here >= low) & (here < high)
        slopes = xp.reshape(xp.where(spanned, slope[..., None], xp.reshape(slopes, (rows, -1, 2 * block))), x.shape)
        along = xp.arange(2 * block, dtype=xp.int64, device=x.device)
        behind = _within(xp, along - start[..., None] - 1 + stop[..., None], block)
        source = xp.where(along <= start[..., None], along, block + behind)
        x, y, place = (xp.reshape(take(values, source), x.shape) for values in pairs)
        block *= 2
    return slopes[:, : size - 1]


def universal_law_parallel(target_sorted: Array, increments: Array) -> Array:
    """Increments of the least concave majorant of (cumulative target, capacity), ``[*batch V]``.

    The same law as `otspec.transport.winner.laws.universal_law`, to 1e-14 or so in absolute terms: a majorant that ends
    at 1 has slope at most 1/P at mass P, so the rounding of P costs no more than that of 1.
    """
    xp = array_namespace(target_sorted, increments)
    seen = target_sorted >= NEGLIGIBLE
    zero = xp.zeros_like(target_sorted)

    def curve(steps: Array) -> Array:
        # a sum in parallel may fall by a rounding
        sums = cumulative_maximum(xp.cumulative_sum(xp.where(seen, steps, zero), axis=-1))
        return xp.reshape(xp.concat([zero[..., :1], sums], axis=-1), (-1, sums.shape[-1] + 1))

    slopes = xp.reshape(majorant_slopes(curve(target_sorted), curve(increments)), target_sorted.shape)
    # tokens without target mass stand beside the majorant: they keep their own increment
    return xp.where(seen, target_sorted * slopes, increments)
