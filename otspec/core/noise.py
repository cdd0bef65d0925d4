"""Shared randomness without communication: numbers keyed by (seed, absolute position, token).

Two parties that know the seed read the same numbers without exchanging anything, whatever the round, the draft
length or the machine. The numbers are therefore a pure function of integers, the same float64 bit for bit on NumPy,
torch (CPU and CUDA) and ``array_api_strict``: hashing is 64-bit integer arithmetic modulo ``2**64``, and the
logarithm is computed from additions, multiplications, divisions and comparisons, which IEEE 754 rounds in one way.

The fact used by the exponential race: if ``E_i`` are independent standard exponentials, ``argmin E_i / law_i``
has law ``law``.
"""

from __future__ import annotations

import copy
import operator
from typing import Any

import numpy as np
from array_api_compat import array_namespace
from array_api_compat import device as device_of

from otspec.core.checks import check_positive, dtype_name
from otspec.core.errors import BadArgument

Array = Any


def _signed(value: int) -> int:
    """Reduce an integer modulo ``2**64`` to the int64 with the same bits."""
    return (value + 2**63) % 2**64 - 2**63


# the odd constants of the splitmix64 generator: 2**64 / golden ratio, and its finaliser's two multipliers
STEP = 0x9E3779B97F4A7C15
FIRST, SECOND = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
# lanes keep the kinds of number apart: one key must never serve twice
KINDS = {"uniform": 0, "dart token": 1, "dart height": 2, "coin": 3}


class Noise:
    """Random numbers that are a function of (seed, position, token) only.

    Parameters
    ----------
    seed, position : int or int array [*batch]
        Any integers, which count modulo ``2**64``: -1 and ``2**64 - 1`` are one seed. Arrays broadcast against each
        other. ``position`` is the absolute position in the text.
    xp, device : optional
        Array library and device of the results; by default those of the arrays given, else NumPy.

    Raises
    ------
    BadArgument
        A seed or position that is not an integer.

    Examples
    --------
    >>> bool((Noise(0, 7).uniforms(5) == Noise(0, 7).uniforms(9)[:5]).all())
    True
    """

    def __init__(self, seed: int | Array, position: int | Array, xp: Any = None, device: Any = None) -> None:
        arrays = [value for value in (seed, position) if not isinstance(value, (int, np.integer))]
        if any(not hasattr(value, "dtype") for value in arrays):
            raise BadArgument(f"seed {seed!r}, position {position!r}: not integers. Fix: pass ints or int arrays.")
        here = array_namespace(*arrays) if arrays else array_namespace(np.zeros(1))
        place = device_of(arrays[0]) if arrays else None
        key = _mix(_column("seed", seed, here, place) + _signed(STEP))
        self._key = _mix(key + _column("position", position, here, place) * _signed(STEP))
        self._xp, self._device = here, place
        if xp is not None or device is not None:
            self._move(array_namespace(xp.zeros(1)) if xp is not None else here, device)

    @property
    def batch(self) -> tuple[int, ...]:
        """Shape shared by seed and position; ``()`` for two ints."""
        return tuple(self._key.shape[:-1])

    @property
    def distinct(self) -> bool:
        """Whether no two entries share seed and position; those that do would read the same numbers.

        Examples
        --------
        >>> Noise(0, np.array([4, 5])).distinct, Noise(0, np.array([4, 4])).distinct
        (True, False)
        """
        keys = np.asarray(self._key.cpu() if hasattr(self._key, "cpu") else self._key).ravel()
        return np.unique(keys).size == keys.size

    def take(self, rows: Array) -> Noise:
        """Return the noise of some entries, by their numbers ``[n]`` in the flattened batch.

        Examples
        --------
        >>> some = Noise(0, np.array([[4, 5], [6, 7]])).take(np.array([3, 0]))
        >>> bool((some.coins(2) == Noise(0, np.array([7, 4])).coins(2)).all())
        True
        """
        taken = copy.copy(self)
        taken._key = self._xp.take(self._xp.reshape(self._key, (-1, 1)), rows, axis=0)
        return taken

    def like(self, array: Array) -> Noise:
        """Return the same noise, as arrays of the library and on the device of ``array``."""
        xp, place = array_namespace(array), device_of(array)
        if xp is self._xp and (place == self._device or (self._device is None and str(place) == "cpu")):
            return self
        moved = copy.copy(self)
        moved._move(xp, place)
        return moved

    def uniforms(self, vocabulary: int, *, stream: int = 0) -> Array:
        """One uniform per token, strictly inside (0, 1), float64 ``[*batch V]``.

        Parameters
        ----------
        vocabulary : int
        stream : int
            Independent copies of the noise, for lists of drafts: one stream per list entry.
        """
        size = check_positive("vocabulary", vocabulary)
        counters = self._xp.arange(size, dtype=self._xp.int64, device=self._device)
        return self._unit(counters, "uniform", stream)

    def uniforms_at(self, tokens: Array, *, stream: int = 0) -> Array:
        """Entries of `uniforms` at tokens ``[*batch n]``, without making the others.

        Examples
        --------
        >>> bool((Noise(0, 7).uniforms_at(np.array([3, 1])) == Noise(0, 7).uniforms(4)[[3, 1]]).all())
        True
        """
        return self._unit(self._xp.astype(tokens, self._xp.int64), "uniform", stream)

    def coins(self, count: int, *, stream: int = 0) -> Array:
        """Uniforms that belong to no token, float64 ``[*batch count]``, independent of all the others.

        Examples
        --------
        >>> Noise(0, 7).coins(3).shape
        (3,)
        """
        size = check_positive("count", count)
        return self._unit(self._xp.arange(size, dtype=self._xp.int64, device=self._device), "coin", stream)

    def exponentials(self, vocabulary: int, *, stream: int = 0) -> Array:
        """One standard exponential per token, ``-log`` of `uniforms`, float64 ``[*batch V]``.

        Examples
        --------
        >>> bool((Noise(3, 1).exponentials(4) > 0).all())
        True
        """
        return negative_log(self.uniforms(vocabulary, stream=stream))

    def darts(self, index: int | Array, vocabulary: int, *, stream: int = 0) -> tuple[Array, Array]:
        """Shared darts on tokens times (0, 1).

        Parameters
        ----------
        index : int or int array [n]
            Which darts of the sequence.
        vocabulary : int

        Returns
        -------
        token : int64 [*batch] for an int, [*batch n] for an array
            Uniform on the vocabulary.
        height : float64, of the same shape
            Uniform on (0, 1).
        """
        size = check_positive("vocabulary", vocabulary)
        counters = _column("index", index, self._xp, self._device)[..., 0]
        xp = self._xp
        # 52-bit uniforms: rounding u * V can never reach V, and the bias is V * 2**-52
        token = xp.astype(xp.floor(self._unit(counters, "dart token", stream) * float(size)), xp.int64)
        height = self._unit(counters, "dart height", stream)
        return (token[..., 0], height[..., 0]) if isinstance(index, (int, np.integer)) else (token, height)

    def lane(self, kind: str, stream: int = 0) -> Array:
        """Key int64 ``[*batch 1]`` of one kind of number; number ``n`` is the hash of ``lane + n * STEP``."""
        return _mix(self._key + _signed((len(KINDS) * operator.index(stream) + KINDS[kind] + 1) * STEP))

    def _unit(self, counters: Array, kind: str, stream: int) -> Array:
        bits = _mix(self.lane(kind, stream) + counters * _signed(STEP))
        # 52 bits, because (h + 1/2) with 53 bits rounds up to 1.0 at the top
        return (self._xp.astype(_shift(bits, 12), self._xp.float64) + 0.5) * 2.0**-52

    def _move(self, xp: Any, place: Any) -> None:
        key = self._key.cpu() if hasattr(self._key, "cpu") else self._key
        self._key = xp.asarray(np.asarray(key), device=place)
        self._xp, self._device = xp, device_of(self._key)

    def __repr__(self) -> str:
        """Batch shape and library."""
        return f"Noise(batch={self.batch}, {self._xp.__name__.rsplit('.', 1)[-1]})"


