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

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.corral import Corral

__all__ = ["MinimumNorm", "independent_capacity", "minimum_norm_law"]

_FLOOR = 1e-13  # spread over the vocabulary: smaller targets would scale their rounding up to 1
_TINY = 1e-290  # quotients of probabilities by it stay finite
_ROUNDING = 1e-15  # a cut must be better by more than the rounding of its sums
_POWERS = (0.5, 1.0, 0.75)  # of the metric: a flat one finds the optimum with fewer rules than 1 / target
_TURN = 400  # priority rules of a first turn: most instances need fewer, and the turns double
_STRETCH = 10  # priority rules before the first attempt to finish
_REACH = 0.1  # first guess of the weight that the next rule will get
_WIDER = 10.0  # how far apart the guesses tried beside the last one are
_SNAPS = (1e-4, 1e-5, 1e-6)  # how little winners of a set may exceed its capacity to count as exhausting it

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

    def offer_plan(self, target, law, orders, weights):
        lower = float(np.minimum(law, target).sum())
        if lower > self.lower:
            self.lower, self.law, self.orders, self.weights = lower, law, list(orders), weights

    def offer_prefixes(self, target, order, capacity):
        """Take the best prefix of an order as the cut if it is better; return whether it is."""
        slack = np.append(0.0, np.cumsum(target[order])) - capacity
        size = int(np.argmin(slack))
        better = 1.0 + slack[size] < self.upper - _ROUNDING
        if better:
            self.upper, self.cut = 1.0 + float(slack[size]), np.zeros(target.size, dtype=bool)
            self.cut[order[:size]] = True
        return better


class _Search:
    """Fujishige-Wolfe in one metric around the target, on the face of the orders that list the cut first."""

    def __init__(self, target, capacity_along, metric, drafted):
        self._target, self._along = target, capacity_along
        # tokens of target zero have no say and lead every order
        self._inverse = np.where(target > 0, 1.0 / metric, 0.0)
        self._blocks = np.zeros(target.size, dtype=np.int16)
        self._rates, self._reaches, self._turn = [drafted], [_REACH], 0
        self._corral = Corral(target, self._inverse, *self._rule(-_over(target, drafted))[:2])
        self.stuck = False

    def _rule(self, score):
        """Order by block and falling score, its law and its capacities."""
        order = np.lexsort((np.where(self._target > 0, -score, -np.inf), self._blocks))
        capacity = self._along(order)
        law = np.empty(order.size)
        law[order] = np.diff(capacity)
        return order, law, capacity

    def run(self, best, tol, rules):
        """Add up to ``rules`` priority rules, improving ``best``; return how many were used."""
        for used in range(rules):
            excess = self._corral.excess
            best.offer_plan(self._target, self._target + excess, self._corral.orders, self._corral.weights)
            steepest, law, capacity = self._rule(excess * self._inverse)
            best.offer_prefixes(self._target, steepest, capacity)
            if best.gap <= tol:
                return used
            order, chosen = self._farthest_reaching(excess, steepest, law)
            if not self._corral.insert(order, chosen) and not self._corral.insert(steepest, law):
                self.stuck = True
                return used
            self._corral.settle()
        return rules

    def _farthest_reaching(self, excess, order, law):
        """Among the steepest rule and rules that aim past the target, the one with most progress.

        The steepest rule serves every token in deficit; aiming ``1 / reach`` times the error past the target serves
        only those whose deficit is worth that much weight, which matters where few drafts win.
        """
        best, chosen = self._corral.progress(law, excess), (order, law)
        self._turn += 1
        which = self._turn % len(self._rates)
        middle = self._reaches[which]
        for reach in (middle / _WIDER, middle, min(1.0, middle * _WIDER)):
            aim = self._target + excess - excess / reach
            order, law, _ = self._rule(-_over(aim, self._rates[which]))
            progress = self._corral.progress(law, excess)
            if progress > best:
                best, chosen, self._reaches[which] = progress, (order, law), reach
        return chosen

    def improve_cut(self, best):
        """Look for a better cut in the order of law / target, then by the first-order condition."""
        law = self._target + self._corral.excess
        order = np.argsort(-_over(law, self._target), kind="stable")
        best.offer_prefixes(self._target, order, self._along(order))
        while hasattr(self._along, "gains"):
            gains = self._along.gains(best.cut)
            if gains is None:
                return
            self._rates, self._reaches = [self._rates[0], gains], [self._reaches[0], self._reaches[-1]]
            order = np.argsort(_over(self._target, gains), kind="stable")
            if not best.offer_prefixes(self._target, order, self._along(order)):
                return

    def snap(self, best, tol):
        """Try the plan with every order sorted by the sets that it almost exhausts, the cut among them."""
        excess = self._corral.excess
        order = np.lexsort((-excess * self._inverse, ~best.cut))
        slack = np.append(0.0, np.cumsum((self._target + excess)[order])) - self._along(order)
        edge = int(best.cut.sum())
        tried = -1
        for width in _SNAPS:
            ends = slack[1:-1] <= width
            ends[edge - 1 : edge] = True
            if ends.sum() == tried:
                continue
            tried = ends.sum()
            blocks = np.empty(order.size, dtype=np.int16)
            blocks[order] = np.append(0, np.cumsum(ends))
            orders, laws = self._sorted_by(blocks)
            best.offer_plan(self._target, self._corral.weights @ laws, orders, self._corral.weights)
            if best.gap <= tol:
                return

    def _sorted_by(self, blocks):
        orders = [order[np.argsort(blocks[order], kind="stable")] for order in self._corral.orders]
        laws = np.empty((len(orders), blocks.size))
        for law, order in zip(laws, orders, strict=True):
            law[order] = np.diff(self._along(order))
        return orders, laws

    def restrict(self, cut):
        """Go on among the orders that list ``cut`` first, which every optimal plan does."""
        blocks = (~cut).astype(np.int16)
        if np.array_equal(blocks, self._blocks):
            return
        self._blocks = blocks
        orders, laws = self._sorted_by(blocks)
        weights = self._corral.weights
        heavy = np.argsort(-weights, kind="stable")
        corral = Corral(self._target, self._inverse, orders[heavy[0]], laws[heavy[0]])
        shares = [weights[heavy[0]]]
        for index in heavy[1:]:
            if corral.insert(orders[index], laws[index]):
                shares.append(weights[index])
        corral.weights = np.array(shares) / np.sum(shares)
        corral.settle()
        self._corral = corral


