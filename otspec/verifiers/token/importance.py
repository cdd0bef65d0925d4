"""Importance-weighted choice of one draft, then single-draft rejection against the law of the chosen token.

Definitions. Two drafts x ~ a and y ~ q are compared: of a pair {i, j}, token i is chosen with weight
``w_ij = 1 - w_ji``. The chosen token has law ``L_i = a_i q_i + sum_j (a_i q_j + q_i a_j) w_ij``.
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

from otspec.core.checks import check_positive
from otspec.core.drafters import Independent
from otspec.core.errors import NotCertified, TooLarge
from otspec.core.laws import positive_part
from otspec.core.schemes import DraftScheme, WithReplacement
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


class Choice(NamedTuple):
    """The tournament of one context and the law of its winner."""

    pairings: list[Pairing]
    law: np.ndarray  # [V]


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
        return self.solve(target, draft).law

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """Exact for one and two drafts, ``[*batch]``; None for more."""
        return None if self.scheme.num_drafts > 2 else self._of_contexts(target, draft, _accepted)

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> Choice:
        laws = np.broadcast_to(draft, (count, draft.shape[-1]))
        pairings: list[Pairing] = []
        law = laws[0]
        for draft_law in laws[1:]:
            pairings.append(pair_up(target, law, draft_law, self.top))
            law = pairings[-1].law
        return Choice(pairings, law)

    def _play(self, solution: Choice, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        odds = np.zeros(lists.shape)
        odds[:, 0] = 1.0
        for slot, pairing in enumerate(solution.pairings, start=1):
            taken = pairing.chance(lists[:, slot, None], lists[:, :slot])
            odds[:, slot] = (odds[:, :slot] * taken).sum(axis=1)
            odds[:, :slot] *= 1.0 - taken
        keep = odds * keep_probability(target[lists], solution.law[lists])
        out = (1.0 - keep.sum(axis=1, keepdims=True)) * excess_law(target, solution.law)
        rows = np.broadcast_to(np.arange(len(lists))[:, None], lists.shape)
        np.add.at(out, (rows, lists), keep)
        return positive_part(out)  # the rest may be -1 eps where everything is kept


def _accepted(choice: Choice, target: np.ndarray) -> float:
    """Acceptance of one or two drafts."""
    hits = sum(hit_of_the_other(pairing, target) for pairing in choice.pairings)
    return float(np.minimum(target, choice.law).sum()) + hits


def pair_up(target: np.ndarray, first: np.ndarray, second: np.ndarray, top: int) -> Pairing:
    """Best choice between ``x ~ first`` and ``y ~ second`` by the truncated programme.

    Parameters
    ----------
    target, first, second : [V]
    top : int

    Examples
    --------
    >>> law = np.array([0.5, 0.5])
    >>> pair_up(np.array([0.75, 0.25]), law, law, 2).law
    array([0.75, 0.25])
    """
    order = np.argsort(first * second - target, kind="stable")
    rank = np.empty(target.size, dtype=np.int64)
    rank[order] = np.arange(target.size)
    a, q = first[order], second[order]
    top = min(top, target.size)
    # the pair {i, j} of different tokens, and every pair with a token of lower rank
    mass = np.outer(a[:top], q[:top])
    mass = np.triu(mass + mass.T, 1)
    after_a, after_q = _after(a), _after(q)
    alone = a * q
    certain = alone[:top] + a[:top] * after_q[top - 1] + q[:top] * after_a[top - 1]
    weight = _weights(target[order[:top]], certain, mass)
    law = alone + a * after_q + q * after_a
    law[:top] = certain + ((mass + mass.T) * weight).sum(axis=1)
    unsorted = np.empty_like(law)
    unsorted[order] = law
    return Pairing(rank, weight, first, second, unsorted)


def _after(law: np.ndarray) -> np.ndarray:
    """Mass behind each entry, summed from the far end so that small tails keep their digits."""
    sums = np.zeros(law.size)
    sums[:-1] = np.cumsum(law[:0:-1])[::-1]
    return sums


def _weights(target: np.ndarray, certain: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """Weights ``[top top]`` that maximise ``sum min(target, L)``; the diagonal is unused.

    The variables are the masses ``mass_ij w_ij`` of the pairs and the overlaps ``min(target_i, L_i)``.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    top = target.size
    row, column = np.triu_indices(top, 1)
    pairs = row.size
    amount = mass[row, column]
    index = np.arange(pairs)
    # overlap_i - (what i wins) <= certain; a pair not won by its row is won by its column
    limit = certain + np.bincount(column, weights=amount, minlength=top)
    entries = np.concatenate([-np.ones(pairs), np.ones(pairs), np.ones(top)])
    place = np.concatenate([row, column, np.arange(top)]), np.concatenate([index, index, pairs + np.arange(top)])
    matrix = coo_array((entries, place), shape=(top, pairs + top)).tocsr()
    upper = np.concatenate([amount, target]) * SCALE
    objective = np.concatenate([np.zeros(pairs), -np.ones(top)])
    result = linprog(objective, A_ub=matrix, b_ub=limit * SCALE, bounds=np.stack([np.zeros_like(upper), upper], axis=1),
                     method="highs")
    if result.x is None:
        raise NotCertified(f"the programme for {top} tokens was not solved: {result.message} Fix: a smaller top.", 1.0)
    won = result.x[:pairs] / SCALE
    share = np.where(amount > 0, np.clip(won / np.where(amount > 0, amount, 1.0), 0.0, 1.0), 1.0)
    weight = np.zeros((top, top))
    weight[row, column] = share
    weight[column, row] = 1.0 - share
    return weight


def hit_of_the_other(pairing: Pairing, target: np.ndarray) -> float:
    """Probability that the chosen token is rejected and the residual draw is the other draft."""
    order = np.argsort(pairing.rank)
    p, a, q, law = (values[order] for values in (target, pairing.first, pairing.second, pairing.law))
    residual = excess_law(p, law)
    rejected = np.where(law > p, 1.0 - keep_probability(p, law), 0.0)
    top = len(pairing.weight)
    beaten_a, beaten_q = a * residual, q * residual
    rest_a, rest_q = _after(beaten_a), _after(beaten_q)
    rest_a[:top], rest_q[:top] = rest_a[top - 1], rest_q[top - 1]
    met = a * rest_q + q * rest_a
    met[:top] += a[:top] * (pairing.weight @ beaten_q[:top]) + q[:top] * (pairing.weight @ beaten_a[:top])
    return float((rejected * met).sum())
