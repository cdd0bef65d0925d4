"""K-SEQ: test every draft with the same probability ``min(1, target / (rho draft))``, then draw what is missing.

With ``beta(rho) = sum min(draft, target / rho)``, the ``k`` tests accept with probability ``1 - (1 - beta)^k``, and the
last draw has law proportional to ``target - min(draft, target / rho) (1 - (1 - beta)^k) / beta``.
Theorem: that is non-negative, hence the rule lossless, iff ``(1 - (1 - beta)^k) / beta <= rho``, that is for every
``rho >= rho*``; at ``rho*`` acceptance is at least ``1 - (1 - 1/k)^k`` of the optimum. [spectr]
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from array_api_compat import array_namespace, is_numpy_array

from otspec.core.checks import check_number
from otspec.core.errors import BadArgument
from otspec.core.laws import at, one_hot, positive_part
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import excess_law, keep_probability

Array = Any
HALVINGS = 60  # brings a bracket of width k - 1 < 128 below the spacing of float64 at 1
IN_CACHE = 2**18  # entries of a block of rows; NumPy fills fresh buffers in every halving, larger ones 3 times slower
ROUNDING = 1e-12  # a rho that equals rho* up to the rounding of a sum over V terms is valid


def smallest_rho(target: Array, draft: Array, k: Array | int) -> Array:
    """Smallest valid ``rho`` of K-SEQ, by bisection, approached from above.

    Parameters
    ----------
    target, draft : [*batch V]
    k : int or [*batch]
        Number of drafts; 0 counts as 1.

    Returns
    -------
    [*batch]
        Between 1 and k. The upper end of the last bracket: below the root the rule would not be lossless.

    Examples
    --------
    >>> import numpy as np
    >>> float(smallest_rho(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 2))
    1.5
    """
    xp = array_namespace(target, draft)
    target, draft = xp.broadcast_arrays(target, draft)
    shape, size = target.shape[:-1], target.shape[-1]
    rows = [xp.reshape(law, (-1, size)) for law in (target, draft)]
    counts = xp.reshape(k * xp.ones_like(target[..., 0]), (-1,))
    step = max(1, IN_CACHE // size if is_numpy_array(target) else counts.shape[0])
    found = [_bisect(rows[0][i : i + step, ...], rows[1][i : i + step, ...], counts[i : i + step])
             for i in range(0, counts.shape[0], step)]
    return xp.reshape(xp.concat(found), shape) if found else xp.ones_like(target[..., 0])


def _bisect(target: Array, draft: Array, k: Array) -> Array:
    """Upper end of the last bracket, rows ``[n V]`` and counts ``[n]`` to ``[n]``."""
    xp = array_namespace(target, draft)
    low = xp.ones_like(k)
    high = xp.maximum(k, low)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        valid = _slope(_beta(target, draft, middle), k) <= middle
        low, high = xp.where(valid, low, middle), xp.where(valid, middle, high)
    return high


class KSeq(TokenVerifier):
    """K-SEQ on drafts drawn with replacement.

    Parameters
    ----------
    scheme : WithReplacement or int
    rho : float, optional
        One value for every row; None means ``rho*`` of each row, the best choice.

    Raises
    ------
    BadArgument
        On use: a ``rho`` below ``rho*`` of some row, which the message names.

    Examples
    --------
    >>> float(KSeq(2).acceptance([1.0, 0.0], [0.5, 0.5]))
    0.75
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1, *, rho: float | None = None) -> None:
        super().__init__(scheme)
        self.rho = None if rho is None else check_number("rho", rho, "leave rho=None")
        if self.rho is not None and not 1 <= self.rho < math.inf:
            raise BadArgument(f"rho: {rho!r} is not a number of at least 1, and rho* >= 1. Fix: leave rho=None.")

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        present = xp.sum(xp.astype(tokens >= 0, target.dtype), axis=-1)
        rho = self._rho(target, draft, present)
        return _loop(target, draft, tokens, present, rho)

    def _rho(self, target: Array, draft: Array, k: Array | int) -> Array:
        if self.rho is None:
            return smallest_rho(target, draft, k)
        xp = array_namespace(target, draft)
        rho = self.rho * xp.ones_like(xp.sum(target * draft, axis=-1))
        if bool(xp.any(_slope(_beta(target, draft, rho), k * xp.ones_like(rho)) > rho * (1 + ROUNDING))):
            least = float(xp.max(smallest_rho(target, draft, k)))
            raise BadArgument(
                f"rho: {self.rho} is below rho* = {least:.9g}, so the rule would not be lossless. "
                f"Fix: rho=None, which takes rho* of every row, or rho >= {least:.9g}.")
        return rho

    def acceptance(self, target: Array, draft: Array) -> Array:
        """``1 - (1 - beta)^k``, plus what the last draw hits among the drafts when ``rho > rho*``; ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        k = self.scheme.num_drafts
        rho = self._rho(target, draft, k)
        tested = xp.minimum(draft, target / rho[..., None])
        refused = positive_part(1 - xp.sum(tested, axis=-1))
        # all refused, minus all refused without a copy of y
        hit = refused[..., None] ** k - positive_part(refused[..., None] - (draft - tested)) ** k
        return 1 - refused**k + xp.sum(_last_law(target, draft, rho, k) * hit, axis=-1)


def _beta(target: Array, draft: Array, rho: Array) -> Array:
    """Chance that one draft passes its test, ``[*batch]``."""
    xp = array_namespace(target, draft)
    return xp.sum(xp.minimum(draft, target * (1 / rho)[..., None]), axis=-1)


def _slope(beta: Array, k: Array) -> Array:
    """``(1 - (1 - beta)^k) / beta``: k at beta = 0, 1 at beta = 1."""
    xp = array_namespace(beta)
    limits = xp.finfo(beta.dtype)
    inside = xp.clip(beta, min=float(limits.smallest_normal), max=1 - float(limits.eps))
    return -xp.expm1(k * xp.log1p(-inside)) / inside


def _last_law(target: Array, draft: Array, rho: Array, k: Array | int) -> Array:
    """Law of the draw after k refusals, ``[*batch V]``."""
    xp = array_namespace(target, draft)
    tested = xp.minimum(draft, target * (1 / rho)[..., None])
    slope = _slope(xp.sum(tested, axis=-1), k * xp.ones_like(rho))
    return excess_law(target, tested * slope[..., None])


def _loop(target: Array, draft: Array, tokens: Array, present: Array, rho: Array) -> Array:
    """Law of the emitted token for any ``rho``, valid or not, ``[*batch V]``."""
    xp = array_namespace(target, draft, tokens)
    keep = keep_probability(at(target, tokens), rho[..., None] * at(draft, tokens))
    law, survive = xp.zeros_like(target), xp.ones_like(target[..., :1])
    for i in range(tokens.shape[-1]):
        slot = keep[..., i : i + 1]
        law = law + survive * slot * one_hot(tokens[..., i], law.shape[-1], law.dtype)
        survive = survive * (1 - slot)
    return law + survive * _last_law(target, draft, rho, present)
