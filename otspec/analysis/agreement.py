"""How often two parties agree: exact values, bounds, bits exchanged, and sampling.

Chain of inequalities, for every pair of laws [coupling]:
``(1 - TV) / (1 + TV)`` (MinHash, same dart) <= MinHash, same token <= Gumbel <= ``1 - TV``. Where the drafter sends a
list, to agree means that the target's token is in it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import as_laws, check_positive
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.core.host import to_host
from otspec.core.joint_coupling import JointCoupling
from otspec.core.laws import total_variation
from otspec.core.noise import Noise
from otspec.couplings import coupling as coupling_of
from otspec.couplings.minhash import MinHash

Array = Any
SAME_DART = "minhash_dart"
# noise entries per chunk of sampled_agreement: 32 MB of float64
CHUNK = 2**22


def agreement(coupling: str | Coupling, target: Array, draft: Array, *, k: int | None = None) -> Array:
    """Exact probability that both parties select the same token, or that the target's is in the drafter's list.

    Parameters
    ----------
    coupling : str or Coupling
        A name of `list_couplings`; ``"minhash_dart"`` asks for the same *dart* of MinHash, which is rarer.
    target, draft : [*batch V]
    k : int, optional
        Length of the list; by default that of the coupling, 1 for all but ``"list_gumbel"``.

    Returns
    -------
    [*batch] float64

    Raises
    ------
    BadArgument
        A coupling without an exact form, or without lists.

    Examples
    --------
    >>> round(float(agreement("gumbel", [1.0, 0.0], [0.5, 0.5])), 12)
    0.5
    >>> round(float(agreement("gumbel", [1.0, 0.0], [0.5, 0.5], k=2)), 12)
    1.0
    """
    if coupling == SAME_DART:
        return agreement_bounds(target, draft)[0]
    rule = coupling_of(coupling)
    value = rule.agreement(target, draft) if k is None else rule.list_agreement(target, draft, k)
    if value is None:
        raise BadArgument(f"coupling: {coupling!r} has no exact agreement. Fix: use sampled_agreement.")
    return value


def bits(coupling: str | Coupling, target: Array, draft: Array) -> Array:
    """Expected number of bits that the parties exchange, ``[*batch]``; 0 without communication.

    Parameters
    ----------
    coupling : str or Coupling
    target, draft : [*batch V]

    Raises
    ------
    BadArgument
        A coupling by one party who knows both laws: what it takes to tell that party a law is not defined.

    Examples
    --------
    >>> float(bits("gumbel", [1.0, 0.0], [0.5, 0.5])), float(bits("communicated", [1.0, 0.0], [0.5, 0.5]))
    (0.0, 21.0)
    """
    value = coupling_of(coupling).bits(target, draft)
    if value is None:
        raise BadArgument(f"coupling: {coupling!r} is made by one party who knows both laws; no message is defined. "
                          f"Fix: 'communicated', or a coupling of otspec.list_couplings(kind='coupling').")
    return value


def agreement_bounds(target: Array, draft: Array) -> tuple[Array, Array]:
    """What a coupling can promise without communication, and what it can never exceed. [coupling].

    Parameters
    ----------
    target, draft : [*batch V]

    Returns
    -------
    lower, upper : [*batch]
        ``(1 - TV) / (1 + TV)`` and ``1 - TV``.

    Examples
    --------
    >>> tuple(round(float(bound), 6) for bound in agreement_bounds([1.0, 0.0], [0.5, 0.5]))
    (0.333333, 0.5)
    """
    xp, target, draft = as_laws(target=target, draft=draft)
    distance = total_variation(xp.astype(target, xp.float64), xp.astype(draft, xp.float64))
    return (1 - distance) / (1 + distance), 1 - distance


def sampled_agreement(coupling: str | Coupling, target: Array, draft: Array, *, k: int | None = None, n: int,
                      seed: int) -> Estimate:
    """Share of ``n`` positions at which both parties select the same token (or take the same dart).

    Parameters
    ----------
    coupling : str or Coupling
        As in `agreement`.
    target, draft : [V]
    k : int, optional
        As in `agreement`.
    n : int
        Number of positions, 0 to ``n - 1`` of the noise ``seed``.
    seed : int

    Returns
    -------
    Estimate
    """
    xp, target, draft = as_laws(target=target, draft=draft)
    if target.ndim != 1:
        raise ShapeMismatch(f"target: shape {tuple(target.shape)} is a batch. Fix: pass one pair of laws at a time.")
    step = max(1, CHUNK // target.shape[-1])
    same = []
    for start in range(0, check_positive("n", n), step):
        noise = Noise(seed, xp.arange(start, min(start + step, n), dtype=xp.int64, device=target.device))
        same.append(to_host(_agree(coupling, target, draft, k, noise), np.float64))
    return Estimate.from_samples(np.concatenate(same))


def _agree(coupling: str | Coupling, target: Array, draft: Array, k: int | None, noise: Noise) -> Array:
    """Whether the parties agree, for every entry of the noise."""
    if coupling == SAME_DART:
        return MinHash().first_dart(target, noise) == MinHash().first_dart(draft, noise)
    rule = coupling_of(coupling)
    count = rule.check_drafts(rule.num_drafts if k is None else k)
    if isinstance(rule, JointCoupling):
        both = rule.couple(target, draft, noise)
        return both.target == both.draft
    if count == 1 and rule.num_drafts == 1:
        return rule.select(target, noise) == rule.select(draft, noise)
    xp = array_namespace(target)
    return xp.any(rule.select_list(draft, noise, count) == rule.select(target, noise)[..., None], axis=-1)
