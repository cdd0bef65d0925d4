"""Every rule of a scheme against the certified optimum of that scheme, context by context."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.analysis.exact import enumerated, token_rule
from otspec.analysis.monte_carlo import DraftLists, sampled_by_context
from otspec.core.checks import SUM_TOLERANCE, dtype_name
from otspec.core.errors import BadArgument, NotCertified, TooLarge
from otspec.core.open_registry import PluginWarning
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.table import Table
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.transport.bounds import acceptance_bound
from otspec.verifiers import REGISTRY, list_verifiers

Array = Any


@dataclass(frozen=True)
class ContextAcceptance:
    """Acceptance of one rule in each context.

    Attributes
    ----------
    rule : str
    method : str
        ``exact`` (closed form or enumeration), ``sampled``, ``too_large``, or ``not_solved`` where a rule's own solver
        gave up.
    values, stderr : [contexts]
        NaN where the method is ``too_large`` or ``not_solved``; stderr is zero where exact.
    deviation : float
        How far the rule's output law may be from the target in L1: what it declares or, where its lists were
        enumerated, what was found, whichever is larger; 0 for a lossless rule.
    """

    rule: str
    method: str
    values: np.ndarray
    stderr: np.ndarray
    deviation: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there are values."""
        return self.method in {"exact", "sampled"}


def acceptance_by_context(verifier: str | TokenVerifier, target: Array, draft: Array, scheme: DraftScheme | int, *,
                          n: int = 64, seed: int = 0, lists: DraftLists | None = None) -> ContextAcceptance:
    """Acceptance of one rule in each context: exact where possible, else from ``n`` sampled lists per context.

    Parameters
    ----------
    verifier : str or TokenVerifier
    target : [contexts V] or [V]
    draft : [contexts V] or [V]
    scheme : DraftScheme or int
    n, seed : int
        Used only where no exact route exists.
    lists : DraftLists, optional
        Those of the same contexts, drawn for another rule with the same numbers.

    Examples
    --------
    >>> acceptance_by_context("single_draft", [0.5, 0.5], [1.0, 0.0], 1).values
    array([0.5])
    """
    rule = token_rule(verifier, scheme)
    name = verifier if isinstance(verifier, str) else type(verifier).__name__
    target, draft = checked_pair(target, draft, rule.scheme)
    contexts = int(np.prod(target.shape[:-1]))
    deviation = float(getattr(rule, "max_deviation", 0.0))
    method = "too_large"
    try:
        known = rule.acceptance(target, draft)
        if known is None:
            known, off = enumerated(rule, target, draft)
            # both laws may miss one by the tolerance; less than that is no finding
            found = float(np.max(off, initial=0.0))
            deviation = max(deviation, found if found > 2 * SUM_TOLERANCE[dtype_name(target)] else 0.0)
        values = np.asarray(known, dtype=np.float64).reshape(-1)
        return ContextAcceptance(name, "exact", np.broadcast_to(values, (contexts,)), np.zeros(contexts), deviation)
    except TooLarge:
        pass
    except NotCertified:
        method = "not_solved"
    try:
        values, stderr = sampled_by_context(rule, target, draft, rule.scheme, n=n, seed=seed, lists=lists)
        return ContextAcceptance(name, "sampled", values, stderr, deviation)
    except (TooLarge, NotCertified):
        unknown = np.full(contexts, np.nan)
        return ContextAcceptance(name, method, unknown, unknown, deviation)


def compare(target: Array, draft: Array, scheme: DraftScheme | int,
            verifiers: str | Iterable[str | TokenVerifier] = "all", *, n: int = 64, seed: int = 0) -> Table:
    """Table of every rule that is proved for ``scheme``, with the certified optimum beside it.

    Parameters
    ----------
    target : [*batch V]
    draft : [*batch V]
    scheme : DraftScheme or int
    verifiers : "all", one name or object, or an iterable of them
    n, seed : int
        Lists per context and seed, for rules without an exact route.

    Returns
    -------
    Table
        One row per rule: mean ``acceptance`` over the batch with ``stderr``, ``optimum``, ``gap`` to it, ``share`` =
        (rule - single draft) / (optimum - single draft), ``method``, ``deviation`` of the output law that the rule
        admits or, if larger, that its enumerated lists have (0: lossless; a rule that deviates may pass the optimum by
        half of it), and ``certificate``, the largest distance between the two certified ends of the optimum. With
        "all", a registered rule that fails is left out with a warning that names it; a rule that was named raises.

    Examples
    --------
    >>> compare([1.0, 0.0], [0.5, 0.5], 2, ["k_seq"]).column("acceptance")
    [0.75]
    """
    scheme = as_scheme(scheme)
    names = list(list_verifiers(scheme, kind="token")) if verifiers == "all" else \
        [verifiers] if isinstance(verifiers, (str, TokenVerifier)) else _listed(verifiers)
    table = comparison(target, draft, scheme, names, n=n, seed=seed, skip=verifiers == "all")
    for row in table.rows:
        breaks_claim(row["rule"], row["deviation"], warn=True)
    return table


