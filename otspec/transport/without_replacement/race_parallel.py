r"""Capacities of drafts without replacement in whole-array operations on any device.

The integral is that of `otspec.transport.without_replacement.race`. Tokens stand in about sqrt(V) blocks of as many.
One loop over the places in a block multiplies the polynomials of all blocks at once (the law of how many of the block's
tokens have arrived, cut at the number of drafts); a doubling scan of their products gives each block the polynomial of
all tokens before it; a second loop goes through the blocks again from there and integrates. All terms are positive.

The grid in log t is fixed: from where the integrand, :math:`O(t^{k+1})`, is below 1e-19 to the horizon of the
lightest mass that k draws can notice once the law's gaps are narrow (`otspec.transport.without_replacement.spread`), so
that it does not depend on the data and still serves every token of positive mass.
"""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise
from typing import Any

from array_api_compat import array_namespace

from otspec.transport.without_replacement.spread import narrow_gaps, reach

Array = Any
WORK = 2**26  # float64 numbers (512 MiB) that the grid may fill at a time, on top of a few [B V]
_STEP = 0.20  # in log t: see `otspec.transport.without_replacement.race`
_HORIZON = 45.0
_START = -44.0


def race_increments_parallel(draft_sorted: Array, k: int, draws: Array | None = None) -> Array:
    """Increments of Pr[all drafts are among the first j tokens], drafts without replacement.

    Parameters
    ----------
    draft_sorted : [*batch V]
        Draft law in any order. Every token of positive mass takes part, however light.
    k : int
    draws : [*batch] int, optional
        Number of drafts of each row, at most ``k``.

    Returns
    -------
    [*batch V]
        As `otspec.transport.without_replacement.race.race_increments`, to 1e-13.

    Examples
    --------
    >>> race_increments_parallel(np.array([0.5, 0.5]), 2).tolist()
    [0.0, 1.0]
    """
    xp = array_namespace(draft_sorted)
    shape = draft_sorted.shape
    if 0 in shape:
        return draft_sorted
    q = narrow_gaps(xp.reshape(xp.astype(draft_sorted, xp.float64), (-1, shape[-1])), k)
    count = xp.full(q.shape[:1], k, dtype=xp.int64, device=q.device) if draws is None else xp.reshape(draws, (-1,))
    seen = xp.cumulative_sum(xp.astype(q > 0, xp.int64), axis=-1)
    short = seen[:, -1] <= count
    last = xp.astype((seen == seen[:, -1:]) & (q > 0), q.dtype)
    behind = _suffix_mass(xp, q)
    increments = q
    if k > 1:
        increments = xp.where((count == 2)[:, None], _pair(xp, q, behind), q)
    if k > 2:
        drawn = xp.where(count > 2, count, xp.full_like(count, 3))
        integral = _head(xp, behind, q, drawn, k) + _STEP * _Race(q, behind, drawn, k, draws is None).integral()
        integral = xp.where((seen >= drawn[:, None]) & (integral > 0) & (q > 0), integral, xp.zeros_like(q))
        increments = xp.where((count > 2)[:, None], integral, increments)
    increments = xp.where(short[:, None], last, increments)
    return xp.reshape(increments / xp.sum(increments, axis=-1, keepdims=True), shape)


