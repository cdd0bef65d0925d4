"""Importance-weighted choice of one draft, then single-draft rejection against the law of the chosen token.

Definitions. Two drafts x ~ a and y ~ q are compared: of a pair {i, j}, token i is chosen with weight ``w_ij = 1 - w_ji``.
The chosen token has law ``L_i = a_i q_i + sum_j (a_i q_j + q_i a_j) w_ij``.
Theorem used (canonical decomposition): an optimal rule for any drafts is such a choice, followed by rejection of the
chosen token with ``min(1, target / L)``; and two i.i.d. drafts need no rejection iff
``target(S) >= draft(S)^2`` for every set S. [khisti]

Published: the decomposition, the linear programme for the weights of two drafts, its truncation (tokens ranked by
``target - a q`` descending, weights optimised among the first ``top``, elsewhere the higher ranked token wins), and
the tournament that adds further drafts one at a time, with the chosen token as the first draft of the next pair.
Our completion: one weight for both orders of a pair, which loses nothing; L recomputed from the weights that are
played, so that the rule is lossless whatever the solver returns; and the acceptance for two drafts, which counts the
residual draws that land on the other draft. The published shortcut to a truncated alphabet is left out: without it the
rule is slower only where the sort of the vocabulary matters, and never worse.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import check_positive
from otspec.core.drafters import Independent
from otspec.core.errors import NotCertified, TooLarge
from otspec.core.laws import positive_part
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.verifier import checked_pair
from otspec.verifiers.token.by_context import SolvedByContext
from otspec.verifiers.token.rejection import excess_law, keep_probability

Array = Any
MAX_TOP = 1000  # half a million pairs: minutes of linear programming
SCALE = 1e6  # HiGHS accepts violations of 1e-7: in probability, 1e-13


class Pairing(NamedTuple):
    """How one more draft is taken in: the ranks of the tokens, the weights, and the law of the chosen token."""

    rank: np.ndarray  # [V] int
    weight: np.ndarray  # [top top], by rank: chance that the row's token is chosen from the pair
    first: np.ndarray  # [V] law of the token chosen so far
    second: np.ndarray  # [V] law of the next draft
    law: np.ndarray  # [V] law of the token chosen now

    def chance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Probability that ``one`` is chosen rather than ``other``; of equal tokens the second."""
        a, b = self.rank[one], self.rank[other]
        edge = len(self.weight)
        both = (a < edge) & (b < edge)
        weighed = self.weight[np.where(both, a, 0), np.where(both, b, 0)]
        return np.where(one == other, 0.0, np.where(both, weighed, (a < b).astype(np.float64)))


class Importance(SolvedByContext):
    """Khisti's importance-weighted choice, a tournament for more than two drafts.

    Parameters
    ----------
    scheme : WithReplacement, Independent or int
    top : int
        Tokens among which the weights are optimised; 5 is the published setting. With ``top >= V`` two drafts reach
        the optimum.

    Raises
    ------
    TooLarge
        ``top`` above 1000.

    Examples
    --------
    >>> float(Importance(2).acceptance([1.0, 0.0], [0.5, 0.5]))
    0.75
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement, Independent)

    def __init__(self, scheme: DraftScheme | int = 1, *, top: int = 5) -> None:
        super().__init__(scheme)
        self.top = check_positive("top", top)
        if self.top > MAX_TOP:
            raise TooLarge(f"top: {top} tokens have {top * (top - 1) // 2} pairs, one variable each. "
                           f"Fix: top <= {MAX_TOP}; the rule 'optimal' needs no programme.", top)

    def winner_law(self, target: Array, draft: Array) -> np.ndarray:
        """Law of the chosen token in one context, ``[V]``; the loop of the paper accepts ``sum min(target, law)``."""
        return _chosen(self.solve(target, draft), _laws(np.asarray(draft, dtype=np.float64), 1)[0])

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """Exact for one and two drafts, ``[*batch]``; None for more."""
        if self.scheme.num_drafts > 2:
            return None
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        p, q = np.asarray(target).astype(np.float64), np.asarray(draft).astype(np.float64)
        batch = np.broadcast_shapes(p.shape[:-1], q.shape[:q.ndim - 1 - self.scheme.draft_axes])
        tail = q.shape[q.ndim - 1 - self.scheme.draft_axes:]
        p = np.broadcast_to(p, (*batch, p.shape[-1])).reshape(-1, p.shape[-1])
        q = np.broadcast_to(q, (*batch, *tail)).reshape(-1, *tail)
        values = [self._acceptance_row(*row) for row in zip(p, q, strict=True)]
        return xp.astype(xp.asarray(np.reshape(values, batch)), target.dtype)

    def _acceptance_row(self, target: np.ndarray, draft: np.ndarray) -> float:
        pairings = self._solution(target, draft, self.scheme.num_drafts)
        law = _chosen(pairings, _laws(draft, 1)[0])
        kept = float(np.minimum(target, law).sum())
        return kept + (_hit_of_the_other(pairings[0], target) if pairings else 0.0)

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> list[Pairing]:
        first, *others = _laws(draft, count)
        target = target / target.sum()
        pairings = []
        for law in others:
            pairings.append(pair_up(target, first, law, self.top))
            first = pairings[-1].law
        return pairings

    def _play(self, solution: list[Pairing], target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        odds = np.zeros(lists.shape)
        odds[:, 0] = 1.0
        for slot, pairing in enumerate(solution, start=1):
            taken = pairing.chance(lists[:, slot, None], lists[:, :slot])
            odds[:, slot] = (odds[:, :slot] * taken).sum(axis=1)
            odds[:, :slot] *= 1.0 - taken
        # one draft: its own law is that of the chosen token
        law = solution[-1].law if solution else self._first_law
        keep = odds * keep_probability(target[lists], law[lists])
        out = (1.0 - keep.sum(axis=1, keepdims=True)) * excess_law(target, law)
        rows = np.broadcast_to(np.arange(len(lists))[:, None], lists.shape)
        np.add.at(out, (rows, lists), keep)
        return out
