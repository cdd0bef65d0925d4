"""Play the plan of the linear programme on draft sets: optimal by definition, for any scheme, at small vocabularies.

Given a draft set, its flows say with which probability each member is emitted; the mass that no flow uses emits
the law of what the target still misses. Theorem: a plan whose acceptance meets a cut is optimal. [mdsd]
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import is_numpy_array

from otspec.core.bound import TransportPlan
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.verifier import TokenVerifier

Array = Any
MAX_VARIABLES = 200_000  # a second for each context; a decoder meets a new one at every position


class PlanPlayer(TokenVerifier):
    """Emit by an optimal transport plan, solved once for each context (the last one is remembered). NumPy only.

    Raises
    ------
    TooLarge
        On use: more draft sets than the linear programme can hold.
    BadArgument
        On use: an array that is not NumPy's, or a draft list of probability zero.

    Examples
    --------
    >>> PlanPlayer(1).conditional([0.25, 0.75], [0.5, 0.5], [0])
    array([0.5, 0.5])
    """

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        super().__init__(scheme)
        self._solved: tuple[Any, TransportPlan] | None = None

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        if not (is_numpy_array(target) and is_numpy_array(tokens)):
            raise BadArgument(
                f"target: {type(target).__module__.split('.')[0]} arrays; the rule 'lp' runs on NumPy only. "
                f"Fix: convert to NumPy, or use 'optimal'.")
        size, k = target.shape[-1], tokens.shape[-1]
        contexts = target.reshape(-1, size), draft.reshape(-1, *draft.shape[target.ndim - 1 :])
        lists = tokens.reshape(-1, k)
        law = np.empty((len(lists), size))
        for (count, *_), rows in self._groups(*contexts, lists).items():
            one, proposal = (laws[rows[0]] for laws in contexts)
            law[rows] = self._play(one, proposal, lists[rows], count) if count else one
        return law.reshape(target.shape).astype(target.dtype)

    def _groups(self, target: np.ndarray, draft: np.ndarray, lists: np.ndarray) -> dict[Any, list[int]]:
        """Rows that share one plan: same laws and, with replacement, the same number of drafts present."""
        survivors = isinstance(self.scheme, WithReplacement)
        counts = (lists >= 0).sum(axis=-1) if survivors else np.full(len(lists), lists.shape[-1])
        groups: dict[Any, list[int]] = {}
        for row, count in enumerate(counts.tolist()):
            groups.setdefault((count, target[row].tobytes(), draft[row].tobytes()), []).append(row)
        return groups

    def _play(self, target: np.ndarray, draft: np.ndarray, lists: np.ndarray, count: int) -> np.ndarray:
        scheme = WithReplacement(count) if isinstance(self.scheme, WithReplacement) else self.scheme
        plan = self._plan(target, draft, scheme)
        try:
            return plan.conditional(lists)
        except KeyError as unknown:
            raise BadArgument(
                f"tokens: the draft set {sorted(unknown.args[0])} has probability zero under {scheme}. "
                f"Fix: pass lists that the scheme can draw from this draft law.") from None

    def _plan(self, target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> TransportPlan:
        from otspec.transport.bounds import optimal_plan  # the solver is loaded when it is first needed

        variables = scheme.count_lists(draft) * scheme.num_drafts
        if variables > MAX_VARIABLES:
            raise TooLarge(
                f"the rule 'lp' for {scheme} on {target.size} tokens solves a programme of about {variables:.2g} "
                f"variables for each context, more than {MAX_VARIABLES:.0e}. Fix: the rule 'optimal' accepts as often "
                f"at any vocabulary; for one context optimal_plan goes further.", variables)
        key = scheme, target.tobytes(), draft.tobytes()
        known = self._solved  # read once: another thread may put its own context there
        if known is not None and known[0] == key:
            return known[1]
        plan = optimal_plan(target, draft, scheme).plan
        assert plan is not None  # optional in bounds that need no linear programme; this one is one
        self._solved = key, plan
        return plan