def _blocks(xp: Any, values: Array) -> Array:
    """Rows ``[B V]`` as ``[B n m]``, n and m about the root of V, filled up with zeros."""
    rows, size = values.shape
    length = math.isqrt(size - 1) + 1
    count = -(-size // length)
    fill = xp.zeros((rows, count * length - size), dtype=values.dtype, device=values.device)
    return xp.reshape(xp.concat([values, fill], axis=-1), (rows, count, length))


def _suffix_mass(xp: Any, draft: Array) -> Array:
    """Mass behind each token; in blocks, since 150,000 roundings in a row would show."""
    parts = _blocks(xp, draft)

    def after(values: Array) -> Array:
        sums = xp.flip(xp.cumulative_sum(xp.flip(values, axis=-1), axis=-1), axis=-1)
        return xp.concat([sums[..., 1:], xp.zeros_like(sums[..., :1])], axis=-1)

    behind = after(parts) + after(xp.sum(parts, axis=-1))[..., None]
    return xp.reshape(behind, (draft.shape[0], -1))[:, : draft.shape[-1]]


def _pair(xp: Any, q: Array, behind: Array) -> Array:
    """Two drafts: x w_j + q_j W with w = q / (1 - q), sums over the tokens before j, all positive."""
    def before(values: Array) -> Array:
        sums = xp.cumulative_sum(values, axis=-1)
        return xp.concat([xp.zeros_like(sums[:, :1]), sums[:, :-1]], axis=-1)

    x = before(q)
    others = x + behind
    odds = q / xp.where(others > 0, others, xp.ones_like(others))
    return x * odds + q * before(odds)


def _head(xp: Any, s: Array, q: Array, draws: Array, k: int) -> Array:
    """g(s) - g(s + q) without cancellation, as in the compiled form."""
    head, lost = xp.ones_like(s), xp.zeros_like(s)
    for order in range(1, k + 1):
        more = (order <= draws)[:, None]
        lost = xp.where(more, lost + (q / (order + s + q)) * (1.0 - lost), lost)
        head = xp.where(more, head * (order / (order + s)), head)
    return head * lost


def _product(left: list[Array], right: list[Array]) -> list[Array]:
    """Coefficients of a product of polynomials, cut at their common length."""
    return [sum((left[i] * right[m - i] for i in range(1, m + 1)), left[0] * right[m]) for m in range(len(left))]


class _Race:
    """The integral of every token's increment, for rows of laws ``[B V]``."""

    def __init__(self, draft: Array, behind: Array, draws: Array, k: int, uniform: bool) -> None:
        self.xp = array_namespace(draft)
        self.size, self.k, self.draws, self.uniform = draft.shape[-1], k, draws, uniform
        self.q, self.s = _blocks(self.xp, draft), _blocks(self.xp, behind)
        fewest = k if uniform else 3
        self.points = int((math.log(_HORIZON / reach(k)) - _START / (fewest + 1)) / _STEP) + 2
        held = self.q.shape[0] * self.q.shape[1] * (2 * k + 8)  # numbers for each point of the grid
        self.chunk = max(1, WORK // held)

    def integral(self) -> Array:
        """Sums ``[B V]`` over the grid, part by part."""
        xp, total = self.xp, 0.0
        first = _START / (xp.astype(self.draws, xp.float64) + 1.0)
        for start in range(0, self.points, self.chunk):
            stop = min(start + self.chunk, self.points)
            steps = _STEP * xp.arange(start, stop, dtype=xp.float64, device=self.q.device)
            total = total + self._part(xp.exp(first[:, None] + steps)[:, None, :])
        return xp.reshape(total, (self.q.shape[0], -1))[:, : self.size]

    def _arrivals(self, place: int, times: Array) -> Array:
        return -self.xp.expm1(-times * self.q[:, :, place : place + 1])

    def _advance(self, count: list[Array], arrival: Array) -> list[Array]:
        """Add one token of each block to the counts."""
        moved = [m + arrival * (fewer - m) for fewer, m in pairwise(count)]
        return [count[0] - arrival * count[0], *moved]

    def _prefixes(self, times: Array) -> list[Array]:
        """Chances of 0..k-1 arrivals among the tokens before each block, ``[B n t]`` each."""
        xp = self.xp
        one = xp.ones((*self.q.shape[:2], times.shape[-1]), dtype=xp.float64, device=self.q.device)
        empty = [one, *(xp.zeros_like(one) for _ in range(self.k - 1))]
        count = empty
        for place in range(self.q.shape[-1]):
            count = self._advance(count, self._arrivals(place, times))
        blocks, shift = one.shape[1], 1

        def moved(values: Array, start: Array, by: int) -> Array:
            return xp.concat([start[:, :by, ...], values[:, : blocks - by, ...]], axis=1)

        while shift < blocks:
            count = _product(list(map(partial(moved, by=shift), count, empty)), count)
            shift *= 2
        return list(map(partial(moved, by=1), count, empty))

    def _fewer_by_one(self, count: list[Array]) -> Array:
        """Chance of one arrival less than the row's number of drafts."""
        if self.uniform:
            return count[-1]
        xp, few = self.xp, count[-1]
        for m in range(2, self.k - 1):
            few = xp.where((self.draws == m + 1)[:, None, None], count[m], few)
        return few

    def _part(self, times: Array) -> Array:
        """Integrate over some points of the grid, ``[B 1 t] -> [B n m]``."""
        xp = self.xp
        draws = self.draws[:, None, None]
        settled = (-xp.expm1(-times)) ** xp.astype(draws, xp.float64)
        count = self._prefixes(times)
        below = sum(xp.where(m < draws, count[m], xp.zeros_like(count[m])) for m in range(self.k))
        reached = 1.0 - below
        sums = []
        for place in range(self.q.shape[-1]):
            q, s = (values[:, :, place : place + 1] for values in (self.q, self.s))
            arrival, few = self._arrivals(place, times), self._fewer_by_one(count)
            gap = reached - settled
            weight = times * xp.exp(-s * times)
            sums.append(xp.sum(weight * (s * arrival * (gap + few) - q * (1.0 - arrival) * gap), axis=-1))
            reached = reached + arrival * few
            count = self._advance(count, arrival)
        return xp.stack(sums, axis=-1)
