"""Sections of a report that need only recorded laws: acceptance against the optimum, and agreement of couplings.

Contexts are read in chunks, so that a trace with a full vocabulary fits. Each context is one check of the theory: the
certified optimum of a scheme is at least the acceptance of every rule for that scheme.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from otspec.analysis.agreement import SAME_DART, agreement, agreement_bounds
from otspec.analysis.compare import ContextAcceptance, above_optimum, breaks_claim, listed_acceptance
from otspec.analysis.monte_carlo import DraftLists
from otspec.core.checks import seed_after
from otspec.core.estimate import Estimate, critical
from otspec.core.schemes import DraftScheme
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.couplings import coupling, list_couplings
from otspec.reporting.parallel import in_threads
from otspec.transport.bounds import acceptance_bound
from otspec.verifiers import list_verifiers, verifier

CHUNK = 2**17  # entries of one array of laws: 1 MB of float64, which stays in a core's cache
# of an acceptance; the last one that occurs in a chunk of contexts holds for all
METHODS = ("exact", "sampled", "too_large", "too_slow", "not_solved")
# lists of one context beyond which a rule that lists them is left out: a linear programme of that size takes 0.1 s
MAX_LISTS = 500
# rules that take 0.1 s a context beyond this vocabulary, where hundreds of contexts would take longer than all the rest
SLOW_RULES, SLOW_VOCABULARY = frozenset({"importance"}), 512
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
Tick = Callable[[float], Any]


def tolerance(vocabulary: int) -> float:
    """Largest gap that still counts as certified: a sum of V float64 terms, and 1e-9 for solvers."""
    return max(1e-9, 64 * float(np.finfo(np.float64).eps) * vocabulary)


def evenly(total: int, wanted: int | None) -> np.ndarray:
    """Return ``wanted`` of ``total`` indices, evenly spaced; all of them for None."""
    count = total if wanted is None else min(wanted, total)
    return np.linspace(0, total - 1, count).round().astype(np.int64)


def _chunks(contexts: np.ndarray, vocabulary: int) -> list[np.ndarray]:
    return np.array_split(contexts, max(1, -(-contexts.size * vocabulary // CHUNK)))


def scheme_result(trace: Trace, scheme: DraftScheme, contexts: np.ndarray, lists: int, seed: int,
                  tick: Tick) -> dict[str, Any]:
    """Optimum of a scheme and acceptance of its rules in each context.

    Returns
    -------
    dict
        ``scheme``, ``k``, lists ``lower``, ``upper``, ``single`` over contexts, and ``rules``: name to ``method``,
        ``deviation`` and lists ``values`` and ``stderr`` (None where too large or not solved). JSON values.
    """
    chunks = _chunks(contexts, trace.vocab_size)
    parts = []
    for part in in_threads(lambda chunk: _chunk_result(trace, scheme, chunk, lists, seed), chunks):
        parts.append(part)
        tick(1 / len(chunks))
    ends = {name: [x for part in parts for x in part[name]] for name in ("lower", "upper", "single")}
    rules = {}
    for name in parts[0]["rules"]:
        if not all(name in part["rules"] for part in parts):
            continue  # failed on some contexts, with a warning
        found = [part["rules"][name] for part in parts]
        methods = [method for method in METHODS if any(one.method == method for one in found)]
        whole = methods[-1] in ("exact", "sampled")
        rules[name] = {"method": methods[-1],
                       "values": np.concatenate([one.values for one in found]).tolist() if whole else None,
                       "stderr": np.concatenate([one.stderr for one in found]).tolist() if whole else None,
                       "deviation": max(one.deviation for one in found)}
    return {"scheme": type(scheme).__name__, "k": scheme.num_drafts, "vocabulary": trace.vocab_size, "lists": lists,
            **ends, "rules": rules}


def _chunk_result(trace: Trace, scheme: DraftScheme, chunk: np.ndarray, lists: int, seed: int) -> dict[str, Any]:
    target, draft = trace.laws(chunk)
    bound = acceptance_bound(target, draft, scheme)
    rules = {}
    unknown = np.full(chunk.size, np.nan)
    seed = seed_after(seed, int(chunk[0]))
    drawn = DraftLists(lists, seed)  # one sample of drafts for all rules that need one
    for name in list_verifiers(scheme, kind="token"):
        if left_out := _left_out(name, scheme, draft):
            rules[name] = ContextAcceptance(name, left_out, unknown, unknown)
            continue
        found = listed_acceptance(name, target, draft, scheme, n=lists, seed=seed, lists=drawn)
        if found is not None:
            rules[name] = found
    return {"lower": bound.lower.tolist(), "upper": bound.upper.tolist(),
            "single": np.minimum(target, draft).sum(axis=-1).tolist(), "rules": rules}


def _left_out(name: str, scheme: DraftScheme, draft: np.ndarray) -> str | None:
    """Why a rule is not worth its work here, as a method of the table; None where it is."""
    if name in SLOW_RULES and draft.shape[-1] > SLOW_VOCABULARY:
        return "too_slow"
    if "small_vocabulary" not in list_verifiers()[name].claims:
        return None
    if max(scheme.count_lists(row) for row in draft) <= MAX_LISTS:
        return None
    return "too_large" if verifier(name, scheme).acceptance(draft[:1], draft[:1]) is None else None


def acceptance_table(results: Iterable[dict[str, Any]]) -> Table:
    """One row per scheme and rule: means over contexts, certificate, and the check of every context."""
    return Table([_acceptance_row(result, rule) for result in results for rule in result["rules"]])


def _acceptance_row(result: dict[str, Any], rule: str) -> dict[str, Any]:
    found = result["rules"][rule]
    lower, upper, single = (np.asarray(result[name]) for name in ("lower", "upper", "single"))
    limit = tolerance(result["vocabulary"])
    certificate = float((upper - lower).max())
    mean = stderr = share = violations = above = None
    lossless = "lossless" in list_verifiers()[rule].claims \
        and not breaks_claim(rule, found.get("deviation", 0.0), warn=True)
    if found["values"] is not None:
        values, errors = np.asarray(found["values"]), np.asarray(found["stderr"])
        whole = Estimate.from_groups(values, errors, result["lists"])
        mean, stderr = whole.mean, whole.stderr
        room = float(upper.mean() - single.mean())
        share = (mean - float(single.mean())) / room if room > limit else None
        # the optimum bounds rules that keep the target law; one that does not may exceed it
        violations = None if not lossless else \
            int(above_optimum(values, upper, allowance(found, result["lists"]) + limit).sum())
        above = above_optimum(mean, float(upper.mean()), whole.margin(5) + limit)
    return {"scheme": result["scheme"], "k": result["k"], "rule": rule, "acceptance": mean, "stderr": stderr,
            "optimum": float(upper.mean()), "gap": None if mean is None else float(upper.mean()) - mean,
            "share": share, "method": found["method"], "lossless": lossless, "certificate": certificate,
            "certified": certificate <= limit, "contexts": upper.size, "violations": violations,
            "dominated": None if violations is None else violations == 0 and not above}


def allowance(found: dict[str, Any], lists: int) -> np.ndarray:
    """How far a sampled acceptance may lie above the optimum: 5 standard errors of its context, 0 if exact.

    They are widened as Student's t with ``lists - 1`` degrees of freedom asks for. A sample without spread has standard
    error 0 but is not exact, so the error counts as at least ``1 / lists``. The mean over contexts, which must lie
    below the optimum within 5 of its own standard errors, is the sharper check.
    """
    errors = np.asarray(found["stderr"])
    if found["method"] != "sampled":
        return np.zeros_like(errors)
    return critical(5, lists - 1) * np.maximum(errors, 1 / lists)


def gap_table(results: Iterable[dict[str, Any]], schemes: Iterable[tuple[str, int]]) -> Table:
    """Tidy distances to the optimum, one row per context and rule, for some ``(scheme, k)``."""
    wanted = set(schemes)
    rows = []
    for result in results:
        if (result["scheme"], result["k"]) not in wanted:
            continue
        for rule, found in result["rules"].items():
            rows += [{"scheme": result["scheme"], "k": result["k"], "rule": rule, "method": found["method"],
                      "context": i, "optimum": top, "acceptance": value, "gap": top - value}
                     for i, (top, value) in enumerate(zip(result["upper"], found["values"] or (), strict=False))]
    return Table(rows)


def quantile_table(gaps: Table) -> Table:
    """Mean and quantiles of the distances of `gap_table`, one row per scheme and rule."""
    groups: dict[tuple[Any, ...], list[float]] = {}
    for row in gaps.rows:
        groups.setdefault((row["scheme"], row["k"], row["rule"], row["method"]), []).append(row["gap"])
    rows = []
    for (scheme, k, rule, method), values in groups.items():
        cuts = {f"q{round(100 * q):02d}": float(cut) for q, cut in
                zip(QUANTILES, np.quantile(values, QUANTILES), strict=True)}
        rows.append({"scheme": scheme, "k": k, "rule": rule, "method": method, "contexts": len(values),
                     "mean": float(np.mean(values)), **cuts, "max": float(np.max(values))})
    return Table(rows)


def agreement_rows(trace: Trace, contexts: np.ndarray, tick: Tick) -> list[dict[str, Any]]:
    """Total variation, both bounds and the exact agreement of couplings without communication, per context."""
    alone = {name: coupling(name) for name in list_couplings("coupling") if coupling(name).num_drafts == 1}
    rows = []
    chunks = _chunks(contexts, trace.vocab_size)
    for chunk in chunks:
        target, draft = trace.laws(chunk)
        promised, most = agreement_bounds(target, draft)
        for name in (*alone, SAME_DART):
            lower, upper = (promised, most) if name == SAME_DART else alone[name].bounds(target, draft)
            values = agreement(name, target, draft)
            rows += [{"coupling": name, "context": int(context), "tv": float(1 - top), "agreement": float(value),
                      "lower": float(low), "upper": float(top)}
                     for context, value, low, top in zip(chunk, values, lower, upper, strict=True)]
        tick(1 / len(chunks))
    return rows


def agreement_summary(table: Table) -> Table:
    """Means over contexts, and the number of contexts outside the bounds (``1e-9``: sums of rounded float64 terms)."""
    rows = []
    for name in dict.fromkeys(table.column("coupling")):
        part = table.where(coupling=name).rows
        outside = sum(not row["lower"] - 1e-9 <= row["agreement"] <= row["upper"] + 1e-9 for row in part)
        rows.append({"coupling": name, "contexts": len(part), "outside": outside,
                     **{key: float(np.mean([row[key] for row in part]))
                        for key in ("agreement", "lower", "upper", "tv")}})
    return Table(rows)
