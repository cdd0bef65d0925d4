r"""A near-optimal winner law for different drafters from one sort, as a plan whose law is exact.

Definitions. Tokens are sorted by target over :math:`\sum_l \omega_l q_l`, with :math:`\omega_l = 1/q_l(H)` at the best
cut H found. Neighbouring *cells* of tokens merge as T grows from 0 to 1; at T the drafts in the highest drafted cell
hold a *tournament*: going through the drafters, each one takes over with a probability that depends on the cell only.

Theorem used: given the drafters that lie in the cell, their drafts are independent with laws q_l restricted to it. So a
cell that lives for dt adds dt w_l q_l / q_l(cell) to the winner law, w_l the chance that drafter l wins there. The law
is exact whatever the merge times and odds are; only how close it comes to the optimum depends on them. No cell crosses
the cut, hence L(H) = Q(H).
"""

import heapq
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numba import njit

from otspec.core.errors import ShapeMismatch
from otspec.core.laws import draw
from otspec.transport.winner.laws import universal_law

__all__ = ["LaminarPlan", "laminar_plan"]

_BETTER = 1e-12  # a cut from another start must be better by more than the rounding of its sums
_FAINT = 1e-12  # share of the common law given to tokens that only drafters of weight 0 draw


class DrawnByChances(ABC):
    """A winner that is drawn from its chances given the drafts; a subclass writes `conditional`."""

    @abstractmethod
    def conditional(self, lists: np.ndarray) -> np.ndarray:
        """Probability ``[n k]`` that each draft of a list ``[n k]`` wins."""

    def pick(self, lists: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Slot ``[n]`` of the winner of each list ``[n k]``, from one uniform ``[n]`` each."""
        return draw(self.conditional(lists), uniforms)


@dataclass(frozen=True)
class LaminarPlan(DrawnByChances):
    """Cells with their life times, the law of the winner, and a cut that bounds what it may lack.

    Attributes
    ----------
    law : ndarray [V]
        Winner law.
    subset : bool ndarray [V]
        The cut.
    value_lower, value_upper : float
        Acceptance of the plan, and the value of the cut.
    rank : int ndarray [V]
        Place of each drafted token in the order; -1 where nobody drafts it.
    low, parent : int ndarray [n]
        First place of each cell, and the cell it merges into (-1: none); the first cells are single tokens.
    start, stop : ndarray [n]
        Life of each cell.
    odds : ndarray [n k]
        Chance that a drafter takes over from the winner among those before it.
    """

    law: np.ndarray
    subset: np.ndarray
    value_lower: float
    value_upper: float
    rank: np.ndarray
    low: np.ndarray
    parent: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    odds: np.ndarray

    def conditional(self, tokens: np.ndarray) -> np.ndarray:
        """Probability that each draft of a list wins, ``[*batch k]`` for lists ``[*batch k]``."""
        tokens = np.asarray(tokens)
        ranks = self.rank[tokens.reshape(-1, tokens.shape[-1])]
        won = _win_chances(ranks, self.low, self.parent, self.stop - self.start, self.odds)
        return won.reshape(tokens.shape)


def laminar_plan(target: np.ndarray, drafts: np.ndarray) -> LaminarPlan:
    """Laminar plan for one independent draft from each of k different laws.

    Parameters
    ----------
    target : ndarray [V]
    drafts : ndarray [k V]

    Returns
    -------
    LaminarPlan

    Raises
    ------
    ShapeMismatch
        If ``drafts`` is not ``[k V]``.

    Examples
    --------
    >>> plan = laminar_plan(np.array([1.0, 0.0]), np.full((2, 2), 0.5))
    >>> plan.value_lower, plan.value_upper
    (0.75, 0.75)
    """
    target, drafts = np.asarray(target, dtype=np.float64), np.asarray(drafts, dtype=np.float64)
    if drafts.ndim != 2 or drafts.shape[1] != target.size:
        raise ShapeMismatch(f"drafts: shape {drafts.shape} is not [k {target.size}]. Fix: give one law per drafter.")
    upper, weights, order, edge = _best_cut(target, drafts)
    subset = np.zeros(target.size, dtype=bool)
    subset[order[:edge]] = True
    order = order[(drafts[:, order] > 0).any(axis=0)]
    drawn = np.ascontiguousarray(drafts[:, order])
    before = np.concatenate([np.zeros((len(drafts), 1)), np.cumsum(drawn, axis=1)], axis=1)
    steps = _capacity_steps(drawn, before)
    aim = universal_law(target[order], None, increments=steps)
    common = weights @ drawn
    common = np.where(common > 0, common, _FAINT * drawn.sum(axis=0))
    size = order.size
    low, parent = np.empty(2 * size, dtype=np.int64), np.full(2 * size, -1)
    start, stop = np.zeros(2 * size), np.ones(2 * size)
    count = _merge(common, aim, steps, int(subset[order].sum()), low, start, stop, parent)
    low, parent, start, stop = (values[:count] for values in (low, parent, start, stop))
    odds = np.zeros((count, len(drafts)))
    law = np.zeros(target.size)
    law[order] = _winner_law(drawn, before, weights, low, parent, start, stop, odds)
    rank = np.full(target.size, -1)
    rank[order] = np.arange(size)
    return LaminarPlan(law, subset, float(np.minimum(law, target).sum()), upper, rank, low, parent,
                       start, stop, odds)


def _capacity_steps(drawn, before):
    """Increments of the prefix capacities, each relatively exact."""
    steps, capacity = np.zeros(drawn.shape[1]), np.ones(drawn.shape[1])
    for law, sums in zip(drawn, before, strict=True):
        steps = steps * sums[1:] + capacity * law
        capacity = capacity * sums[:-1]
    return steps


def _best_cut(target, drafts):
    """Value, weights, order and size of the best prefix, from equal weights and from each drafter alone."""
    best = (np.inf,)
    for weights in (np.ones(len(drafts)), *np.eye(len(drafts))):
        reached = np.inf
        while True:
            common = weights @ drafts
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                order = np.argsort(np.where(common > 0, target / common, np.inf))
            sums = np.cumsum(drafts[:, order], axis=1)
            slack = np.append(0.0, np.cumsum(target[order]) - sums.prod(axis=0))
            edge = int(np.argmin(slack))
            if 1.0 + slack[edge] < best[0] - _BETTER:
                best = 1.0 + float(slack[edge]), weights, order, edge
            if slack[edge] >= reached:
                break
            # each sum is positive: the slack is at most that of the empty prefix, after which all tokens are summed
            reached, weights = slack[edge], 1.0 / sums[:, edge - 1]
    return best


@njit(cache=True, nogil=True)
def _meeting(width, aim, steps, i, j):
    """When the slopes of two neighbouring cells meet; 1 where they never do."""
    bend = aim[j] / width[j] - aim[i] / width[i]
    closing = steps[j] / width[j] - steps[i] / width[i]
    if bend <= 0.0:
        return 0.0
    return bend / closing if closing > bend else 1.0


@njit(cache=True, nogil=True)
def _merge(common, aims, increments, wall, low, start, stop, parent):
    """Merge neighbouring cells, never across ``wall``; return the number of cells."""
    size = common.size
    width, aim, steps = np.empty(2 * size), np.empty(2 * size), np.empty(2 * size)
    width[:size], aim[:size], steps[:size] = common, aims, increments
    left, right = np.arange(2 * size) - 1, np.arange(2 * size) + 1
    right[size - 1] = -1
    alive = np.ones(2 * size, np.bool_)
    low[:size] = np.arange(size)
    queue = [(2.0, -1, -1)]
    queue.pop()
    for i in range(size - 1):
        if i + 1 != wall:
            queue.append((_meeting(width, aim, steps, i, i + 1), i, i + 1))
    heapq.heapify(queue)
    now, new = 0.0, size
    while len(queue) > 0:
        when, a, b = heapq.heappop(queue)
        if when >= 1.0:
            break
        if not (alive[a] and alive[b]):  # outdated by a merge next to it
            continue
        now = max(now, when)
        width[new], aim[new], steps[new] = width[a] + width[b], aim[a] + aim[b], steps[a] + steps[b]
        low[new], start[new] = low[a], now
        stop[a] = stop[b] = now
        parent[a] = parent[b] = new
        alive[a] = alive[b] = False
        left[new], right[new] = left[a], right[b]
        if left[new] >= 0:
            right[left[new]] = new
            if low[new] != wall:
                heapq.heappush(queue, (_meeting(width, aim, steps, left[new], new), left[new], new))
        if right[new] >= 0:
            left[right[new]] = new
            if low[right[new]] != wall:
                heapq.heappush(queue, (_meeting(width, aim, steps, new, right[new]), new, right[new]))
        new += 1
    return new


@njit(cache=True, nogil=True)
def _winner_law(drawn, before, weights, low, parent, start, stop, odds):
    """Law of the winner ``[m]``; writes the odds of every cell."""
    k, size = drawn.shape
    mass, rate = np.zeros((low.size, k)), np.zeros((low.size, k))
    mass[:size] = drawn.T
    for cell in range(low.size):  # sums over the tree: small masses keep their digits
        if parent[cell] >= 0:
            mass[parent[cell]] += mass[cell]
    lone = np.empty(k)
    for cell in range(low.size - 1, -1, -1):
        if parent[cell] >= 0:
            rate[cell] += rate[parent[cell]]
        below, some, share = 1.0, 0.0, 0.0
        for drafter in range(k):
            inside, under = mass[cell, drafter], before[drafter, low[cell]]
            after = some * (under + inside) + below * inside
            share += weights[drafter] * inside
            if some > 0.0 and share > 0.0:
                wanted = (after * weights[drafter] / share - below) / some
                odds[cell, drafter] = min(1.0, max(0.0, wanted))
            lone[drafter] = below + odds[cell, drafter] * some
            below *= under
            some = after
        kept = stop[cell] - start[cell]
        for drafter in range(k - 1, -1, -1):
            rate[cell, drafter] += kept * lone[drafter]
            kept *= before[drafter, low[cell]] + (1.0 - odds[cell, drafter]) * mass[cell, drafter]
    return (rate[:size].T * drawn).sum(axis=0)


@njit(cache=True, nogil=True)
def _win_chances(ranks, low, parent, lived, odds):
    """Chance of every draft to win its list, ``[n k]``."""
    won = np.zeros(ranks.shape)
    for row in range(ranks.shape[0]):
        places, chances = ranks[row], won[row]
        cell = places.max()
        if cell < 0:  # tokens that nobody drafts, so that no such list is ever drawn
            chances[0] = 1.0
        while cell >= 0:
            left, first = lived[cell], -1
            for place in range(places.size - 1, -1, -1):
                if places[place] < low[cell]:
                    continue
                if first >= 0:  # a drafter before `first` is in the cell as well, so `first` must take over to win
                    taken = left * odds[cell, first]
                    chances[first] += taken
                    left -= taken
                first = place
            chances[first] += left
            cell = parent[cell]
    return won
