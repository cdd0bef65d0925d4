"""All couplings side by side on the same laws: what they agree on, between which bounds, and what they exchange."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from otspec.analysis.agreement import sampled_agreement
from otspec.core.checks import check_positive
from otspec.core.coupling import Coupling, exact_pair
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.estimate import Estimate
from otspec.core.schemes import WithoutReplacement
from otspec.core.table import Table
from otspec.couplings import coupling, list_couplings
from otspec.transport.bounds import optimal_acceptance

Array = Any
ROUNDING = 1e-9  # of a sum over the vocabulary


def compare_couplings(target: Array, draft: Array, couplings: str | Iterable[str | Coupling] = "all", *,
                      num_drafts: int = 4, epsilon: float = 0.01, n: int = 20_000, seed: int = 0) -> Table:
    """Agreement of couplings on one pair of laws, or the mean over a batch of pairs.

    Parameters
    ----------
    target, draft : [V] or [contexts V]
    couplings : "all" or names, optional
    num_drafts : int
        Length of the lists of the couplings that have some; these are rows beside those of one draft.
    epsilon : float
        Loss of the communicated protocol.
    n : int
        Samples in all, where an agreement has no exact form or one that is too large.
    seed : int

    Returns
    -------
    Table
        Columns ``coupling``, ``drafts``, ``agreement``, ``stderr`` (0 where exact), ``lower`` and ``upper`` (promised,
        and the most that any coupling of its kind can have), ``bits`` exchanged (None: both laws must be known),
        ``method``, ``contexts``, and ``outside``, the number of contexts whose exact agreement is not between its
        bounds.

    Raises
    ------
    NotALaw, ShapeMismatch, UnknownName, BadArgument

    Examples
    --------
    >>> compare_couplings([1.0, 0.0], [0.5, 0.5], ["gumbel", "maximal"], num_drafts=1).column("agreement")
    [0.5, 0.5]
    """
    target, draft = (np.atleast_2d(np.asarray(law)) for law in exact_pair(target, draft))
    if target.ndim != 2:
        raise BadArgument(f"target: shape {target.shape} is more than one batch. Fix: reshape to [contexts V].")
    check_positive("num_drafts", num_drafts), check_positive("n", n)
    names = list(list_couplings()) if isinstance(couplings, str) and couplings == "all" else \
        [couplings] if isinstance(couplings, (str, Coupling)) else list(couplings)
    rows = []
    for name in names:
        rule = _made(name, num_drafts, epsilon)
        lengths = {1, num_drafts} if rule.list_scheme is WithoutReplacement else {rule.num_drafts}
        for k in sorted(lengths):
            rows.append({"coupling": name if isinstance(name, str) else repr(name), "drafts": k,
                         **_row(rule, target, draft, k, n, seed)})
    return Table(rows)


def _made(name: str | Coupling, num_drafts: int, epsilon: float) -> Coupling:
    """A coupling with those of the parameters that it has."""
    if name == "list_gumbel":
        return coupling(name, num_drafts=num_drafts)
    return coupling(name, epsilon=epsilon) if name == "communicated" else coupling(name)


def _row(rule: Coupling, target: np.ndarray, draft: np.ndarray, k: int, n: int, seed: int) -> dict[str, Any]:
    if k == rule.num_drafts:
        lower, upper = rule.bounds(target, draft)
    else:  # a race read further: one draft more never makes it worse
        lower, upper = rule.bounds(target, draft)[0], optimal_acceptance(target, draft, WithoutReplacement(k))
    bits = rule.bits(target, draft)
    values = _exact(rule, target, draft, k)
    if values is None:
        found, outside = _sampled(rule, target, draft, k, max(2, n // len(target)), seed), 0
    else:
        found = Estimate(float(values.mean()))
        outside = int(((values < lower - ROUNDING) | (values > upper + ROUNDING)).sum())
    return {"agreement": found.mean, "stderr": found.stderr, "lower": float(np.mean(lower)),
            "upper": float(np.mean(upper)), "bits": None if bits is None else float(np.mean(bits)),
            "method": "exact" if found.n is None else "sampled", "contexts": len(target), "outside": outside}


def _exact(rule: Coupling, target: np.ndarray, draft: np.ndarray, k: int) -> np.ndarray | None:
    try:
        value = rule.agreement(target, draft) if k == rule.num_drafts else rule.list_agreement(target, draft, k)
    except TooLarge:
        return None
    return None if value is None else np.asarray(value)


def _sampled(rule: Coupling, target: np.ndarray, draft: np.ndarray, k: int, each: int, seed: int) -> Estimate:
    """Mean over contexts, each sampled with a noise of its own."""
    parts = [sampled_agreement(rule, *pair, k=k, n=each, seed=seed + place)
             for place, pair in enumerate(zip(target, draft, strict=True))]
    return Estimate.from_groups([part.mean for part in parts], [part.stderr for part in parts], each)
