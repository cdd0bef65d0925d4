r"""The best winner law for any draft law, known only by its capacities, with both ends certified.

Definitions. Q(H) is the probability that every draft lies in the set H; the *core* of Q holds the laws L
with L(H) >= Q(H) for every H, which are exactly the winner laws. A *priority rule* processes the tokens
in some order and lets the last drafted one win; its law is the increments of Q along the order, an
extreme point of the core.

Theorem used: Q is supermodular, so sorting solves every linear problem over the core, and the point of
the core with the least :math:`\sum_i L_i^2 / p_i` maximises :math:`\sum_i \min(p_i, L_i)`. The
Fujishige-Wolfe method finds it as a mixture of priority rules, which is a plan one can play; the level
sets of L / p are the candidates for the best cut :math:`1 + P(H) - Q(H)`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr_delete, qr_insert
from scipy.linalg.lapack import dtrtrs

from otspec.core.errors import BadArgument, ShapeMismatch

__all__ = ["MinimumNorm", "independent_capacity", "minimum_norm_law"]

_FLOOR = 1e-13  # spread over the vocabulary: smaller targets would scale their rounding up to 1
_TURN = 150  # priority rules of a first turn: easy instances need fewer, and the turns double
_BINDING = 1e-6  # cuts nearer to 1 bind so little that covering the whole target is the task
_GONE = 1e-13  # a priority rule of smaller weight is dropped: it moves no probability visibly
_DEPENDENT = 1e-13  # relative distance below which a new law lies in the span of the active ones

CapacityAlong = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class MinimumNorm:
    """Winner law with its plan and the certified interval around the optimal acceptance.

    Attributes
    ----------
    law : ndarray [V]
        The winner law: ``weights`` times the laws of the priority rules.
    orders : int ndarray [m V]
        Priority orders; of the drafted tokens the last in the order wins.
    weights : ndarray [m]
        Positive, summing to 1.
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
    columns = np.ascontiguousarray(drafts.T)

    def capacity_along(order: np.ndarray) -> np.ndarray:
        sums = np.cumsum(columns[order], axis=0)
        capacity = np.zeros(order.size + 1)
        np.prod(sums / sums[-1], axis=1, out=capacity[1:])
        return capacity

    return capacity_along


class _Mixture:
    """Convex combination of scaled priority laws with a QR factorisation of (1, law) columns."""

    def __init__(self, order, point):
        self.orders = [order]
        self.points = point[:, None]
        self.weights = np.ones(1)
        column = np.append(1.0, point)
        norm = np.linalg.norm(column)
        self._q, self._r = column[:, None] / norm, np.array([[norm]])

    def mean(self):
        return self.points @ self.weights

    def insert(self, order, point):
        """Add a law; return whether it was independent of the active ones."""
        column = np.append(1.0, point)
        rest = column - self._q @ (self._q.T @ column)
        rest -= self._q @ (self._q.T @ rest)
        if np.linalg.norm(rest) <= _DEPENDENT * np.linalg.norm(column):
            return False
        size = len(self.orders)
        self._q, self._r = qr_insert(self._q, self._r, column, size, which="col", check_finite=False)
        self.orders.append(order)
        self.points = np.column_stack([self.points, point])
        self.weights = np.append(self.weights, 0.0)
        return True

    def _affine(self):
        """Weights, of any sign, of the least-norm point of the affine hull."""
        ones = np.ones(len(self.orders))
        half, _ = dtrtrs(self._r, ones, trans=1)
        raw, _ = dtrtrs(self._r, half)
        return raw / raw.sum()

    def settle(self):
        """Move to the least-norm point of the convex hull of a subset of the laws; drop the others."""
        while True:
            goal = self._affine()
            short = goal <= _GONE
            if not short.any():
                self.weights = goal
                return
            falling = short & (self.weights > goal)
            ratios = self.weights[falling] / (self.weights[falling] - goal[falling])
            step = min(1.0, ratios.min(initial=1.0))
            moved = (1 - step) * self.weights + step * goal
            gone = moved <= _GONE
            if not gone.any():
                gone[np.flatnonzero(falling)[np.argmin(ratios)]] = True
            self._drop(gone, moved)

    def _drop(self, gone, moved):
        for index in np.flatnonzero(gone)[::-1]:
            self._q, self._r = qr_delete(self._q, self._r, index, which="col", check_finite=False)
            del self.orders[index]
        self.points = self.points[:, ~gone]
        kept = moved[~gone]
        self.weights = kept / kept.sum()


