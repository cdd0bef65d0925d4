r"""The best winner law for any draft law, known only by its capacities, with both ends certified.

Definitions. Q(H) is the probability that every draft lies in the set H; the *core* of Q holds the laws L
with L(H) >= Q(H) for every H, which are exactly the winner laws. A *priority rule* processes the tokens
in some order and lets the last drafted one win; its law is the increments of Q along the order, an
extreme point of the core.

Theorem used: Q is supermodular, so sorting solves every linear problem over the core, and a point of the core that is
nearest to the target p, in a weighted Euclidean norm, maximises :math:`\sum_i \min(p_i, L_i)`. Wolfe's least-norm
method finds it as a mixture of priority rules, which is a plan one can play; the best cut
:math:`1 + P(H) - Q(H)` proves it. `otspec.transport.drafters.priority_search` stops as soon as the two meet. A plan
found otherwise may be its first point and stay in the mixture: for different drafters
`otspec.transport.drafters.laminar_mixture` gives one that is nearly optimal.
"""

from dataclasses import dataclass

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.drafters.priority_search import FIRST, CapacityAlong, FirstPlan, Incumbent, Search, take_turn

__all__ = ["MinimumNorm", "independent_capacity", "minimum_norm_law"]

_FLOOR = 1e-13  # spread over the vocabulary: smaller targets would scale their rounding up to 1
_WAYS = ((0.5, 8.0), (0.5, None), (1.0, 20.0), (0.75, 2.0))  # metric (mass to a power) and overshoot, by turns:
# no single one is quick everywhere; None keeps the aim at the target
_TURN = 120  # priority rules of a first turn: most instances need fewer, and the turns double


@dataclass(frozen=True)
class MinimumNorm:
    """Winner law with its plan and the certified interval around the optimal acceptance.

    Attributes
    ----------
    law : ndarray [V]
        The winner law: ``weights`` times the laws of the priority rules, and ``first_weight`` times the first plan's.
    orders : int ndarray [m V]
        Priority orders; of the drafted tokens the last in the order wins.
    weights : ndarray [m]
        Positive, summing to 1 with ``first_weight``.
    first_weight : float
        Weight of the plan that the search started from; 0 where none was given.
    value_lower : float
        Acceptance of the plan.
    subset : bool ndarray [V]
        The best cut found.
    value_upper : float
        Its value, which no verifier exceeds.
    """

    law: np.ndarray
    orders: np.ndarray
    weights: np.ndarray
    first_weight: float
    value_lower: float
    subset: np.ndarray
    value_upper: float


def independent_capacity(drafts: np.ndarray) -> CapacityAlong:
    """Capacity oracle of one independent draft from each of k different laws.

    Parameters
    ----------
    drafts : ndarray [k V]

    Returns
    -------
    callable
        Maps an order (int ndarray [V]) to the capacities [V+1] of its prefixes.

    Raises
    ------
    ShapeMismatch
        If ``drafts`` is not two-dimensional.

    Examples
    --------
    >>> independent_capacity(np.array([[0.5, 0.5], [0.25, 0.75]]))(np.array([0, 1])).tolist()
    [0.0, 0.125, 1.0]
    """
    drafts = np.asarray(drafts, dtype=np.float64)
    if drafts.ndim != 2:
        raise ShapeMismatch(f"drafts has shape {drafts.shape}; give one law per drafter, [k V]")
    return _Independent(drafts)


class _Independent:
    """Capacities of one independent draft from each of k different laws."""

    def __init__(self, drafts):
        self._drafts = drafts
        self._columns = np.ascontiguousarray(drafts.T)

    def __call__(self, order):
        sums = np.cumsum(self._columns[order], axis=0)
        capacity = np.zeros(order.size + 1)
        np.prod(sums / sums[-1], axis=1, out=capacity[1:])
        return capacity

    def gains(self, subset):
        """Growth of the capacity with each token's share, at a set ``[V] bool``: a first-order condition for cuts."""
        inside = self._drafts[:, subset].sum(axis=1)
        if not (inside > 0).all():
            return None
        return self._drafts.T @ (1.0 / inside)


