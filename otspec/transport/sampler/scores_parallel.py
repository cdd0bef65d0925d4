"""The split of scores in whole-array operations, for any array library and device; no step waits for the host.

The same split as in `otspec.transport.sampler.scores`, whose definitions hold here. The compiled hull merges cells one
after the other. Here the level at which a knot leaves the lower hull of ``F - T C`` is found for all knots at once: it
is the root of "flattest slope to the right minus steepest slope from the left", a concave function of T, by Newton's
method from T = 1, whose steps fall to the root and end on it, the function being piecewise linear.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import cumulative_sum, take
from otspec.transport.winner.majorant_parallel import BLOCKED

Array = Any
ROUNDS = 12  # of Newton's method: 3 to 6 settle rows of a language model
SPARE = 5


def split_scores_parallel(x: Array, target: Array, rank: Array, weight: Array, shares: Array, capacity: Array,
                          knots: int) -> tuple[Array, Array, Array, Array, Array]:
    """Fields of `Split`; arguments as in `split_scores`. Groups may be empty here."""
    xp = array_namespace(x, target)
    wanted, room = weight[:, None] * target, _capacity(xp, x, shares, capacity)
    at = _place_knots(xp, x, wanted, room, knots)
    here, share, held = (take(values, at) for values in (x, wanted, room))
    middle = xp.argmin(share - held, axis=-1)
    curve = _flattest(xp, here, share, held, middle)
    width = _steps(here)
    slope = xp.where(width > 0, _steps(curve) / xp.where(width > 0, width, xp.ones_like(width)), xp.zeros_like(width))
    mine = xp.sum(xp.astype(at <= rank[:, None], xp.int64), axis=-1) - 1
    spread = _mean_cells(xp, here, curve, held, middle, mine)
    split = _shares_of(xp, here, spread, shares)
    groups = group_of(at, x.shape[-1] - 1)
    kept = xp.sum(xp.minimum(_steps(wanted), take(slope, groups) * _steps(x)), axis=-1)
    slope = xp.concat([slope, slope[:, -1:]], axis=-1)
    return split, take(slope, mine[:, None])[:, 0], kept, at, slope


def group_of(knots: Array, size: int) -> Array:
    """Group ``[B V]`` of each place, given the first places of the groups ``[B n]``."""
    xp = array_namespace(knots)
    place = xp.arange(size, dtype=knots.dtype, device=knots.device)
    group = xp.zeros((knots.shape[0], size), dtype=xp.int64, device=knots.device) - 1
    for j in range(knots.shape[-1]):
        group = group + xp.astype(place >= knots[:, j : j + 1], xp.int64)
    return group


def _steps(values: Array) -> Array:
    return values[..., 1:] - values[..., :-1]


def _clipped(xp: Any, values: Array, most: Array) -> Array:
    return xp.minimum(xp.maximum(values, xp.zeros_like(values)), most)


def _capacity(xp: Any, x: Array, shares: Array, density: Array) -> Array:
    start, height = xp.zeros_like(shares[:, :1]), xp.zeros_like(x)
    for j in range(shares.shape[-1]):
        most = shares[:, j : j + 1] if j + 1 < shares.shape[-1] else xp.ones_like(start)
        height = height + _clipped(xp, x - start, most) * density[j]
        start = start + shares[:, j : j + 1]
    return height


def _first(xp: Any, mask: Array, fallback: Array) -> Array:
    """Index of the first true entry ``[B]``."""
    found = xp.argmax(xp.astype(mask, xp.int64), axis=-1)
    return xp.where(xp.any(mask, axis=-1), found, fallback)


def _tight(xp: Any, x: Array, wanted: Array, room: Array, best: Array) -> tuple[Array, Array]:
    """Places between which the flattest capacities are exactly what is wanted; see the compiled form."""
    index = xp.arange(x.shape[-1] - 1, dtype=best.dtype, device=x.device)
    width, rise, here, share = _steps(x), _steps(wanted), x[:, :-1], wanted[:, :-1]
    at_best, held = (take(values, best[:, None]) for values in (wanted, room))
    wide = width > 0
    low = wide & (here > 0) & (index >= 1) & (index < best[:, None])
    low = low & ((held - (at_best - share)) * width <= rise * here)
    high = wide & (index >= best[:, None])
    widest = xp.max(xp.where(high, index, best[:, None]), axis=-1)
    high = high & ((room[:, -1:] - held - (share - at_best)) * width <= rise * (x[:, -1:] - here))
    return _first(xp, low, best), _first(xp, high, widest)


def _place_knots(xp: Any, x: Array, wanted: Array, room: Array, most: int) -> Array:
    """Places of the knots ``[B most + SPARE]``, the last of those at one x taken several times."""
    end = x.shape[-1] - 1
    best = xp.argmin(wanted - room, axis=-1)
    first, last = _tight(xp, x, wanted, room, best)
    index = xp.arange(end + 1, dtype=best.dtype, device=x.device)
    start, stop = (take(x, i[:, None]) + take(wanted, i[:, None]) for i in (first, last))
    mass = (x - take(x, first[:, None])) + (wanted - take(wanted, first[:, None]))
    total = stop - start
    total = xp.where(total > 0, total, xp.ones_like(total))
    step = xp.astype(_clipped(xp, mass * most / total, xp.full_like(mass, float(most - 1))), xp.int64)
    inside = (index > first[:, None]) & (index <= last[:, None])
    grown = xp.concat([xp.zeros_like(inside[:, :1]), step[:, 1:] > step[:, :-1]], axis=-1)
    hit = (inside & grown) | (index == 0) | (index == end)
    for knot in (first, best, last):
        hit = hit | (index == knot[:, None])
    places = xp.sort(xp.where(hit, index, xp.full_like(index, end)), axis=-1)
    places = places[:, : most + SPARE] if end + 1 >= most + SPARE else \
        xp.concat([places, xp.full((x.shape[0], most + SPARE - end - 1), end, dtype=places.dtype, device=x.device)],
                  axis=-1)
    at = take(x, places)
    same = xp.sum(xp.astype(at[:, None, :] <= at[:, :, None], xp.int64), axis=-1) - 1
    return xp.where(at > 0, take(places, same), xp.zeros_like(places))


def _flattest(xp: Any, x: Array, wanted: Array, room: Array, middle: Array) -> Array:
    first, last = _tight(xp, x, wanted, room, middle)
    nothing, one = xp.zeros_like(x[:, 0]), xp.ones_like(x[:, 0])
    mid_wanted, mid_room, low_wanted, low_x, high_wanted, high_x = (
        take(values, i[:, None])[:, 0] for values, i in ((wanted, middle), (room, middle), (wanted, first), (x, first),
                                                         (wanted, last), (x, last)))
    below = xp.arange(x.shape[-1] - 1, dtype=middle.dtype, device=x.device) < middle[:, None]
    width, rise = _steps(x), _steps(wanted)

    def level(mass: Array, room_left: Array) -> Array:
        return xp.maximum(mass, nothing) / xp.where(room_left > 0, room_left, one)

    low = level(mid_room - (mid_wanted - low_wanted), low_x)
    high = level(room[:, -1] - mid_room - (high_wanted - mid_wanted), x[:, -1] - high_x)
    nil = xp.zeros_like(width)
    steps = xp.where(below, xp.maximum(rise, low[:, None] * width), nil), \
        xp.where(below, nil, xp.minimum(rise, high[:, None] * width))
    curve = xp.zeros_like(x)
    for step, mass in zip(steps, (mid_room, room[:, -1] - mid_room), strict=True):
        sums = xp.concat([xp.zeros_like(x[:, :1]), cumulative_sum(step)], axis=-1)
        total = sums[:, -1]
        curve = curve + sums * xp.where(total > 0, mass / xp.where(total > 0, total, one), nothing)[:, None]
    return xp.maximum(curve, room)


def _leaving(xp: Any, x: Array, curve: Array, room: Array, middle: Array) -> Array:
    """Level T ``[B n]`` at which each knot leaves the hull of its side of ``middle``; beyond 1 at their ends."""
    size = x.shape[-1]
    index = xp.arange(size, dtype=middle.dtype, device=x.device)
    side = xp.astype(index > middle[:, None], xp.int64)
    gap = x[:, :, None] - x[:, None, :]
    # of a knot j, those to the left and right, the knot in the middle being on both sides
    at_middle = index == middle[:, None]
    mates = (side[:, :, None] == side[:, None, :]) | at_middle[:, None, :]
    left, right = (gap > 0) & mates, (gap < 0) & mates
    wide = xp.where(gap != 0, gap, xp.ones_like(gap))
    rise, held = ((values[:, :, None] - values[:, None, :]) / wide for values in (curve, room))
    level = xp.ones_like(x)
    for _ in range(ROUNDS):
        slope = rise - level[:, :, None] * held
        before = xp.argmax(xp.where(left, slope, xp.full_like(slope, -BLOCKED)), axis=-1)
        after = xp.argmin(xp.where(right, slope, xp.full_like(slope, BLOCKED)), axis=-1)
        bend, closing = (take(part, after[..., None])[..., 0] - take(part, before[..., None])[..., 0]
                         for part in (rise, held))
        falls = (bend < level * closing) & (closing > 0)
        level = xp.where(falls, xp.maximum(bend, xp.zeros_like(bend)) / xp.where(falls, closing, xp.ones_like(bend)),
                         level)
    ends = at_middle | ~xp.any(left, axis=-1) | ~xp.any(right, axis=-1)
    return xp.where(ends, xp.full_like(level, 2.0), level)


def _mean_cells(xp: Any, x: Array, curve: Array, room: Array, middle: Array, mine: Array) -> Array:
    """Mean over T of the uniform law of the hull's cell around group ``mine``: density ``[B n-1]`` over the groups."""
    leaving = _leaving(xp, x, curve, room, middle)
    size = x.shape[-1]
    index = xp.arange(size, dtype=mine.dtype, device=x.device)
    inner = xp.where(leaving < 1.0, leaving, xp.ones_like(leaving))
    start = xp.sort(xp.concat([xp.zeros_like(inner[:, :1]), inner], axis=-1), axis=-1)
    span = xp.concat([_steps(start), 1.0 - start[:, -1:]], axis=-1)
    alive = leaving[:, None, :] > start[:, :, None]
    below = index <= mine[:, None]
    left = xp.max(xp.where(alive & below[:, None, :], index, xp.zeros_like(index)), axis=-1)
    right = xp.min(xp.where(alive & ~below[:, None, :], index, xp.full_like(index, size - 1)), axis=-1)
    width = take(x, right) - take(x, left)
    mass = xp.where(width > 0, span / xp.where(width > 0, width, xp.ones_like(width)), xp.zeros_like(width))
    groups = index[:-1]
    inside = (left[..., None] <= groups) & (groups < right[..., None])
    return xp.sum(xp.where(inside, mass[..., None], xp.zeros_like(mass[..., None])), axis=1)


def _shares_of(xp: Any, x: Array, spread: Array, shares: Array) -> Array:
    upto = cumulative_sum(shares)
    reached = _clipped(xp, upto[:, :, None] - x[:, None, :-1], _steps(x)[:, None, :])
    total = xp.sum(reached * spread[:, None, :], axis=-1)
    total = xp.concat([total[:, :-1], xp.sum(spread * _steps(x), axis=-1, keepdims=True)], axis=-1)
    split = xp.concat([total[:, :1], _steps(total)], axis=-1)
    split = xp.maximum(split, xp.zeros_like(split))
    return split / xp.sum(split, axis=-1, keepdims=True)