def _over(values, masses):
    """Quotients, a mass of zero counting as the least number: such a token stands at the end it belongs to."""
    return values / np.maximum(masses, _TINY)


def _searches(target, capacity_along):
    natural = np.arange(target.size)
    # a token's increment near the front and near the end of an order brackets how often it can win
    drafted = np.diff(capacity_along(natural)) + np.diff(capacity_along(natural[::-1]))[::-1]
    both = np.maximum(target, _FLOOR / target.size) + drafted
    for power in _POWERS:
        yield _Search(target, capacity_along, both**power, drafted)


def _search_all(target, capacity_along, best, tol, iterations):
    """Run searches in several metrics by turns, each turn twice as long, until one closes the interval."""
    searches = list(_searches(target, capacity_along))
    left, turn = iterations, _TURN
    while searches and left > 0 and best.gap > tol:
        for search in searches:
            left -= _take_turn(search, best, tol, min(turn, left))
            if left <= 0 or best.gap <= tol:
                return
        searches = [search for search in searches if not search.stuck]
        turn *= 2


def _take_turn(search, best, tol, rules):
    """Alternate priority rules with attempts to finish, which cost about as much; return the rules used."""
    used, stretch = 0, _STRETCH
    while used < rules and best.gap > tol and not search.stuck:
        used += max(search.run(best, tol, min(stretch, rules - used)), 1)
        if best.gap <= tol:
            break
        search.improve_cut(best)
        search.restrict(best.cut)
        search.snap(best, tol)
        stretch += stretch // 3
    return used


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
    return MinimumNorm(best.law, np.array(best.orders), best.weights, best.lower, best.cut, best.upper)
