"""The exponential race (Gumbel-max coupling) with shared clocks. [coupling].

Clocks ``E_i`` are standard exponentials shared by both parties; a party with law ``p`` selects ``argmin E_i / p_i``.
Two parties with laws p (target) and q (draft) agree on token j with probability

    1 / sum_i max(p_i / p_j, q_i / q_j) = p_j q_j / (A_j q_j + B_j p_j),

where ``A_j`` is the target mass of the tokens with ratio p/q at least that of j, and ``B_j`` the draft mass of the
others: one sort and two cumulative sums. The joint law is closed too. Writing the selected clocks of i and j as
``p_i a`` and ``q_j b``, all other clocks are late with probability ``exp(-A a - B b)``, with A and B constant while
``b / a`` stays between two neighbouring ratios, and such a cone has the elementary integral used in `_joint`.

A drafter that may send k tokens sends the first k of its own race (`select_list`), which are draws without replacement.
The target's token is that of its race alone, whatever k; see `otspec.couplings.race_list` for how often it is in the
list.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from array_api_compat import is_numpy_namespace

from otspec.core.coupling import Coupling
from otspec.core.laws import namespace, total
from otspec.core.noise import Noise
from otspec.core.schemes import WithoutReplacement

Array = Any
TINY = 1e-100


class Gumbel(Coupling):
    """Shared exponential race: the token whose clock, divided by its mass, rings first. [coupling]."""

    list_scheme = WithoutReplacement

    def _select(self, law: Array, noise: Noise) -> Array:
        return fastest(law, noise, 1)[..., 0]

    def _select_list(self, law: Array, noise: Noise, k: int) -> Array:
        return fastest(law, noise, k)

    def _list_agreement(self, target: Array, draft: Array, k: int) -> Array:
        from otspec.couplings.race_list import race_list_agreement

        return race_list_agreement(target, draft, k)

    def _agreed(self, target: Array, draft: Array) -> Array:
        race = sorted_race(target, draft)
        return namespace(target).take_along_axis(_agreed_in_order(race), race.rank(), axis=-1)

    def _agreement(self, target: Array, draft: Array) -> Array:
        return total(_agreed_in_order(sorted_race(target, draft)))

    def _joint(self, target: Array, draft: Array) -> Array:
        xp = namespace(target)
        diagonal = self._agreed(target, draft)[..., None, :]
        # products of three such masses would underflow; dropping them moves no entry by more than TINY
        target, draft = (xp.where(law < TINY, xp.zeros_like(law), law) for law in (target, draft))
        race = sorted_race(target, draft)
        p, q = race.target, race.draft
        # between neighbours n and n+1 in ratio order: A = target mass above, B = draft mass up to n
        above, below = race.above[..., 1:], race.below[..., 1:]
        wide = p[..., 1:] * q[..., :-1] - p[..., :-1] * q[..., 1:]
        start = above * q[..., :-1] + below * p[..., :-1]
        end = above * q[..., 1:] + below * p[..., 1:]
        # neighbours of one ratio, and tokens that neither law holds, bound no cone
        real = (wide > 0) & (start > 0) & (end > 0)
        cone = xp.where(real, wide, xp.zeros_like(wide))
        cone = cone / xp.where(real, start, xp.ones_like(wide)) / xp.where(real, end, xp.ones_like(wide))
        reach = xp.concat([xp.zeros_like(p[..., :1]), xp.cumulative_sum(cone, axis=-1)], axis=-1)
        reach = xp.take_along_axis(reach, race.rank(), axis=-1)
        between = reach[..., :, None] - reach[..., None, :]
        between = xp.where(between > 0, between, xp.zeros_like(between))
        size = target.shape[-1]
        identity = xp.eye(size, dtype=xp.float64, device=target.device)
        return target[..., :, None] * draft[..., None, :] * between + identity * diagonal


def fastest(law: Array, noise: Noise, count: int, streams: int = 1, *, first: int = 0) -> Array:
    """Tokens ``[*batch count]`` that ring first, -1 without mass.

    Each token has the earliest of ``streams`` clocks, those of the streams of the noise from ``first`` on.
    """
    xp = namespace(law)
    if is_numpy_namespace(xp):
        from otspec.couplings.compiled import race

        return race(law, noise, count, range(first, first + streams))
    law = xp.astype(law, xp.float64)
    # the largest law / clock: clock / law would overflow on denormal masses, and zero masses divide by zero
    speed = law / noise.exponentials(law.shape[-1], stream=first)
    for stream in range(first + 1, first + streams):
        speed = xp.maximum(speed, law / noise.exponentials(law.shape[-1], stream=stream))
    if count == 1:
        return xp.astype(xp.argmax(speed, axis=-1), xp.int64)[..., None]
    order = xp.argsort(speed, axis=-1, descending=True, stable=True)[..., :count]
    return xp.where(xp.take_along_axis(speed, order, axis=-1) > 0, xp.astype(order, xp.int64), -1)


class Race(NamedTuple):
    """Both laws in ascending order of target/draft, with cumulative masses ``[*batch V]``."""

    target: Array
    draft: Array
    above: Array  # target mass from this token on
    below: Array  # draft mass before this token
    order: Array  # token at each place

    def rank(self) -> Array:
        """Place of each token."""
        return namespace(self.order).argsort(self.order, axis=-1, stable=False)


def _agreed_in_order(race: Race) -> Array:
    """``Pr[both select the token]`` in the order of the race."""
    xp = namespace(race.target)
    p, q = race.target, race.draft
    larger, smaller = xp.maximum(p, q), xp.minimum(p, q)
    both = smaller > 0
    one = xp.ones_like(p)
    # divided through by the larger mass, so that no product of two tiny masses is formed
    larger = xp.where(both, larger, one)
    rate = race.above * (q / larger) + race.below * (p / larger)
    return xp.where(both, smaller, xp.zeros_like(p)) / xp.where(both & (rate > 0), rate, one)


def sorted_race(target: Array, draft: Array) -> Race:
    """Sort both laws by target/draft."""
    xp = namespace(target)
    both = target + draft
    # target/(target+draft) orders like the ratio and stays finite; tokens of neither law come first, outside all cones
    ratio = xp.where(both > 0, target / xp.where(both > 0, both, xp.ones_like(both)), -xp.ones_like(both))
    order = xp.argsort(ratio, axis=-1, stable=False)
    p, q = xp.take_along_axis(target, order, axis=-1), xp.take_along_axis(draft, order, axis=-1)
    above = xp.flip(xp.cumulative_sum(xp.flip(p, axis=-1), axis=-1), axis=-1)
    # summed, not subtracted from the total: differences would lose the digits of small masses
    before = xp.cumulative_sum(q, axis=-1)[..., :-1]
    below = xp.concat([xp.zeros_like(q[..., :1]), before], axis=-1)
    return Race(p, q, above, below, order)
