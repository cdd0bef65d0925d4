r"""Draft laws of any spread, brought into a range in which every later step can be computed.

Draws without replacement reach every token that has mass, however little: when fewer than k heavy tokens exist, the
last drafts come from what is left of them, and only the masses *relative to what is left* decide. At low temperature
these masses lie hundreds of decades apart, where sums lose them and quotients overflow.

Theorem used: let the i heaviest tokens each outweigh all tokens after them by ``2**GAP_BITS``. They are drawn first but
for a chance of ``i / 2**GAP_BITS``, so dividing their masses by a common factor, as long as they keep that lead,
changes the law of the draws by no more than that: less than its rounding. Each of the first k - 1 gaps is narrowed in
this way to ``2**GAP_BITS``; what is far lighter than all that is left after k - 1 draws is never drawn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

Array = Any
GAP_BITS = 56  # a lead of 2^56 is worth 1.4e-17 in probability, below the rounding of 1
_TAIL_BITS = 80  # lighter by this than what is left: drawn with 1e-24 times the number of such tokens
_RANGE_BITS = 1000  # of float64's normal numbers; more drafts than 17 use them up


def reach(k: int) -> float:
    """Lightest mass that k draws from a law with narrow gaps can notice, relative to the whole law.

    Examples
    --------
    >>> reach(1) == 2.0**-80
    True
    """
    return 2.0 ** -min(GAP_BITS * (k - 1) + _TAIL_BITS, _RANGE_BITS)


def narrow_gaps(draft: Array, k: int) -> Array:
    """Law with the same first k draws without replacement, whose k heaviest tokens lie at most 2^56 apart.

    Parameters
    ----------
    draft : [*batch V] float64
        Law in any order; tokens of mass 0 do not exist, all others do.
    k : int

    Returns
    -------
    [*batch V]
        Normalised. A law without such gaps is only normalised.

    Examples
    --------
    >>> narrow_gaps(np.array([0.5, 0.5]), 2).tolist()
    [0.5, 0.5]
    >>> narrow_gaps(np.array([1.0, 1e-300]), 2).tolist() == [1.0, 2.0**-56]
    True
    """
    xp = array_namespace(draft)
    count = min(k, draft.shape[-1]) - 1
    if count > 0:
        for mass, factor in _factors(draft, count):
            draft = xp.where(draft >= mass, draft * factor, draft)
    return draft / xp.sum(draft, axis=-1, keepdims=True)


def _factors(draft: Array, count: int) -> list[tuple[Array, Array]]:
    """For each gap to narrow, the lightest mass above it and the factor of it and all heavier, ``[*batch 1]``."""
    xp = array_namespace(draft)
    ascending = np.partition(draft, range(-count, 0), axis=-1) if is_numpy_array(draft) else xp.sort(draft, axis=-1)
    left = xp.sum(ascending[..., :-count], axis=-1, keepdims=True)
    found = []
    for place in range(-count, 0):  # from the lightest of the heavy tokens upwards
        mass = ascending[..., place : ascending.shape[-1] + place + 1]
        most = left * 2.0**GAP_BITS
        gap = (left > 0) & (mass > most)
        if not is_numpy_array(draft) or bool(gap.any()):
            one = xp.ones_like(mass)
            found.append((mass, xp.where(gap, most / xp.where(gap, mass, one), one)))
        left = left + mass
    # applied from the heaviest down, each threshold still meets the masses that it was read from
    return found[::-1]
