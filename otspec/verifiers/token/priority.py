r"""The optimal rule for different drafters and for any joint law of the drafts: a mixture of priority orders.

Definitions. A *priority order* lists all tokens; its rule lets the last drafted token in the order win. Q(H) is the
probability that every draft lies in H, and L is the winner's law under a random order drawn from the mixture.

Theorem used: the law of one order is the increments of Q along it, an extreme point of the winner laws, so every winner
law is such a mixture, the optimal one included (`otspec.transport.drafters.minimum_norm` finds it). For different
drafters laminar plans (`otspec.transport.drafters.laminar_mixture`) stand in the mixture beside the orders, and often
are all of it. `otspec.verifiers.token.winner_by_context` turns the winner into a lossless rule, however far the search
went.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from otspec.core.drafters import Independent, Joint
from otspec.core.laws import draw
from otspec.transport.drafters.capacities import capacity_along, first_plan
from otspec.transport.drafters.laminar_mixture import LaminarMixture
from otspec.transport.drafters.minimum_norm import MinimumNorm, minimum_norm_law
from otspec.verifiers.token.winner_by_context import WinnerByContext

Array = Any
SMALL = 64  # tokens: the search ends after so few orders that it may as well run to rounding
WIDTH = {True: 1e-13, False: 1e-10}  # by small vocabulary: rounding of the sums; a tenth of the certified gap


@dataclass(frozen=True)
class Mixture:
    """Winner of one context: a random priority order, or laminar plans with the weight that is left."""

    law: np.ndarray  # [V]
    acceptance: float
    rank: np.ndarray  # [m V], place of each token in each order
    weights: np.ndarray  # [m], and that of `first` last where there is one
    first: LaminarMixture | None

    def conditional(self, lists: np.ndarray) -> np.ndarray:
        """Probability ``[n k]`` that each draft of a list ``[n k]`` wins."""
        odds = np.zeros(lists.shape)
        if self.first is not None:
            odds += self.weights[-1] * self.first.conditional(lists)
        every = np.arange(len(lists))
        for rank, weight in zip(self.rank, self.weights[: len(self.rank)], strict=True):
            odds[every, rank[lists].argmax(axis=-1)] += weight
        return odds

    def pick(self, lists: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Slot ``[n]`` of the winner of each list ``[n k]``."""
        which = draw(self.weights, uniforms)
        slots = np.empty(len(lists), dtype=np.int64)
        ordered = which < len(self.rank)
        slots[ordered] = self.rank[which[ordered][:, None], lists[ordered]].argmax(axis=-1)
        if self.first is not None and not ordered.all():
            # given that the uniform chose the plans, its place in their share is uniform again
            share = self.weights[-1] / self.weights.sum()
            again = np.clip((uniforms[~ordered] - (1.0 - share)) / share, 0.0, 1.0)
            slots[~ordered] = self.first.pick(lists[~ordered], again)
        return slots


class PriorityMixture(WinnerByContext):
    """Draw a priority order, let its last drafted token win, then reject it against the winner's law."""

    schemes: ClassVar[tuple[type, ...]] = (Independent, Joint)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Acceptance of the plan, ``[*batch]``: the lower end of the certified interval around the optimum."""
        return self._of_contexts(target, draft, lambda plan, _: plan.winner.acceptance)

    def _find(self, target: np.ndarray, draft: np.ndarray) -> Mixture:
        tol = WIDTH[target.size <= SMALL]
        first = first_plan(self.scheme, target, draft, tol)
        found = minimum_norm_law(target, capacity_along(self.scheme, draft), first=first, tol=tol)
        return _mixture(found, first)


def _mixture(found: MinimumNorm, first: LaminarMixture | None) -> Mixture:
    size = found.orders.shape[-1]
    rank = np.empty(found.orders.shape, dtype=np.int32)
    np.put_along_axis(rank, found.orders, np.arange(size, dtype=np.int32)[None], axis=1)
    if found.first_weight == 0.0:
        return Mixture(found.law, found.value_lower, rank, found.weights, None)
    return Mixture(found.law, found.value_lower, rank, np.append(found.weights, found.first_weight), first)
