"""Global Resolution: a near-optimal transport plan for i.i.d. drafts, in softmax form, by convex minimisation.

Definitions. ``psi(B) = target(B) - draft(B)^k``; H minimises it, and ``1 + psi(H)`` is the optimum. A draft list
inside H is *inner*, any other *outer*. Some optimal plan sends outer lists, whole, to their tokens outside H, which
receive masses ``target'``, and inner lists, in part, to their tokens, which receive their whole target mass.
Theorem used: with ``D`` the tokens of a list that count (those outside H, or all), minimising
``sum_D Pr[D] log(sum_D e^a) - sum_i target'_i a_i`` outside and ``sum_D Pr[D] log(1 + sum_D e^a) - sum_i target_i a_i``
inside makes the softmax of ``a`` over ``D`` such a plan. [global-resolution]

Published: H by sorting; ``target'`` as differences of minima of psi over nested sets; the two convex problems, each
on the fewest tokens that leave at most the tolerance of list mass out; L-BFGS-B; an output law within 15 tolerances of
the target in L1, and within 10 of the optimum. Early stops count as failures. We know of no public code.
Our completion: lists are grouped by the set D (the paper sums over lists), which only makes it faster; target'
restricted to the chosen tokens is scaled to the mass of their lists, since the minimum would not exist otherwise;
a problem is solved when its gradient is at most 3 tolerances in L1, which with the two truncations keeps each half
of the plan within 5 tolerances and so meets both published bounds; the residual is taken from the masses that the
plan really sends, which leaves ``2 sum (sent - target)+`` as the exact deviation.

The rule is not lossless. `max_deviation` is the bound, `solve` gives the deviation of a context.
"""

from __future__ import annotations

import itertools
import math
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import check_number, check_positive
from otspec.core.errors import BadArgument, NotCertified, TooLarge
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.transport.winner.laws import cumulative
from otspec.verifiers.token.by_context import SolvedByContext
from otspec.verifiers.token.rejection import excess_law

Array = Any
MAX_SETS = 1_000_000
GRADIENT = 3.0  # tolerances of L1 error that a minimisation may leave
DEVIATION = 15.0  # the published bound on the output law, in tolerances
START = 30.0  # first potentials stay within e^-30 .. e^30
LOST, INNER, FREE, OUTER = range(4)  # parts a token can play in the plan


class SoftmaxPlan(NamedTuple):
    """Solution of one context.

    Attributes
    ----------
    part : [V] int
        0: not in the plan; 1: in the inner problem; 2: inside H without target mass; 3: in the outer problem.
    potential : [V]
        The exponents ``a``.
    sent : [V]
        Mass that the plan sends to each token; what is missing to ``target`` is drawn from the residual.
    inside : [V] bool
        The set H.
    deviation : float
        L1 distance between the law of the emitted token and the target.
    iterations : int
        Of both minimisations.
    """

    part: np.ndarray
    potential: np.ndarray
    sent: np.ndarray
    inside: np.ndarray
    deviation: float
    iterations: int

    @property
    def matched(self) -> float:
        """Probability that a draft is emitted by the plan, residual draws aside."""
        return float(self.sent.sum())


