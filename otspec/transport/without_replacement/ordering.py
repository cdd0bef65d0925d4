"""The order in which a *set* of drafts was drawn without replacement, given the set alone.

An order ``i_1 .. i_n`` of the set has weight ``prod_j q(i_j) / (1 - q(i_1) - .. - q(i_(j-1)))``. With ``f(A)`` the
summed weight of all orders of a subset A, ``f(A) = sum over its last token i of f(A - i) q(i) / (1 - q(A - i))``; so
the order is drawn from its last token backwards, from a table of ``2**n`` subsets. A rule that needs the drawing order
thereby verifies drafts whose order was lost, and stays lossless and optimal.
"""

from __future__ import annotations

import itertools

import numpy as np

from otspec.core.errors import TooLarge

MAX_TOKENS = 16
_LEAST = 5e-324  # stands for a mass of zero


def _table(masses: np.ndarray, outside: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of ``f(A)`` for every subset A as a bit mask, of the masses and of the mass not in A."""
    n = masses.size
    if n > MAX_TOKENS:
        raise TooLarge(f"the order of {n} drafts needs a table of 2**{n} subsets, more than 2**{MAX_TOKENS}. "
                       f"Fix: keep the order in which the drafts were drawn.", 2.0**n)
    subsets = np.arange(2**n)
    member = (subsets[:, None] >> np.arange(n)) & 1 == 1
    # summed over what is left: 1 - q(A) loses its digits beside a dominant token
    left = outside + np.where(member, 0.0, masses).sum(axis=1)
    # in logarithms: all orders of a set that is hardly ever drawn may have vanishing weights
    drawn, left = np.log(np.maximum(masses, _LEAST)), np.log(np.maximum(left, _LEAST))
    weight = np.zeros(2**n)
    for subset in range(1, 2**n):
        last = np.flatnonzero(member[subset])
        weight[subset] = np.logaddexp.reduce(_by_last(weight, drawn, left, subset, last))
    return weight, drawn, left


def _by_last(weight: np.ndarray, drawn: np.ndarray, left: np.ndarray, subset: int, last: np.ndarray) -> np.ndarray:
    before = subset ^ (1 << last)
    return weight[before] + drawn[last] - left[before]


def order_law(masses: np.ndarray, outside: float) -> tuple[np.ndarray, np.ndarray]:
    """Every order of a drafted set and its probability given the set.

    Parameters
    ----------
    masses : [n]
        Draft probabilities of the set's tokens, positive.
    outside : float
        Draft mass of all other tokens.

    Returns
    -------
    orders : [n! n] int
        Places in ``masses``, in drawing order.
    law : [n!]

    Examples
    --------
    >>> orders, law = order_law(np.array([0.5, 0.5]), 0.0)
    >>> law.tolist()
    [0.5, 0.5]
    """
    orders = np.array(list(itertools.permutations(range(masses.size))))
    drawn = masses[orders]
    later = np.cumsum(drawn[:, ::-1], axis=1) + outside
    weight = (np.log(drawn) - np.log(later)).sum(axis=1)
    weight = np.exp(weight - weight.max())
    return orders, weight / weight.sum()


def draw_order(masses: np.ndarray, outside: float, uniforms: np.ndarray) -> np.ndarray:
    """Draw the drawing order of a set, last token first.

    Parameters
    ----------
    masses : [n]
    outside : float
    uniforms : [n]
        Entry j decides the token in place j, the last place first.

    Returns
    -------
    [n] int
        Places in ``masses``, in drawing order.

    Examples
    --------
    >>> draw_order(np.array([0.5, 0.5]), 0.0, np.array([0.9, 0.0])).tolist()
    [1, 0]
    """
    weight, drawn, left = _table(masses, outside)
    order = np.empty(masses.size, dtype=np.int64)
    subset = 2**masses.size - 1
    for place in range(masses.size - 1, -1, -1):
        last = np.flatnonzero((subset >> np.arange(masses.size)) & 1)
        chances = _by_last(weight, drawn, left, subset, last)
        share = np.cumsum(np.exp(chances - chances.max()))
        order[place] = last[np.searchsorted(share, uniforms[place] * share[-1], side="right")]
        subset ^= 1 << int(order[place])
    return order
