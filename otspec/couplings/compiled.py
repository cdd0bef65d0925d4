"""Selection row by row, compiled: numbers are hashed where they are needed, and most logarithms are never taken.

Each function is the twin of whole-array lines in the coupling's own file and gives the same tokens bit for bit: the
arithmetic is that of `otspec.core.noise`, operation by operation. What is saved is work whose result cannot matter.
In the race a token matters only if its speed ``mass / -log u`` exceeds the best so far, and ``-log u >= 1 - u``
refuses nearly all of them before the logarithm. A dart that misses is never stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numba import njit

from otspec.core.laws import namespace
from otspec.core.noise import FIRST, LN2_HIGH, LN2_LOW, SECOND, SERIES, STEP, Noise

Array = Any
# of a float that is not to be refused by rounding
MARGIN = 1.0 - 1e-12
_STEP, _FIRST, _SECOND = (np.uint64(value % 2**64) for value in (STEP, FIRST, SECOND))
_S12, _S30, _S27, _S31 = (np.uint64(places) for places in (12, 30, 27, 31))
_TAIL = np.array(SERIES[::-1])
_POWERS = np.array([32.0, 16.0, 8.0, 4.0, 2.0, 1.0])


@njit(cache=True, nogil=True, inline="always")
def _mix(bits: Any) -> Any:
    bits = (bits ^ (bits >> _S30)) * _FIRST
    bits = (bits ^ (bits >> _S27)) * _SECOND
    return bits ^ (bits >> _S31)


@njit(cache=True, nogil=True, inline="always")
def _uniform(lane: Any, counter: int) -> float:
    bits = _mix(lane + np.uint64(counter) * _STEP)
    return (np.float64(bits >> _S12) + 0.5) * 2.0**-52


@njit(cache=True, nogil=True)
def _negative_log(uniform: float) -> float:
    mantissa, exponent = uniform, 0.0
    for power in _POWERS:
        if mantissa < 2.0**-power:
            mantissa = mantissa * 2.0**power
            exponent = exponent + power
    if mantissa < 0.5**0.5:
        mantissa = mantissa * 2.0
        exponent = exponent + 1.0
    offset = mantissa - 1.0
    slope = offset / (offset + 2.0)
    square = slope * slope
    tail = 0.0
    for coefficient in _TAIL:
        tail = (tail + coefficient) * square
    return exponent * LN2_HIGH + (exponent * LN2_LOW - (offset - slope * (offset - tail)))


@njit(cache=True, nogil=True)
def _fastest(laws: Any, rows: Any, lanes: Any, tokens: Any) -> None:
    """The ``tokens.shape[1]`` tokens of largest speed over all lanes, the fastest first; -1 without mass."""
    count = tokens.shape[1]
    speeds = np.empty(count)
    for row in range(rows.size):
        law = laws[rows[row]]
        speeds[:] = 0.0
        for token in range(law.size):
            mass = np.float64(law[token])
            speed = 0.0
            for place in range(lanes.shape[1]):
                uniform = _uniform(lanes[row, place], token)
                # the slowest that is kept refuses in a product what it would refuse after the logarithm
                if mass > speeds[count - 1] * (1.0 - uniform) * MARGIN:
                    speed = max(speed, mass / _negative_log(uniform))
            if speed > speeds[count - 1]:
                at = count - 1
                while at > 0 and speed > speeds[at - 1]:
                    speeds[at] = speeds[at - 1]
                    tokens[row, at] = tokens[row, at - 1]
                    at -= 1
                speeds[at] = speed
                tokens[row, at] = token


@njit(cache=True, nogil=True)
def _throw(laws: Any, rows: Any, places: Any, heights: Any, index: Any, tokens: Any) -> None:
    for row in range(rows.size):
        law = laws[rows[row]]
        size = np.float64(law.size)
        dart = 0
        while True:
            token = int(np.floor(_uniform(places[row], dart) * size))
            if _uniform(heights[row], dart) <= law[token]:
                break
            dart += 1
        index[row] = dart
        tokens[row] = token


@njit(cache=True, nogil=True)
def _earliest(laws: Any, rows: Any, places: Any, clocks: Any, tokens: Any) -> None:
    for row in range(rows.size):
        law = laws[rows[row]]
        size, largest = np.float64(law.size), np.float64(law.max())
        time, best, point = 0.0, 0.0, 0
        while True:
            time += _negative_log(_uniform(clocks[row], point))
            if largest / time <= best:
                break
            token = int(np.floor(_uniform(places[row], point) * size))
            speed = np.float64(law[token]) / time
            if speed > best:
                best = speed
                tokens[row] = token
            point += 1


def race(law: Array, noise: Noise, count: int, streams: Iterable[int]) -> np.ndarray:
    """Tokens ``[*batch count]`` whose shared clocks ring first, each token with the earliest of its clocks."""
    laws, rows, batch = _rows(law, noise)
    lanes = np.stack([_lane(noise, batch, "uniform", stream) for stream in streams], axis=1)
    tokens = np.full((rows.size, count), -1, dtype=np.int64)
    _fastest(laws, rows, lanes, tokens)
    return tokens.reshape((*batch, count))


def first_darts(law: Array, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Index and token ``[*batch]`` of the first dart below the law."""
    laws, rows, batch = _rows(law, noise)
    index, tokens = np.zeros((2, rows.size), dtype=np.int64)
    _throw(laws, rows, *(_lane(noise, batch, kind, 0) for kind in ("dart token", "dart height")), index, tokens)
    return index.reshape(batch), tokens.reshape(batch)


def earliest_points(law: Array, noise: Noise) -> np.ndarray:
    """Token ``[*batch]`` of the point of the Poisson process that the law reaches first."""
    laws, rows, batch = _rows(law, noise)
    tokens = np.zeros(rows.size, dtype=np.int64)
    _earliest(laws, rows, *(_lane(noise, batch, kind, 0) for kind in ("dart token", "dart height")), tokens)
    return tokens.reshape(batch)


def _rows(law: Array, noise: Noise) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Laws ``[n V]``, the law of every row of the batch, and the batch; nothing is copied to broadcast."""
    xp = namespace(law)
    batch = np.broadcast_shapes(tuple(law.shape[:-1]), noise.batch)
    laws = xp.reshape(law, (-1, law.shape[-1]))
    rows = np.broadcast_to(np.arange(len(laws)).reshape(law.shape[:-1]), batch).ravel()
    return laws, rows, batch


def _lane(noise: Noise, batch: tuple[int, ...], kind: str, stream: int) -> np.ndarray:
    key = np.asarray(noise.lane(kind, stream))[..., 0]
    return np.broadcast_to(key, batch).ravel().view(np.uint64)
