"""Exact analysis of a token rule: acceptance and output law, by closed form or by enumeration of the draft lists.

A rule is lossless iff ``sum over lists of Pr[list] * conditional(list) = target``; its acceptance is the mass that
the same sum puts on members of the list. Nothing else about the rule is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import SUM_TOLERANCE, check_no_grad, dtype_name
from otspec.core.errors import BadArgument, OtspecError, TooLarge
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers import verifier as make_verifier

Array = Any
MAX_ENTRIES = 2e8  # of the table lists x vocabulary: 1.6 GB of float64


def token_rule(verifier: str | TokenVerifier, scheme: DraftScheme | int) -> TokenVerifier:
    """Return the rule, bound to ``scheme``.

    Raises
    ------
    UnknownName, SchemeMismatch
        No such rule; not proved for the scheme.
    BadArgument
        A rule for blocks or trees, which needs more than the laws of one token.
    """
    rule = make_verifier(verifier, as_scheme(scheme))
    if not isinstance(rule, TokenVerifier):
        raise BadArgument(f"verifier: {verifier!r} verifies blocks or trees, and one token's laws were given. Fix: "
                          f"otspec.block_efficiency, or a rule of otspec.list_verifiers(scheme, kind='token').")
    return rule


def acceptance(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int) -> Array:
    """Exact probability that the token a rule emits is one of its drafts.

    Parameters
    ----------
    verifier : str or TokenVerifier
    target : [*batch V]
    draft : [*batch V]
        ``[*batch k V]`` for `Independent`; None for `Joint`.
    scheme : DraftScheme or int

    Returns
    -------
    [*batch]
        In the array library and dtype of ``target``.

    Raises
    ------
    TooLarge
        No closed form is known and the lists are too many; use `sampled_acceptance`.
    BadArgument
        What the rule returns is no law per list of drafts.

    Examples
    --------
    >>> float(acceptance("single_draft", [0.5, 0.5], [1.0, 0.0], 1))
    0.5
    """
    rule = token_rule(verifier, scheme)
    target, draft = checked_pair(target, draft, rule.scheme)
    known = rule.acceptance(target, draft)
    if known is None:
        known, _ = enumerated(rule, target, draft)
    return array_namespace(known).astype(known, target.dtype)


def enumerated(rule: TokenVerifier, target: Array, draft: Array) -> tuple[Array, Array]:
    """Acceptance ``[*batch]`` and distance of the output law from the target in L1 ``[*batch]``, over all lists."""
    both = _by_context(_enumerated, rule, target, draft, 2)
    return both[..., 0], both[..., 1]


def output_law(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int) -> Array:
    """Exact law of the emitted token, by enumeration; equals ``target`` when the rule is lossless.

    Parameters
    ----------
    verifier, target, draft, scheme
        As in `acceptance`.

    Returns
    -------
    [*batch V]
        In the array library and dtype of ``target``.

    Raises
    ------
    TooLarge
    BadArgument
        What the rule returns is no law per list of drafts.

    Examples
    --------
    >>> output_law("single_draft", [0.5, 0.5], [1.0, 0.0], 1)
    array([0.5, 0.5])
    """
    rule = token_rule(verifier, scheme)
    target, draft = checked_pair(target, draft, rule.scheme)
    return _by_context(_enumerated_law, rule, target, draft, target.shape[-1])


def kernel(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lists ``[n k]``, their law ``[n]`` and the rule's conditional laws ``[n V]`` for one context."""
    entries = rule.scheme.count_lists(draft) * target.shape[-1]
    if entries > MAX_ENTRIES:
        raise TooLarge(
            f"{rule} on {target.shape[-1]} tokens needs a table of {entries:.2g} entries, more than {MAX_ENTRIES:.0e}. "
            f"Fix: sampled_acceptance, or optimal_acceptance for the optimum.", entries)
    tokens, law = rule.scheme.lists(draft)
    return tokens, law, conditional_laws(rule, target, draft, tokens)


def conditional_laws(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Conditional laws ``[n V]`` of the lists ``[n k]`` of one context, checked: rules from outside return anything.

    Raises
    ------
    BadArgument
        The rule fails on a batch of lists, or returns something else than one law per list.
    """
    wanted = (len(tokens), target.shape[-1])
    fix = (f"Fix: for target and draft [n V] and tokens [n k], _conditional returns laws [n V], here {wanted}, "
           f"non-negative and each of sum one; otspec.testing.check_verifier finds what is wrong.")
    try:
        found = np.asarray(rule.conditional(target, draft, tokens))
    except OtspecError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise BadArgument(f"verifier: {rule} failed on {wanted[0]} lists of drafts at once with "
                          f"{type(error).__name__}: {error}. {fix}") from error
    if found.shape != wanted:
        raise BadArgument(f"verifier: {rule} returned shape {found.shape} for {wanted[0]} lists of drafts. {fix}")
    slack = SUM_TOLERANCE[dtype_name(target)]
    lowest = float(found.min(initial=0.0))
    sums = found.sum(axis=-1, dtype=np.float64)
    off = np.abs(sums - target.sum(dtype=np.float64))
    where = int(np.argmax(off))  # NaN counts as largest
    if not (lowest >= -slack and off[where] <= slack):
        raise BadArgument(f"verifier: {rule} returned what is no law: after drafts {tokens[where].tolist()} the sum is "
                          f"{sums[where]:.6g}, the smallest of all entries is {lowest:.3g}. {fix}")
    return found


def _enumerated(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray) -> tuple[float, float]:
    tokens, law, conditional = kernel(rule, target, draft)
    return float(law @ member_mass(conditional, tokens)), float(np.abs(law @ conditional - target).sum())


def _enumerated_law(rule: TokenVerifier, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
    _, law, conditional = kernel(rule, target, draft)
    return law @ conditional


def member_mass(conditional: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Mass ``[n]`` that laws ``[n V]`` put on the distinct members of lists ``[n k]``."""
    ordered = np.sort(tokens, axis=-1)
    ordered[:, 1:][ordered[:, 1:] == ordered[:, :-1]] = -1  # a copy counts once
    mass = np.take_along_axis(conditional, np.maximum(ordered, 0), axis=-1)
    return np.where(ordered >= 0, mass, 0.0).sum(axis=-1)


def contexts_of(target: Array, draft: Array) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Target and draft law of every context of a batch of `checked_pair`, in NumPy."""
    check_no_grad(target=target, draft=draft)
    target, draft = np.asarray(target), np.asarray(draft)
    tail = draft.shape[target.ndim - 1:]
    return zip(target.reshape(-1, target.shape[-1]), draft.reshape(-1, *tail), strict=True)


def _by_context(solve: Any, rule: TokenVerifier, target: Array, draft: Array, *size: int) -> Array:
    """Apply ``solve``, whose results are ``[*size]``, to each context of a batch in NumPy; ``[*batch *size]``."""
    xp = array_namespace(target)
    result = np.asarray([solve(rule, *laws) for laws in contexts_of(target, draft)], dtype=np.float64)
    result = result.reshape((*target.shape[:-1], *size))
    return xp.astype(xp.asarray(result), target.dtype)[()]