@dataclass
class _Incumbent:
    """Best plan and best cut of all searches so far."""

    lower: float = -np.inf
    upper: float = np.inf
    law: np.ndarray | None = None
    orders: list | None = None
    weights: np.ndarray | None = None
    cut: np.ndarray | None = None

    @property
    def gap(self):
        return self.upper - self.lower


class _Search:
    """Fujishige-Wolfe in one metric, on the tokens of positive target, around the target itself."""

    def __init__(self, target, capacity_along, metric, start):
        self._target, self._along = target, capacity_along
        self._support = target > 0
        self._metric = metric[self._support]
        self._scale = np.sqrt(self._metric)
        order, _, law = self._rule(start[self._support])
        self._mixture = _Mixture(order, self._point(law))
        self.stuck = False

    def _point(self, law):
        # measured from the target, the least point is small and keeps its digits
        return (law - self._target)[self._support] / self._scale

    def _rule(self, score):
        """Order by falling score, its capacities and its law; tokens of target zero lead every order."""
        full = np.full(self._target.size, np.inf)
        full[self._support] = score
        order = np.argsort(-full, kind="stable")
        capacity = self._along(order)
        law = np.empty(order.size)
        law[order] = np.diff(capacity)
        self._led = law[~self._support]
        return order, capacity, law

    def run(self, best, tol, iterations):
        """Add up to ``iterations`` priority rules, improving ``best``; return how many were used."""
        for used in range(iterations):
            law = np.empty(self._target.size)
            law[~self._support] = self._led
            excess = self._mixture.mean() * self._scale
            law[self._support] = self._target[self._support] + excess
            lower = float(np.minimum(law, self._target).sum())
            if lower > best.lower:
                best.lower, best.law = lower, law
                best.orders, best.weights = list(self._mixture.orders), self._mixture.weights
            order, capacity, vertex = self._rule(excess / self._metric)
            slack = np.append(0.0, np.cumsum(self._target[order])) - capacity
            size = int(np.argmin(slack))
            if 1.0 + slack[size] < best.upper:
                best.upper, best.cut = 1.0 + float(slack[size]), order[:size]
            if best.gap <= tol:
                return used
            if not self._mixture.insert(order, self._point(vertex)):
                self.stuck = True
                return used
            self._mixture.settle()
        return iterations


def _weightings(target, drafted, closed):
    """Weights of the norm to try beside the target; which ones are quick depends on whether the cut binds."""
    both = target + drafted
    if closed:
        return [both]
    return [target**0.5, both**0.5, both**0.75]


def _search_all(target, capacity_along, best, tol, iterations):
    """Run searches in several metrics by turns, each turn twice as long, until one closes the interval."""
    natural = np.arange(target.size)
    # a token's increment near the front and near the end of an order brackets how often it can win
    drafted = np.diff(capacity_along(natural)) + np.diff(capacity_along(natural[::-1]))[::-1]
    start = np.full(target.size, -np.inf)
    np.divide(-target, drafted, out=start, where=drafted > 0)
    floored = np.maximum(target, _FLOOR / target.size)
    searches = [_Search(target, capacity_along, floored, start)]
    left = iterations - searches[0].run(best, tol, min(_TURN, iterations))
    for weighting in _weightings(floored, drafted, best.upper > 1 - _BINDING):
        searches.append(_Search(target, capacity_along, weighting, start))
    turn = _TURN
    while searches and left > 0 and best.gap > tol:
        for search in searches[1:] + searches[:1]:
            left -= search.run(best, tol, min(turn, left))
            if left <= 0 or best.gap <= tol:
                return
        searches = [search for search in searches if not search.stuck]
        turn *= 2


def minimum_norm_law(
    target: np.ndarray, capacity_along: CapacityAlong, *, tol: float = 1e-10, max_iterations: int = 4000
) -> MinimumNorm:
    """Winner law of least weighted distance from the target, with a certified interval for the optimum.

    The distance is weighted by 1/target first, whose minimum is optimal for every scale of the target.
    If that does not close the interval soon, flatter weights are tried as well: their minima are optimal
    for the target itself, and are often found with far fewer rules.

    Parameters
    ----------
    target : ndarray [V]
    capacity_along : callable
        Maps an order of the tokens to the capacities [V+1] of its prefixes, from 0 to 1.
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
    best = _Incumbent()
    _search_all(target, capacity_along, best, tol, max_iterations)
    subset = np.zeros(target.size, dtype=bool)
    subset[best.cut] = True
    return MinimumNorm(best.law, np.array(best.orders), best.weights, best.lower, subset, best.upper)
