"""Exact sums over the second of two draws without replacement, at vocabulary scale.

After ``x`` was drawn from ``draft``, the second draw has law ``draft_y / (1 - draft_x)`` off ``x``. At low temperature
``1 - draft_x`` of the likeliest token, the *peak*, is all cancellation, so the mass of the others is summed instead;
for every other token ``1 - draft_x`` is at least one half and the subtraction is exact enough.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import normalized_or, one_hot

Array = Any


def split_peak(draft: Array) -> tuple[Array, Array, Array]:
    """Likeliest token, the others' masses, and the law of the second draw after it.

    Parameters
    ----------
    draft : [*batch V]

    Returns
    -------
    peak : [*batch V] bool
        True at one largest mass of each row.
    others : [*batch V]
        ``draft`` with the peak set to zero.
    after_peak : [*batch V]
        ``others`` normalised; zeros where no other token has mass.

    Examples
    --------
    >>> import numpy as np
    >>> split_peak(np.array([0.5, 0.25, 0.25]))[2]
    array([0. , 0.5, 0.5])
    """
    xp = array_namespace(draft)
    top = xp.astype(xp.argmax(draft, axis=-1), xp.int64)
    peak = one_hot(top, draft.shape[-1], draft.dtype) > 0
    others = xp.where(peak, xp.zeros_like(draft), draft)
    return peak, others, normalized_or(others, xp.zeros_like(draft))


def inclusion(draft: Array) -> Array:
    """Probability that each token is one of two draws without replacement, ``[*batch V]``.

    Examples
    --------
    >>> import numpy as np
    >>> inclusion(np.array([0.5, 0.5, 0.0]))
    array([1., 1., 0.])
    """
    xp = array_namespace(draft)
    peak, others, after_peak = split_peak(draft)
    odds = others / (1 - others)
    before = xp.sum(odds, axis=-1, keepdims=True) - odds
    top = xp.sum(xp.where(peak, draft, xp.zeros_like(draft)), axis=-1, keepdims=True)
    return draft * (1 + before) + top * after_peak
