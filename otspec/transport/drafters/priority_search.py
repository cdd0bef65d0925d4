r"""Search for a mixture of priority orders whose winner law is optimal, with a cut that proves it.

Definitions. Q(H) is the probability that every draft lies in H. A priority order lets its last drafted token win; its
law is the increments of Q along it. A cut H bounds acceptance by :math:`1 + P(H) - Q(H)`, P the target.

Theorem used: a winner law L reaches the cut's bound iff L(H) = Q(H), L covers the target inside H and is covered by it
outside. So once H is known, which takes a few sorts, only orders that list H first matter, and any point of a box is
as good as another: the search is Wolfe's least-norm method (`otspec.transport.drafters.active_set`) with an aim that
moves into that box, and sets that the plan almost exhausts may be listed first to finish.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from otspec.transport.drafters.active_set import ActiveSet

_TINY = 1e-290  # quotients of probabilities by it stay finite
_ROUNDING = 1e-15  # a cut must be better by more than the rounding of its sums
_SHARE = 0.5  # of the mass to spare that may be moved: beyond it the aim stays
_STRETCH = 10  # priority rules before the first attempt to finish
_REACH = 0.1  # first guess of the weight that the next rule will get
_WIDER = 10.0  # how far apart the guesses tried beside the last one are
_SNAPS = (1e-4, 1e-5, 1e-6)  # how little winners of a set may exceed its capacity to count as exhausting it

CapacityAlong = Callable[[np.ndarray], np.ndarray]
FIRST = None  # stands among the orders for the plan that a search started from


class FirstPlan(Protocol):
    """A plan that is no priority order: its exact winner law ``[V]`` and a cut ``[V] bool``."""

    @property
    def law(self) -> np.ndarray:
        """Winner law."""

    @property
    def subset(self) -> np.ndarray:
        """The cut."""


@dataclass
class Incumbent:
    """Best plan and best cut of all searches so far."""

    lower: float = -np.inf
    upper: float = np.inf
    orders: list | None = None
    weights: np.ndarray | None = None
    cut: np.ndarray | None = None

    @property
    def gap(self):
        """Width of the interval."""
        return self.upper - self.lower

    def offer_plan(self, target, law, orders, weights):
        """Keep the plan if it is better."""
        lower = float(np.minimum(law, target).sum())
        if lower > self.lower:
            self.lower, self.orders, self.weights = lower, list(orders), weights

    def offer_first(self, target, first, capacity_along):
        """Take a plan from elsewhere, and its cut by the capacities alone."""
        self.offer_plan(target, first.law, [FIRST], np.ones(1))
        order = np.argsort(~first.subset, kind="stable")
        self.offer_prefixes(target, order, capacity_along(order))

    def offer_prefixes(self, target, order, capacity):
        """Take the best prefix of an order as the cut if it is better; return whether it is."""
        slack = np.append(0.0, np.cumsum(target[order])) - capacity
        size = int(np.argmin(slack))
        better = 1.0 + slack[size] < self.upper - _ROUNDING
        if better:
            self.upper, self.cut = 1.0 + float(slack[size]), np.zeros(target.size, dtype=bool)
            self.cut[order[:size]] = True
        return better


class Search:
    """Fujishige-Wolfe in one metric around an aim, on the face of the orders that list the cut first.

    The aim is the target at first. Once the cut is known, any law that covers the target inside it and is covered
    outside it is optimal, so the aim moves into that box, ``overshoot`` times as far as the law misses it.
    ``first`` is a plan to start from; it is no order, and is kept as it is when the orders are sorted again.
    """

    def __init__(self, target, capacity_along, metric, drafted, overshoot, first=None):
        self._target, self._along, self._overshoot = target, capacity_along, overshoot
        # tokens of target zero have no say and lead every order
        self._inverse = np.where(target > 0, 1.0 / metric, 0.0)
        self._blocks = (np.zeros(target.size, dtype=bool) if first is None else ~first.subset).astype(
            _block_type(target.size))
        self._rates, self._reaches, self._turn = [drafted], [_REACH], 0
        self._aim = target
        self._first = None if first is None else first.law
        start = self._rule(-_over(target, drafted))[:2] if first is None else (FIRST, first.law)
        self._active = ActiveSet(target, self._inverse, *start)
        self.stuck = False

    def _rule(self, score):
        """Order by block and falling score, its law and its capacities."""
        order = np.lexsort((np.where(self._target > 0, -score, -np.inf), self._blocks))
        capacity = self._along(order)
        law = np.empty(order.size)
        law[order] = np.diff(capacity)
        return order, law, capacity

    @property
    def _law(self):
        return self._aim + self._active.excess

    def run(self, best, tol, rules):
        """Add up to ``rules`` priority rules, improving ``best``; return how many were used."""
        for used in range(rules):
            excess = self._active.excess
            best.offer_plan(self._target, self._aim + excess, self._active.orders, self._active.weights)
            steepest, law, capacity = self._rule(excess * self._inverse)
            best.offer_prefixes(self._target, steepest, capacity)
            if best.gap <= tol:
                return used
            order, chosen = self._farthest_reaching(excess, steepest, law)
            if not self._active.insert(order, chosen) and not self._active.insert(steepest, law):
                self.stuck = True
                return used
            self._active.settle()
        return rules

    def _farthest_reaching(self, excess, order, law):
        """Among the steepest rule and rules that aim past the target, the one with most progress.

        The steepest rule serves every token in deficit; aiming ``1 / reach`` times the error past the target serves
        only those whose deficit is worth that much weight, which matters where few drafts win.
        """
        best, chosen = self._active.progress(law, excess), (order, law)
        self._turn += 1
        which = self._turn % len(self._rates)
        middle = self._reaches[which]
        for reach in (middle / _WIDER, middle, min(1.0, middle * _WIDER)):
            beyond = self._aim + excess - excess / reach
            order, law, _ = self._rule(-_over(beyond, self._rates[which]))
            progress = self._active.progress(law, excess)
            if progress > best:
                best, chosen, self._reaches[which] = progress, (order, law), reach
        return chosen

    def improve_cut(self, best):
        """Look for a better cut in the order of law / target, then by the first-order condition."""
        order = np.argsort(-_over(self._law, self._target), kind="stable")
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
        law = self._law
        order = np.lexsort(((self._target - law) * self._inverse, ~best.cut))
        slack = np.append(0.0, np.cumsum(law[order])) - self._along(order)
        edge = int(best.cut.sum())
        tried = -1
        for width in _SNAPS:
            ends = slack[1:-1] <= width
            ends[edge - 1 : edge] = True
            if ends.sum() == tried:
                continue
            tried = ends.sum()
            blocks = np.empty(order.size, dtype=_block_type(order.size))
            blocks[order] = np.append(0, np.cumsum(ends))
            orders, laws = self._sorted_by(blocks)
            best.offer_plan(self._target, self._active.weights @ laws, orders, self._active.weights)
            if best.gap <= tol:
                return

    def _sorted_by(self, blocks):
        orders = [order if order is FIRST else order[np.argsort(blocks[order], kind="stable")]
                  for order in self._active.orders]
        laws = np.empty((len(orders), blocks.size))
        for law, order in zip(laws, orders, strict=True):
            if order is FIRST:
                law[:] = self._first
            else:
                law[order] = np.diff(self._along(order))
        return orders, laws

    def restrict(self, cut):
        """Go on among the orders that list ``cut`` first, which every optimal plan does."""
        blocks = (~cut).astype(self._blocks.dtype)
        if np.array_equal(blocks, self._blocks):
            return
        self._blocks, self._aim, self.stuck = blocks, self._target, False
        self._rebuild(*self._sorted_by(blocks))

    def move_aim(self, cut):
        """Aim into the box of optimal laws, taking the missing mass from where there is some to spare."""
        if self._overshoot is None:
            return
        aim = self._law
        for side, sign in ((cut, 1.0), (~cut, -1.0)):
            spare = sign * (aim[side] - self._target[side])
            missing = self._overshoot * np.maximum(-spare, 0.0)
            room = np.maximum(spare, 0.0)
            if missing.sum() > _SHARE * room.sum():
                return
            if missing.sum() > 0:
                aim[side] += sign * (missing - room * (missing.sum() / room.sum()))
        orders, laws = self._active.orders, self._active.laws
        self._aim = aim
        self._rebuild(orders, laws)

    def _rebuild(self, orders, laws):
        weights = self._active.weights
        heavy = np.argsort(-weights, kind="stable")
        active = ActiveSet(self._aim, self._inverse, orders[heavy[0]], laws[heavy[0]])
        shares = [weights[heavy[0]]]
        for index in heavy[1:]:
            if active.insert(orders[index], laws[index]):
                shares.append(weights[index])
        active.weights = np.array(shares) / np.sum(shares)
        active.settle()
        self._active = active


def _block_type(size):
    # NumPy sorts short integers by radix, several times faster
    return np.int16 if size <= np.iinfo(np.int16).max else np.int64


def _over(values, masses):
    """Quotients, a mass of zero counting as the least number: such a token stands at the end it belongs to."""
    return values / np.maximum(masses, _TINY)


def take_turn(search, best, tol, rules):
    """Alternate priority rules with attempts to finish, which cost less; return the rules used."""
    used, stretch = 0, _STRETCH
    while used < rules and best.gap > tol and not search.stuck:
        used += max(search.run(best, tol, min(stretch, rules - used)), 1)
        if best.gap <= tol:
            break
        search.improve_cut(best)
        search.restrict(best.cut)
        search.snap(best, tol)
        search.move_aim(best.cut)
        stretch += stretch // 3
    return used