def _column(name: str, value: int | Array, xp: Any, place: Any) -> Array:
    # a trailing axis also keeps NumPy from making scalars, which warn when they wrap around
    if isinstance(value, (int, np.integer)):
        return xp.asarray([_signed(int(value))], dtype=xp.int64, device=place)
    value = value if place is None or not isinstance(value, np.ndarray) else xp.asarray(value, device=place)
    if not hasattr(value, "dtype") or not xp.isdtype(value.dtype, "integral"):
        kind = dtype_name(value) if hasattr(value, "dtype") else type(value).__name__
        raise BadArgument(f"{name}: dtype {kind} is not an integer type. Fix: cast it to int64.")
    return xp.astype(value, xp.int64)[..., None]


def _shift(bits: Array, places: int) -> Array:
    """Shift right without copying the sign."""
    return (bits >> places) & ((1 << (64 - places)) - 1)


def _mix(bits: Array) -> Array:
    """Splitmix64 finaliser: every input bit changes each output bit with probability close to one half."""
    bits = (bits ^ _shift(bits, 30)) * FIRST
    bits = (bits ^ _shift(bits, 27)) * SECOND
    return bits ^ _shift(bits, 31)


# ln 2 in two parts: the first has 32 bits, so its product with an exponent is exact
LN2_HIGH = 2977044471 / 2**32
LN2_LOW = 1.9082149292705877e-10
# with |s| <= 0.172, eleven terms leave less than 1e-18 of the first
SERIES = tuple(2.0 / (2 * n + 1) for n in range(1, 12))


def negative_log(uniforms: Array) -> Array:
    """``-log`` of float64 numbers in [2**-63, 1], from IEEE operations only, within 2 units in the last place.

    With ``u = m 2**-e``, ``m`` in [sqrt 1/2, sqrt 2), ``f = m - 1`` and ``s = f / (2 + f)``, the series of the
    inverse hyperbolic tangent gives ``log m = f - s (f - R)``, ``R = 2 s**2 / 3 + 2 s**4 / 5 + ...``.

    Examples
    --------
    >>> float(negative_log(np.array([1.0]))[0])
    0.0
    """
    xp = array_namespace(uniforms)
    mantissa, exponent = uniforms, xp.zeros_like(uniforms)
    # halving powers bring the mantissa into [1/2, 1), the last round into [sqrt 1/2, sqrt 2)
    for limit, power in [(2.0**-n, n) for n in (32, 16, 8, 4, 2, 1)] + [(0.5**0.5, 1)]:
        small = xp.astype(mantissa < limit, xp.float64)
        mantissa = mantissa * (1.0 + small * (2.0**power - 1.0))
        exponent = exponent + small * float(power)
    offset = mantissa - 1.0
    slope = offset / (offset + 2.0)
    square = slope * slope
    tail = xp.zeros_like(square)
    for coefficient in reversed(SERIES):
        tail = (tail + coefficient) * square
    return exponent * LN2_HIGH + (exponent * LN2_LOW - (offset - slope * (offset - tail)))
