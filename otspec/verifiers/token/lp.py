"""Play the plan of the linear programme on draft sets: optimal by definition, for any scheme, at small vocabularies.

Given a draft set, its flows say with which probability each member is emitted; the mass that no flow uses emits
the law of what the target still misses. Theorem: a plan whose acceptance meets a cut is optimal. [mdsd]
"""

from __future__ import annotations

import numpy as np

from otspec.core.bound import TransportPlan
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.schemes import WithReplacement
from otspec.verifiers.token.by_context import SolvedByContext

MAX_VARIABLES = 200_000  # a second for each context; a decoder meets a new one at every position


class PlanPlayer(SolvedByContext):
    """Emit by an optimal transport plan, solved once for each context.

    Raises
    ------
    TooLarge
        On use: more draft sets than the linear programme can hold.
    BadArgument
        On use: a draft list of probability zero.

    Examples
    --------
    >>> PlanPlayer(1).conditional([0.25, 0.75], [0.5, 0.5], [0])
    array([0.5, 0.5])
    """

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> TransportPlan:
        from otspec.transport.bounds import optimal_plan  # the solver is loaded when it is first needed

        scheme = WithReplacement(count) if isinstance(self.scheme, WithReplacement) else self.scheme
        variables = scheme.count_lists(draft) * scheme.num_drafts
        if variables > MAX_VARIABLES:
            raise TooLarge(
                f"the rule 'lp' for {scheme} on {target.size} tokens solves a programme of about {variables:.2g} "
                f"variables for each context, more than {MAX_VARIABLES:.0e}. Fix: the rule 'optimal' accepts as often "
                f"at any vocabulary; for one context optimal_plan goes further.", variables)
        plan = optimal_plan(target, draft, scheme).plan
        assert plan is not None  # optional in bounds that need no linear programme; this one is one
        return plan

    def _play(self, solution: TransportPlan, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        try:
            return solution.conditional(lists)
        except KeyError as unknown:
            raise BadArgument(
                f"tokens: the draft set {sorted(unknown.args[0])} has probability zero under {self.scheme}. "
                f"Fix: pass lists that the scheme can draw from this draft law.") from None
