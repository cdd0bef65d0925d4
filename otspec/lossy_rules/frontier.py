"""The frontier: the largest acceptance at a price of at most ``budget``, its certificate and the rule that attains it.

The module `otspec.lossy_rules.base` has the theorem and its proof. W is the winner law of the optimal rule; for
`Hybrid` drafts, whose top tokens are always drafted, what W lacks of one goes to those. [mdsd]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from otspec.core.bound import AcceptanceBound
from otspec.core.drafters import Independent, Joint
from otspec.core.laws import normalized_or, positive_part
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement, as_scheme, same_sets
from otspec.core.verifier import checked_pair
from otspec.lossy_rules.base import OtherTarget, check_share
from otspec.transport.bounds import acceptance_bound

Array = Any


@dataclass(frozen=True)
class LossyBound(AcceptanceBound):
    """Interval around the largest acceptance of a rule whose price is at most ``tv_budget``; a *lossy* optimum.

    Attributes
    ----------
    lower : [*batch]
        What the optimal rule for the target ``output_law`` attains.
    upper : [*batch]
        The lossless bound plus the budget, at most 1; ``cut`` proves the former.
    tv_budget : float
    output_law : [*batch V]
        Law of the emitted token, within ``tv_budget`` of the target in total variation.
    price : [*batch]
        That distance; below the budget where acceptance is 1 already.
    """

    tv_budget: float = 0.0
    output_law: Array = None
    price: Array = None

    def __str__(self) -> str:
        """As of a lossless bound, with the budget."""
        return super().__str__().replace("optimal acceptance", f"lossy (TV <= {self.tv_budget:g}) acceptance")


def lossy_bound(target: Array, draft: Array, scheme: DraftScheme | int, tv_budget: float) -> LossyBound:
    """Largest acceptance of any rule that emits a law within ``tv_budget`` of the target, from both sides.

    Parameters
    ----------
    target, draft, scheme
        As in `otspec.acceptance_bound`.
    tv_budget : float
        Total variation distance in [0, 1], for each context by itself.

    Returns
    -------
    LossyBound

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument

    Examples
    --------
    >>> bound = lossy_bound([0.5, 0.5], [1.0, 0.0], 1, 0.2)
    >>> float(bound.lower), float(bound.upper), bound.output_law
    (0.7, 0.7, array([0.7, 0.3]))
    """
    scheme, budget = as_scheme(scheme), check_share("tv_budget", tv_budget)
    target, draft = checked_pair(target, draft, scheme)
    strict = acceptance_bound(target, draft, scheme)
    xp = array_namespace(target)
    output, price = _moved(target, _always_drafts(target, draft, scheme, strict.winner_law), budget)
    upper = xp.asarray(strict.upper) + budget
    return LossyBound(acceptance_bound(output, draft, scheme).lower, xp.where(upper < 1, upper, xp.ones_like(upper)),
                      strict.cut, strict.winner_law, None, budget, output, price)


def _always_drafts(target: Array, draft: Array, scheme: DraftScheme, winner: Array) -> Array:
    """Law of a draft that overlaps with the target as much as any can."""
    scheme = same_sets(scheme)
    if not isinstance(scheme, Hybrid) or scheme.top == 0:
        return winner
    xp = array_namespace(target, draft, winner)
    mask, _ = scheme.split(draft)
    kept = xp.where(mask, target, xp.minimum(target, winner))
    likeliest = normalized_or(xp.where(mask, draft, xp.zeros_like(draft)), draft)
    return kept + positive_part(1 - xp.sum(kept, axis=-1, keepdims=True)) * likeliest


def _moved(target: Array, goal: Array, budget: float) -> tuple[Array, Array]:
    """Law on the way from the target to the goal, at most ``budget`` from the target, and its distance."""
    xp = array_namespace(target, goal)
    whole = 0.5 * xp.sum(xp.abs(goal - target), axis=-1)
    price = xp.where(whole < budget, whole, budget * xp.ones_like(whole))
    share = price / xp.where(whole > 0, whole, xp.ones_like(whole))
    # winner laws are float64, and the law emitted is a target like the one given
    return xp.astype(target + share[..., None] * (goal - target), target.dtype), price


class Frontier(OtherTarget):
    """The rule of largest acceptance at a price of at most ``budget`` a token.

    Parameters
    ----------
    scheme : WithReplacement, Hybrid, Independent, Joint or int
    budget : float
        Total variation distance that the emitted token's law may have from the target.

    Examples
    --------
    >>> rule = Frontier(1, budget=0.25)
    >>> float(rule.acceptance([0.5, 0.5], [1.0, 0.0])), float(rule.price([0.5, 0.5], [1.0, 0.0]))
    (0.75, 0.25)
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Hybrid, Independent, Joint)

    def __init__(self, scheme: DraftScheme | int = 1, *, budget: float = 0.02) -> None:
        super().__init__(scheme)
        self.budget = check_share("budget", budget)
        self.max_deviation = 2 * self.budget

    def _goal(self, target: Array, draft: Array, tokens: Array) -> Array:
        if not isinstance(self.scheme, WithReplacement) or self.scheme.k == 1:
            return self._output(target, draft)
        xp = array_namespace(target, tokens)
        present, goal = xp.sum(xp.astype(tokens >= 0, xp.int64), axis=-1), target
        # the survivors of a path are fewer draws, and have a frontier of their own
        for k in range(1, self.scheme.k + 1):
            if not is_numpy_array(tokens) or (present == k).any():
                rule = self if k == self.scheme.k else type(self)(k, budget=self.budget)
                goal = xp.where((present == k)[..., None], rule._output(target, draft), goal)
        return goal

    def _output(self, target: Array, draft: Array) -> Array:
        if is_numpy_array(target) and target.ndim > 1:
            # an enumeration asks for every list of one context, and finding a winner law costs more than comparing
            one, its = target.reshape(-1, target.shape[-1]), draft.reshape(-1, *draft.shape[target.ndim - 1 :])
            if len(one) > 1 and len(one) == len(its) and (one == one[0]).all() and (its == its[0]).all():
                return np.broadcast_to(self._output(one[0], its[0]), target.shape)
        winner = acceptance_bound(target, draft, self.scheme).winner_law
        return _moved(target, _always_drafts(target, draft, self.scheme, winner), self.budget)[0]
