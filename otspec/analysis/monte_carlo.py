"""Sampled acceptance, for rules and sizes that no closed form and no enumeration reaches.

Only the drafts are sampled: given them, the rule's own coins are integrated out by its conditional law
(Rao-Blackwell), which never increases the variance. Rules whose conditional law is exponential in the vocabulary
are drawn instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.exact import conditional_laws, contexts_of, member_mass, token_rule
from otspec.core.checks import check_positive, check_seed
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.estimate import Estimate
from otspec.core.schemes import DraftScheme
from otspec.core.verifier import TokenVerifier, checked_pair

Array = Any
CHUNK = 2**23  # entries of one table of conditional laws: 64 MB of float64


def sampled_acceptance(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int, *,
                       n: int, seed: int) -> Estimate:
    """Monte-Carlo estimate of the probability that the emitted token is one of the drafts.

    Parameters
    ----------
    verifier, target, draft, scheme
        As in `otspec.acceptance`; a batch of contexts is averaged.
    n : int
        Draft lists sampled per context, at least 2.
    seed : int

    Returns
    -------
    Estimate
        ``n`` counts all lists; the standard error is that of the mean over the given contexts.

    Examples
    --------
    >>> sampled_acceptance("single_draft", [0.5, 0.5], [0.5, 0.5], 1, n=10, seed=0).mean
    1.0
    """
    means, errors = sampled_by_context(verifier, target, draft, scheme, n=n, seed=seed)
    return Estimate.from_groups(means, errors, n)


class DraftLists:
    """Draft lists of one context after the other, drawn when first asked for.

    Parameters
    ----------
    n : int
        Lists of a context.
    seed : int
    kept : bool
        Keep them for other rules of the scheme; a single rule needs no memory for those that it has seen.

    Examples
    --------
    >>> lists = DraftLists(2, 0)
    >>> lists.of(0, ot.WithReplacement(1), np.array([0.0, 1.0])).tolist()
    [[1], [1]]
    """

    def __init__(self, n: int, seed: int, *, kept: bool = True) -> None:
        if check_positive("n", n) < 2:
            raise BadArgument(f"n: {n} draft list per context has no standard error. Fix: n=2 at least.")
        self.n, self._kept = n, kept
        self._rng = np.random.default_rng(check_seed(seed))
        self._drawn: list[np.ndarray] = []

    def of(self, place: int, scheme: DraftScheme, draft: np.ndarray) -> np.ndarray:
        """Lists ``[n k]`` of the context at a place, which comes after those that were asked for before."""
        if place < len(self._drawn):
            return self._drawn[place]
        step = max(1, CHUNK // draft.size)
        parts = [min(step, self.n - start) for start in range(0, self.n, step)]
        drawn = np.concatenate([scheme.sample(np.broadcast_to(draft, (count, *draft.shape)),
                                              self._rng.random((count, scheme.num_uniforms))) for count in parts])
        if self._kept:
            self._drawn.append(drawn)
        return drawn


def sampled_by_context(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int, *,
                       n: int, seed: int, lists: DraftLists | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of each context, ``[contexts]`` each; ``lists`` of the same contexts are used again."""
    lists = DraftLists(n, seed, kept=False) if lists is None else lists
    rule = token_rule(verifier, scheme)
    target, draft = checked_pair(target, draft, rule.scheme)
    coins = np.random.default_rng([check_seed(seed), 1])
    moments = [_one_context(rule, *laws, lists.of(place, rule.scheme, laws[1]), coins)
               for place, laws in enumerate(contexts_of(target, draft))]
    means, errors = np.array(moments).T
    return means, errors


def _one_context(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray, lists: np.ndarray,
                 coins: np.random.Generator) -> tuple[float, float]:
    step = max(1, CHUNK // target.size)
    hits = [_hits(rule, target, draft, lists[start : start + step], coins) for start in range(0, len(lists), step)]
    values = np.concatenate(hits)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(lists)))


def _hits(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray, lists: np.ndarray,
          coins: np.random.Generator) -> np.ndarray:
    try:
        return member_mass(conditional_laws(rule, target, draft, lists), lists)
    except TooLarge:
        verdict = rule.draw(target, draft, lists, coins.random((len(lists), rule.num_uniforms)))
        return (verdict.slot >= 0).astype(np.float64)
