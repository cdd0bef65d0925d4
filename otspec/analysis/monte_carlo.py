"""Sampled acceptance, for rules and sizes that no closed form and no enumeration reaches.

Only the drafts are sampled: given them, the rule's own coins are integrated out by its conditional law
(Rao-Blackwell), which never increases the variance. Rules whose conditional law is exponential in the vocabulary
are drawn instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.analysis.exact import contexts_of, member_mass, token_rule
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


def sampled_by_context(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int, *,
                       n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of each context, ``[contexts]`` each."""
    if check_positive("n", n) < 2:
        raise BadArgument(f"n: {n} draft list per context has no standard error. Fix: n=2 at least.")
    rule = token_rule(verifier, scheme)
    target, draft = checked_pair(target, draft, rule.scheme)
    rng = np.random.default_rng(check_seed(seed))
    moments = [_one_context(rule, *laws, n, rng) for laws in contexts_of(rule, target, draft)]
    means, errors = np.array(moments).T
    return means, errors


def _one_context(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray, n: int,
                 rng: np.random.Generator) -> tuple[float, float]:
    step = max(1, CHUNK // target.size)
    hits = [_hits(rule, target, draft, min(step, n - start), rng) for start in range(0, n, step)]
    values = np.concatenate(hits)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n))


def _hits(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    lists = rule.scheme.sample(np.broadcast_to(draft, (n, *draft.shape)), rng.random((n, rule.scheme.num_uniforms)))
    try:
        return member_mass(rule.conditional(target, draft, lists), lists)
    except TooLarge:
        verdict = rule.draw(target, draft, lists, rng.random((n, rule.num_uniforms)))
        return (verdict.slot >= 0).astype(np.float64)