def _searches(target, capacity_along, first):
    natural = np.arange(target.size)
    # a token's increment near the front and near the end of an order brackets how often it can win
    drafted = np.diff(capacity_along(natural)) + np.diff(capacity_along(natural[::-1]))[::-1]
    both = np.maximum(target, _FLOOR / target.size) + drafted
    for power, overshoot in _WAYS:
        yield Search(target, capacity_along, both**power, drafted, overshoot, first)
        if first is not None:  # now and then the plan leads astray: one instance of 64 closes only without it
            yield Search(target, capacity_along, both**power, drafted, overshoot)


def _search_all(target, capacity_along, first, best, tol, iterations):
    """Run searches in several ways by turns, each turn twice as long, until one closes the interval."""
    going, left, turn = _searches(target, capacity_along, first), iterations, _TURN
    while True:
        searches = []
        for search in going:
            left -= take_turn(search, best, tol, min(turn, left))
            if left <= 0 or best.gap <= tol:
                return
            if not search.stuck:
                searches.append(search)
        if not searches:
            return
        going, turn = searches, 2 * turn


def _played(orders, weights, capacity_along, law):
    """Law of the plan from its orders and the first plan's share, free of the search's rounding."""
    for order, weight in zip(orders, weights, strict=True):
        law[order] += weight * np.diff(capacity_along(order))
    return law


def minimum_norm_law(
    target: np.ndarray, capacity_along: CapacityAlong, *, first: FirstPlan | None = None, tol: float = 1e-10,
    max_iterations: int = 8000
) -> MinimumNorm:
    """Winner law that is optimal for the target, as a mixture of priority rules, with a certified interval.

    Hardest are instances whose optimum is within about 1e-4 of 1: the plan must then reproduce the target itself on
    the whole vocabulary, and without a first plan the interval may stay open by 1e-8 to 1e-4. It holds as it stands.

    Parameters
    ----------
    target : ndarray [V]
    capacity_along : callable
        Maps an order of the tokens to the capacities [V+1] of its prefixes, from 0 to 1.
    first : FirstPlan, optional
        A plan to start from, of which only its exact winner law and its cut are used, such as `laminar_mixture`.
    tol : float
        Stop when the interval is at most this wide.
    max_iterations : int
        Stop after so many priority rules in all. The interval then holds as it stands.

    Returns
    -------
    MinimumNorm

    Raises
    ------
    BadArgument
        If max_iterations is below 1.

    Examples
    --------
    >>> drafts = np.array([[0.5, 0.5], [0.5, 0.5]])
    >>> found = minimum_norm_law(np.array([1.0, 0.0]), independent_capacity(drafts))
    >>> found.value_lower, found.value_upper
    (0.75, 0.75)
    """
    if max_iterations < 1:
        raise BadArgument(f"max_iterations is {max_iterations}; at least 1 priority rule is needed")
    target = np.asarray(target, dtype=np.float64)
    best = Incumbent()
    if first is not None:
        best.offer_first(target, first, capacity_along)
    if best.gap > tol:
        _search_all(target, capacity_along, first, best, tol, max_iterations)
    assert best.orders is not None  # offered by now
    assert best.weights is not None
    assert best.cut is not None
    ordered = np.array([order is not FIRST for order in best.orders])
    orders = np.array([order for order in best.orders if order is not FIRST], dtype=np.int64).reshape(-1, target.size)
    share, weights = float(best.weights[~ordered].sum()), best.weights[ordered]
    law = np.zeros(target.size) if first is None else share * first.law
    law = _played(orders, weights, capacity_along, law)
    lower = float(np.minimum(law, target).sum())
    return MinimumNorm(law, orders, weights, share, lower, best.cut, best.upper)
