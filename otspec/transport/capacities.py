"""Capacities ``Q(H) = Pr[every draft lies in H]``, along an order of the tokens or for one set.

Along an order sigma, the increments of Q are the law of the *last* drafted token in sigma: the winner law of the
priority rule that always picks it, and an extreme point of all winner laws.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument
from otspec.core.schemes import DraftScheme

if TYPE_CHECKING:
    from otspec.transport.laminar import LaminarPlan


def capacity_along(scheme: DraftScheme, draft: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Return ``f(order [V]) -> [V+1]``, the capacity of every prefix of an order.

    Raises
    ------
    BadArgument
        A user's oracle that is not monotone from 0 to 1.
    """
    if isinstance(scheme, Independent):
        from otspec.transport.minimum_norm import independent_capacity

        return independent_capacity(draft)
    if isinstance(scheme, Joint) and scheme.capacity is not None:
        return _oracle_along(scheme.capacity)
    tokens, law = scheme.lists(draft)
    return _table_along(tokens, law, scheme.vocabulary(draft))


def first_plan(scheme: DraftScheme, target: np.ndarray, draft: np.ndarray) -> LaminarPlan | None:
    """Plan to start the search of the optimum from: the laminar one for different drafters, else None."""
    if not isinstance(scheme, Independent):
        return None
    from otspec.transport.laminar import laminar_plan

    return laminar_plan(target, draft)


def _table_along(tokens: np.ndarray, law: np.ndarray, size: int) -> Callable[[np.ndarray], np.ndarray]:
    def along(order: np.ndarray) -> np.ndarray:
        rank = np.empty(size + 1, dtype=np.int64)
        rank[order] = np.arange(size)
        rank[size] = -1  # what an absent draft (-1) reads: below every token
        last = rank[tokens].max(axis=-1)
        knots = np.concatenate([[0.0], np.cumsum(np.bincount(last, weights=law, minlength=size))])
        return knots / knots[-1]

    return along


def _oracle_along(capacity: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], np.ndarray]:
    def along(order: np.ndarray) -> np.ndarray:
        subset = np.zeros(order.size, dtype=bool)
        knots = [float(capacity(subset.copy()))]
        for token in order:
            subset[token] = True
            knots.append(float(capacity(subset.copy())))
        values = np.asarray(knots)
        if abs(values[0]) > 1e-12 or abs(values[-1] - 1.0) > 1e-9 or np.any(np.diff(values) < -1e-12):
            raise BadArgument(
                f"capacity: runs from {values[0]:.3g} to {values[-1]:.9g} with smallest step "
                f"{np.diff(values).min():.3g} along an order. Fix: it must be Pr[all drafts in subset], "
                f"which grows from 0 (empty set) to 1 (all tokens).")
        return values

    return along
