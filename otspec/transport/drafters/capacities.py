"""Capacities ``Q(H) = Pr[every draft lies in H]``, along an order of the tokens or for one set.

Along an order sigma, the increments of Q are the law of the *last* drafted token in sigma: the winner law of the
priority rule that always picks it, and an extreme point of all winner laws.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument
from otspec.core.schemes import DraftScheme

if TYPE_CHECKING:
    from otspec.transport.drafters.laminar_mixture import LaminarMixture

_EMPTY = 1e-12  # a sum over lists may round so far from zero
_ROUNDING = 1e-9  # and one over all lists so far from one
_FIX = ("Fix: it must be Pr[all drafts in subset], which grows from 0 (empty set) to 1 (all tokens), and faster the "
        "larger the set.")


def capacity_along(scheme: DraftScheme, draft: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return ``f(order [V]) -> [V+1]``, the capacity of every prefix of an order.

    Raises
    ------
    BadArgument
        A user's oracle that returns no finite number, is not monotone from 0 to 1, or is not supermodular along the
        orders asked for.
    """
    if isinstance(scheme, Independent):
        from otspec.transport.drafters.minimum_norm import independent_capacity

        return independent_capacity(draft)
    if isinstance(scheme, Joint) and scheme.capacity is not None:
        return _Oracle(scheme.capacity)
    tokens, law = scheme.lists(draft)
    return _table_along(tokens, law, scheme.vocabulary(draft))


def first_plan(scheme: DraftScheme, target: np.ndarray, draft: np.ndarray, tol: float) -> LaminarMixture | None:
    """Plan to start the search of the optimum from: laminar ones for different drafters, else None."""
    if not isinstance(scheme, Independent):
        return None
    from otspec.transport.drafters.laminar_mixture import laminar_mixture

    return laminar_mixture(target, draft, tol=tol)


def _table_along(tokens: np.ndarray, law: np.ndarray, size: int) -> Callable[[np.ndarray], np.ndarray]:
    def along(order: np.ndarray) -> np.ndarray:
        rank = np.empty(size + 1, dtype=np.int64)
        rank[order] = np.arange(size)
        rank[size] = -1  # what an absent draft (-1) reads: below every token
        last = rank[tokens].max(axis=-1)
        knots = np.concatenate([[0.0], np.cumsum(np.bincount(last, weights=law, minlength=size))])
        return knots / knots[-1]

    return along


class _Oracle:
    """A user's oracle along orders, with every check that its answers allow at no further call.

    Any order's law is a winner law, so no set may hold it with less than the set's capacity. Two orders in a row test
    each other on all their prefixes; the search begins with an order and its reverse.
    """

    def __init__(self, capacity: Callable[[np.ndarray], float]) -> None:
        self._capacity = capacity
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def __call__(self, order: np.ndarray) -> np.ndarray:
        subset = np.zeros(order.size, dtype=bool)
        knots = [self._value(subset)]
        for token in order:
            subset[token] = True
            knots.append(self._value(subset))
        values = np.asarray(knots)
        if abs(values[0]) > _EMPTY or abs(values[-1] - 1.0) > _ROUNDING or np.any(np.diff(values) < -_EMPTY):
            raise BadArgument(
                f"capacity: runs from {values[0]:.3g} to {values[-1]:.9g} with smallest step "
                f"{np.diff(values).min():.3g} along an order. {_FIX}")
        if self._last is not None:
            _check_held(order, values, *self._last)
            _check_held(*self._last, order, values)
        self._last = order, values
        return values

    def _value(self, subset: np.ndarray) -> float:
        given = self._capacity(subset.copy())
        try:
            value = float(given)
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise BadArgument(f"capacity: returned {given!r} for a subset of {int(subset.sum())} tokens, which is no "
                              f"finite number. {_FIX}")
        return value


def _check_held(order: np.ndarray, values: np.ndarray, other: np.ndarray, capacity: np.ndarray) -> None:
    """Compare the law of one order with the capacities of the other's prefixes."""
    law = np.empty(order.size)
    law[order] = np.diff(values)
    missing = capacity - np.append(0.0, np.cumsum(law[other]))
    worst = int(np.argmax(missing))
    if missing[worst] > _ROUNDING:
        raise BadArgument(
            f"capacity: {capacity[worst]:.9g} for a subset of {worst} tokens, although an order's winner lies there "
            f"with probability {capacity[worst] - missing[worst]:.9g} only, so it is not supermodular. {_FIX}")