class GlobalResolution(SolvedByContext):
    """Play the softmax plan of a context.

    Parameters
    ----------
    scheme : WithReplacement or int
    tolerance : float
        The output law is within 15 tolerances of the target in L1; the published settings are 1e-3 and 1e-4.
    top : int, optional
        Most tokens that either convex problem may hold.
    max_iterations : int
        Most iterations of either minimisation.

    Raises
    ------
    NotCertified
        On use: a context that needs more tokens than ``top`` or more iterations. It counts as unsolved.
    TooLarge
        On use: more than a million draft sets.

    Examples
    --------
    >>> rule = GlobalResolution(2)
    >>> rule.max_deviation
    0.015
    >>> rule.solve([1.0, 0.0], [0.5, 0.5]).deviation <= rule.max_deviation
    True
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1, *, tolerance: float = 1e-3, top: int | None = None,
                 max_iterations: int = 500) -> None:
        super().__init__(scheme)
        self.tolerance = check_number("tolerance", tolerance, "1e-3 or 1e-4, as published")
        if not 0 < self.tolerance < 1:
            raise BadArgument(f"tolerance: {tolerance!r} is outside (0, 1). Fix: 1e-3 or 1e-4, as published.")
        self.top = None if top is None else check_positive("top", top)
        self.max_iterations = check_positive("max_iterations", max_iterations)

    @property
    def max_deviation(self) -> float:
        """Largest L1 distance between the law of the emitted token and the target; 0 would be lossless."""
        return DEVIATION * self.tolerance

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> SoftmaxPlan:
        order, inside, wanted = _split(target, draft, count)
        p, q = target[order], draft[order]
        part, potential, sent = np.full(p.size, LOST), np.zeros(p.size), np.zeros(p.size)
        base = float(q[inside].sum())
        outer = self._outer_tokens(q, ~inside, count)
        inner, free = self._inner_tokens(p, q, inside, count)
        part[free], part[inner], part[outer] = FREE, INNER, OUTER
        iterations = 0
        for tokens, mass, floor in ((outer, base, 0.0), (inner, float(q[free].sum()), 1.0)):
            if tokens.size:
                sets = _sets(q[tokens], mass, count)
                goal = wanted[tokens]
                if floor == 0.0:
                    goal = goal * (sum(float(weight.sum()) for _, weight in sets) / goal.sum())
                start = np.log(np.maximum(goal, np.finfo(float).tiny)) - np.log(q[tokens])
                solved = self._minimise(sets, goal, floor, np.clip(start, -START, START))
                potential[tokens], sent[tokens] = solved[0], solved[1]
                iterations += solved[2]
        place = np.argsort(order)
        return SoftmaxPlan(part[place], potential[place], sent[place], inside[place],
                           2.0 * float(np.maximum(sent - p, 0.0).sum()), iterations)

    def _outer_tokens(self, draft: np.ndarray, outside: np.ndarray, count: int) -> np.ndarray:
        """Fewest tokens outside H such that lists with another one have at most the tolerance of mass."""
        tokens = np.flatnonzero(outside & (draft > 0))
        tokens = tokens[np.argsort(-draft[tokens], kind="stable")]
        left = np.append(np.cumsum(draft[tokens][::-1])[::-1], 0.0)
        return self._fewest(tokens, 1.0 - (1.0 - np.minimum(left, 1.0)) ** count, count)

    def _inner_tokens(self, target: np.ndarray, draft: np.ndarray, inside: np.ndarray,
                      count: int) -> tuple[np.ndarray, np.ndarray]:
        """Fewest tokens of H that leave little target and list mass out, and those that need no mass."""
        free = np.flatnonzero(inside & (target == 0))
        tokens = np.flatnonzero(inside & (target > 0))
        tokens = tokens[np.argsort(-draft[tokens], kind="stable")]
        left = np.append(np.cumsum(target[tokens][::-1])[::-1], 0.0)
        kept = draft[free].sum() + np.append(0.0, np.cumsum(draft[tokens]))
        return self._fewest(tokens, np.maximum(left, kept[-1] ** count - kept**count), count), free

    def _fewest(self, tokens: np.ndarray, loss: np.ndarray, count: int) -> np.ndarray:
        """Shortest prefix whose loss is within the tolerance; ``loss [n+1]`` falls to 0."""
        size = int(np.argmax(loss <= self.tolerance))
        if self.top is not None and size > self.top:
            raise NotCertified(f"the tolerance {self.tolerance:g} needs {size} tokens, more than top = {self.top}. "
                               f"Fix: a larger top or tolerance, or the rule 'optimal'.", float(loss[self.top]))
        sets = float(sum(math.comb(size, d) for d in range(1, count + 1)))
        if sets > MAX_SETS:
            raise TooLarge(f"{size} tokens and {count} drafts make {sets:.2g} draft sets, more than {MAX_SETS:.0e}. "
                           f"Fix: a larger tolerance, or the rule 'optimal', which needs none.", sets)
        return tokens[:size]

    def _minimise(self, sets: list[tuple[np.ndarray, np.ndarray]], goal: np.ndarray, floor: float,
                  start: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Potentials, masses sent and iterations used."""
        from scipy.optimize import minimize

        enough = GRADIENT * self.tolerance
        calls = 0

        def value(potential: np.ndarray) -> tuple[float, np.ndarray]:
            nonlocal calls
            calls += 1
            total, sent = _softmax(potential, sets, floor)
            if np.abs(sent - goal).sum() <= enough:
                raise _Solved(potential, sent)
            return total - float(goal @ potential), sent - goal

        try:
            result = minimize(value, start, jac=True, method="L-BFGS-B",
                              options={"maxiter": self.max_iterations, "ftol": 0.0, "gtol": 0.0})
        except _Solved as solved:
            return solved.args[0], solved.args[1], calls
        error = float(np.abs(result.jac).sum())
        raise NotCertified(
            f"{goal.size} potentials after {result.nit} iterations: masses are off by {error:.2e}, more than "
            f"{enough:.2e}. Fix: more max_iterations, a larger tolerance, or the rule 'optimal'.", error)

    def _play(self, solution: SoftmaxPlan, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        same = lists[:, :, None] == lists[:, None, :]
        copy = np.tril(same, -1).any(axis=-1)
        part = solution.part[lists]
        outer = ~solution.inside[lists]
        is_outer = outer.any(axis=-1, keepdims=True)
        active = np.where(is_outer, part == OUTER, part == INNER) & ~copy
        # a list that holds a token which the truncation left out emits the residual
        covered = np.where(is_outer, ~outer | (part == OUTER), part != LOST).all(axis=-1, keepdims=True)
        potential = np.where(active, solution.potential[lists], -np.inf)
        peak = np.maximum(potential.max(axis=-1, keepdims=True, initial=-np.inf), np.where(is_outer, -np.inf, 0.0))
        peak = np.where(np.isfinite(peak), peak, 0.0)
        odds = np.exp(potential - peak)
        total = odds.sum(axis=-1, keepdims=True) + np.where(is_outer, 0.0, np.exp(-peak))
        odds = np.where(covered, odds / np.where(total > 0, total, 1.0), 0.0)
        out = np.maximum(1.0 - odds.sum(axis=-1, keepdims=True), 0.0) * excess_law(target, solution.sent)
        rows = np.broadcast_to(np.arange(len(lists))[:, None], lists.shape)
        np.add.at(out, (rows, lists), odds)
        return out


class _Solved(Exception):
    """Leaves the minimiser as soon as the gradient is small."""


def _split(target: np.ndarray, draft: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Order by target/draft, the set H, and the mass that the plan owes each token; the last two in that order."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(draft > 0, np.minimum(target / draft, np.finfo(np.float64).max), np.inf)
    order = np.lexsort((draft, ratio))  # ties by mass, so that the result does not depend on the ids
    capacity = cumulative(draft[order]) ** count
    reach = cumulative(target[order])
    psi = reach - capacity
    size = int(np.argmin(psi))
    least = np.minimum.accumulate(psi[::-1])[::-1]
    p = target[order]
    inside = np.arange(p.size) < size
    owed = np.clip(p + least[:-1] - least[1:], 0.0, p)
    return order, inside, np.where(inside, p, owed)


@lru_cache(maxsize=8)
def _subsets(size: int, members: int) -> np.ndarray:
    """All sets of ``members`` of the numbers below ``size``, ``[members n]`` (a short last axis is slow to reduce)."""
    if members == 2:
        return np.stack(np.triu_indices(size, 1))
    flat = itertools.chain.from_iterable(itertools.combinations(range(size), members))
    return np.ascontiguousarray(np.fromiter(flat, dtype=np.int64).reshape(-1, members).T)


def _sets(draft: np.ndarray, base: float, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draft sets by size ``[members n]`` with their probabilities ``[n]``; ``base``: mass of tokens that do not count.

    ``Pr[D] = count! [z^count] e^(base z) prod over D of (e^(q z) - 1)``, a product of positive series.
    """
    factorial = np.array([math.factorial(j) for j in range(count + 1)], dtype=np.float64)
    powers = np.arange(count + 1)
    series = draft ** powers[:, None] / factorial[:, None]
    series[0] = 0.0
    found = []
    for members in range(1, min(count, draft.size) + 1):
        sets = _subsets(draft.size, members)
        product = [np.full(sets.shape[1], mass) for mass in base**powers / factorial]
        for column in sets:
            factor = series[:, column]
            product = [sum((product[i] * factor[j - i] for i in range(j)), np.zeros(sets.shape[1])) for j in powers]
        found.append((sets, product[count] * factorial[count]))
    return found


def _softmax(potential: np.ndarray, sets: list[tuple[np.ndarray, np.ndarray]],
             floor: float) -> tuple[float, np.ndarray]:
    """``sum_D Pr[D] log(floor + sum_D e^a)`` and its gradient, the masses sent."""
    total, sent = 0.0, np.zeros(potential.size)
    for members, weight in sets:
        exponents = potential[members]
        peak = exponents.max(axis=0)
        if floor:
            peak = np.maximum(peak, 0.0)
        odds = np.exp(exponents - peak)
        mass = odds.sum(axis=0) + floor * np.exp(-peak)
        total += float(weight @ (peak + np.log(mass)))
        odds *= weight / mass
        sent += np.bincount(members.ravel(), weights=odds.ravel(), minlength=potential.size)
    return total, sent