def comparison(target: Array, draft: Array, scheme: DraftScheme, names: list[Any], *, n: int, seed: int,
               skip: bool) -> Table:
    """Table of `compare`; with ``skip``, rules from outside that fail are left out with a warning."""
    if not skip:
        for name in names:
            token_rule(name, scheme)  # a rule that cannot be compared is refused before any work
    target, draft = checked_pair(target, draft, scheme)
    if 0 in target.shape:
        raise BadArgument(f"target: shape {tuple(target.shape)} holds no context. Fix: give at least one law.")
    bound = acceptance_bound(target, draft, scheme)
    optimum = float(np.mean(np.asarray(bound.upper)))
    single = _single_draft(target, draft, scheme)
    lists = DraftLists(n, seed)
    rows = []
    for name in names:
        ask = listed_acceptance if skip else acceptance_by_context
        result = ask(name, target, draft, scheme, n=n, seed=seed, lists=lists)
        if result is not None:
            rows.append(_row(result, scheme, optimum, single, float(np.max(np.asarray(bound.gap)))))
    return Table(rows)


def listed_acceptance(name: str, target: Array, draft: Array, scheme: DraftScheme, *, n: int, seed: int,
                      lists: DraftLists) -> ContextAcceptance | None:
    """`acceptance_by_context` of a rule that nobody named: None, with a warning, where one from outside fails."""
    try:
        return acceptance_by_context(name, target, draft, scheme, n=n, seed=seed, lists=lists)
    except Exception as error:  # whatever a stranger's code does, the rules of the package stay
        if not REGISTRY.from_outside(name):
            raise
        warnings.warn(f"{name}: left out, it failed with {type(error).__name__}: {error} To leave it out of all "
                      f"tables: otspec.unregister({name!r}).", PluginWarning, stacklevel=4)
        return None


def breaks_claim(name: str, deviation: float, *, warn: bool = False) -> bool:
    """Whether a registered rule that claims to be lossless was found not to be; ``warn`` says so to the user."""
    broken = deviation > 0 and name in list_verifiers() and "lossless" in list_verifiers()[name].claims
    if broken and warn:
        warnings.warn(f"{name}: claims to be lossless, but its exact output law is off by {deviation:.3g} in L1, so "
                      f"its acceptance is no record. Fix: repair it, or register it without the claim.", PluginWarning,
                      stacklevel=4)
    return broken


def above_optimum(acceptance: Array, optimum: Array, slack: Array, deviation: float = 0.0) -> Array:
    """Whether an acceptance refutes the optimum: a rule whose output law is off in L1 may pass it by half of that."""
    return acceptance - optimum > deviation / 2 + slack


def _listed(verifiers: Any) -> list[Any]:
    if not isinstance(verifiers, Iterable):
        raise BadArgument(f"verifiers: {verifiers!r} is neither a rule nor a list of them. Fix: 'all', or names.")
    return list(verifiers)


def _single_draft(target: Array, draft: Array, scheme: DraftScheme) -> float:
    """Mean ``1 - TV`` with the first drafter: what one draft alone would give."""
    target, draft = np.asarray(target), np.asarray(draft)
    first = draft[..., 0, :] if scheme.draft_axes else draft
    return float(np.minimum(target, first).sum(axis=-1).mean())


def _row(result: ContextAcceptance, scheme: DraftScheme, optimum: float, single: float,
         certificate: float) -> dict[str, Any]:
    mean = float(result.values.mean()) if result.known else None
    stderr = float(np.sqrt((result.stderr**2).sum()) / result.stderr.size) if result.known else None
    room = optimum - single
    return {
        "scheme": type(scheme).__name__,
        "k": scheme.num_drafts,
        "rule": result.rule,
        "acceptance": mean,
        "stderr": stderr,
        "optimum": optimum,
        "gap": None if mean is None else optimum - mean,
        "share": None if mean is None or room <= 1e-12 else (mean - single) / room,
        "method": result.method,
        "deviation": result.deviation,
        "certificate": certificate,
    }
