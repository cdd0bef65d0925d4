r"""Laminar plans mixed to reproduce the target, where that is possible: the hard case of different drafters.

Definitions. The *core* holds the winner laws. An optimum of 1 means that the target p lies in the core, and then the
plan must reproduce it on the whole vocabulary. A laminar plan's law L comes close to p but misses it.

Theorem used: the core is convex, so mixtures of plans are plans, and the mixture nearest to p in a weighted Euclidean
norm is found one law at a time (`otspec.transport.drafters.active_set`). The next plan is made for a target past p,
away from the mixture: :math:`p + (1/r - 1) (p - L)`, mixed in with weight r, would cancel the error. A laminar plan
follows its target much closer than any single priority order does, so a dozen plans do what hundreds of orders do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from otspec.transport.drafters.active_set import ActiveSet
from otspec.transport.drafters.laminar import DrawnByChances, LaminarPlan, laminar_plan

__all__ = ["LaminarMixture", "laminar_mixture"]

_PLANS = 100  # hard instances take 4 to 30; beyond it the search among priority orders goes on
_FLOOR = 1e-13  # spread over the vocabulary: smaller targets would scale their rounding up to 1
_REACH = 0.3  # first guess of the weight that the next plan will get
_WIDER = 3.0  # how far apart the guesses tried beside the last one are


@dataclass(frozen=True)
class LaminarMixture(DrawnByChances):
    """Laminar plans of one context, one of which is drawn by its weight.

    Attributes
    ----------
    law : ndarray [V]
        Winner law.
    subset : bool ndarray [V]
        The cut.
    value_lower, value_upper : float
        Acceptance of the mixture, and the value of the cut.
    plans : tuple of LaminarPlan
    weights : ndarray [m]
        Positive, summing to 1.
    """

    law: np.ndarray
    subset: np.ndarray
    value_lower: float
    value_upper: float
    plans: tuple[LaminarPlan, ...]
    weights: np.ndarray

    def conditional(self, tokens: np.ndarray) -> np.ndarray:
        """Probability that each draft of a list wins, ``[*batch k]`` for lists ``[*batch k]``."""
        return sum(weight * plan.conditional(tokens) for weight, plan in zip(self.weights, self.plans, strict=True))


def laminar_mixture(target: np.ndarray, drafts: np.ndarray, *, tol: float = 1e-10) -> LaminarMixture:
    """Mixture of laminar plans for one independent draft from each of k different laws.

    It has one plan only where the optimum is below 1, or where that plan is optimal already.

    Parameters
    ----------
    target : ndarray [V]
    drafts : ndarray [k V]
    tol : float
        Stop when the interval is at most this wide.

    Returns
    -------
    LaminarMixture

    Raises
    ------
    ShapeMismatch
        If ``drafts`` is not ``[k V]``.

    Examples
    --------
    >>> mixture = laminar_mixture(np.array([0.6, 0.4]), np.array([[0.9, 0.1], [0.1, 0.9]]))
    >>> round(mixture.value_lower, 12), round(mixture.value_upper, 12)
    (1.0, 1.0)
    """
    target, drafts = np.asarray(target, dtype=np.float64), np.asarray(drafts, dtype=np.float64)
    first = laminar_plan(target, drafts)
    upper = first.value_upper
    # a metric of relative errors; tokens of target zero have no say
    scale = np.maximum(target + first.law, _FLOOR / target.size)
    active = ActiveSet(target, np.where(target > 0, 1.0 / scale, 0.0), first, first.law)
    best, kept, reach = first.value_lower, ((first,), np.ones(1)), _REACH
    while upper >= 1.0 - tol and upper - best > tol and len(active.orders) < _PLANS:
        plan, reach = _next_plan(active, target, drafts, reach)
        if plan is None or not active.insert(plan, plan.law):
            break
        active.settle()
        value = _value(active.orders, active.weights, target)
        if value > best:
            best, kept = value, (tuple(active.orders), active.weights)
    plans, weights = kept
    return LaminarMixture(_law(plans, weights), first.subset, best, upper, plans, weights)


def _next_plan(active, target, drafts, reach):
    """Among plans for targets at several distances past the target, the one with most progress, and its reach."""
    best, chosen, excess = 0.0, None, active.excess
    for guess in sorted({reach / _WIDER, reach, min(1.0, reach * _WIDER)}):
        beyond = np.maximum(target + excess - excess / guess, 0.0)
        plan = laminar_plan(beyond / beyond.sum(), drafts)
        progress = active.progress(plan.law, excess)
        if progress > best:
            best, chosen, reach = progress, plan, guess
    return chosen, reach


def _law(plans, weights):
    return sum(weight * plan.law for weight, plan in zip(weights, plans, strict=True))


def _value(plans, weights, target):
    return float(np.minimum(_law(plans, weights), target).sum())
