"""Poisson functional representation: the first shared point that the law reaches. [poisson-representation].

Points of a Poisson process of rate one arrive at times ``T_1 < T_2 < ...``, each with a uniform token ``x_n``. A party
with law ``p`` takes the token of the point with the smallest ``T_n / (V p(x_n))``. Points are read one after the other
until no later one can win, ``V max p`` of them on average and no more than a few times that, instead of a clock for
every token.

Theorem: of each token only the first point matters, and the first points of the V tokens are independent exponential
clocks. So the joint law of two parties is that of the exponential race (`otspec.couplings.gumbel`), and so are its
exact forms; the tokens selected with a given noise are others. [poisson-matching] bounds its agreement from below by
``sum p q / (p + q)``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace

from otspec.core.coupling import Coupling, exact_pair
from otspec.core.laws import at, namespace, total
from otspec.core.noise import Noise, negative_log
from otspec.couplings.gumbel import Gumbel

Array = Any
# entries of one chunk of points: 32 MB of float64
CHUNK = 2**22


class Poisson(Coupling):
    """Token of the first point of a shared Poisson process that the law reaches. [poisson-representation]."""

    def _select(self, law: Array, noise: Noise) -> Array:
        if is_numpy_namespace(namespace(law)):
            from otspec.couplings.compiled import earliest_points

            return earliest_points(law, noise)
        return _earliest(law, noise)

    def _agreed(self, target: Array, draft: Array) -> Array:
        return Gumbel()._agreed(target, draft)

    def _joint(self, target: Array, draft: Array) -> Array:
        return Gumbel()._joint(target, draft)


def matching_bound(target: Array, draft: Array) -> Array:
    """Agreement ``[*batch]`` that the Poisson matching lemma promises, ``sum p q / (p + q)``. [poisson-matching].

    Examples
    --------
    >>> float(matching_bound([0.5, 0.5], [0.5, 0.5]))
    0.5
    """
    target, draft = exact_pair(target, draft)
    xp = namespace(target)
    both = target + draft
    return total(target * (draft / xp.where(both > 0, both, xp.ones_like(both))))


def _earliest(law: Array, noise: Noise) -> Array:
    """Whole chunks of points for all rows, until no row can find an earlier one."""
    xp = namespace(law)
    size, batch = law.shape[-1], np.broadcast_shapes(tuple(law.shape[:-1]), noise.batch)
    law = xp.broadcast_to(xp.astype(law, xp.float64), (*batch, size))
    chunk = max(16, min(size, CHUNK // max(1, math.prod(batch))))
    largest = xp.max(law, axis=-1)
    time, best = xp.zeros_like(largest), xp.zeros_like(largest)
    chosen = xp.zeros(batch, dtype=xp.int64, device=law.device)
    start = 0
    while bool(xp.any(best * time < largest)):
        token, height = noise.darts(xp.arange(start, start + chunk, dtype=xp.int64, device=law.device), size)
        token = xp.broadcast_to(token, (*batch, chunk))
        steps = xp.broadcast_to(negative_log(height), (*batch, chunk))
        steps = xp.concat([time[..., None], steps], axis=-1)
        times = xp.cumulative_sum(steps, axis=-1)[..., 1:]
        speeds = at(law, token) / times
        first = xp.argmax(speeds, axis=-1)[..., None]
        speed = xp.take_along_axis(speeds, first, axis=-1)[..., 0]
        chosen = xp.where(speed > best, xp.take_along_axis(token, first, axis=-1)[..., 0], chosen)
        best, time = xp.where(speed > best, speed, best), times[..., -1]
        start += chunk
    return chosen
