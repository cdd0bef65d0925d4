"""The first lines of a report, at most twelve: what to use, how far it is from the best, and whether all was checked.

The same lines open the Markdown page, the HTML page and the terminal's answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.plots.acceptance import scheme_name
from otspec.reporting.advice import decoded_choices, plain_budgets
from otspec.reporting.bounds import best_with_bound
from otspec.reporting.page import LARGEST_Z, Verdict
from otspec.reporting.sequences import yes

MOST_LINES = 12
MOST_BUDGETS = 5  # the largest ones; the other lines are seven
FEW_RULES = ("recursive", "recursive_wor")  # recursive rejection, with and without replacement


@dataclass(frozen=True)
class Line:
    """A line: what it is about, in a word or two, and what it says."""

    about: str
    text: str

    def __str__(self) -> str:
        """Plain text."""
        return f"{self.about}: {self.text}"


def summary(trace: Trace, contexts: int, tables: Mapping[str, Table], verdict: Verdict, missing: Mapping[str, Any]
            ) -> list[Line]:
    """Return the lines.

    Parameters
    ----------
    trace : Trace
    contexts : int
        Of the trace, that were used.
    tables : mapping
    verdict : Verdict
    missing : mapping
        ``advice`` and ``decoding``: why there is none, or None.
    """
    lines = [_pair(trace, contexts, tables["acceptance"])]
    lines += _advice(tables["advice"]) or [Line("Drafts and rule", f"not planned: {missing['advice']}")]
    lines += _limits(tables)
    lines += _default(tables["advice"]) + _recursive(tables)
    return lines + _checks(tables, verdict, missing["decoding"])


def _pair(trace: Trace, contexts: int, acceptance: Table) -> Line:
    target, draft = (trace.provenance.get(name, "unnamed") for name in ("target", "draft"))
    overlap = next((row["optimum"] for row in acceptance.rows if row["k"] == 1), None)
    known = "" if overlap is None else f"; mean overlap of their laws {overlap:.3f}"
    return Line("Pair", f"{target}, drafted by {draft} ({trace.vocab_size:,} tokens, temperature "
                        f"{trace.provenance.get('temperature', 1.0):g}, {contexts} contexts){known}.")


def _advice(table: Table) -> list[Line]:
    """One line for every budget, and one on what they rest on."""
    if not len(table):
        return []
    chosen = {row["budget"]: row for row in table.rows if row["chosen"]}
    lines = []
    for budget in sorted(set(table.column("budget")))[-MOST_BUDGETS:]:
        about = f"Up to {budget} drafts"
        row = chosen.get(budget)
        if row is None:
            lines.append(Line(about, "plain sampling; nothing that was measured beats it."))
            continue
        measured = "" if row["measured"] is None else (f", decoded {row['measured']:.2f} ± "
                                                       f"{row['measured_stderr']:.2f}")
        lines.append(Line(about, f"{row['drafter']} + {row['rule']}: {row['tokens']:.2f} ± {row['stderr']:.2f} tokens "
                                 f"per target call{measured}; {row['speedup']:.2f} ± {row['speedup_stderr']:.2f} times "
                                 f"plain sampling."))
    calls = [row["calls"] for row in chosen.values() if row["calls"]]
    decoded = f"; decoded: {min(calls)} target calls or more" if calls else ""
    return [*lines, Line("That rests on", f"{table.rows[0]['contexts']} contexts that took no part in the choice"
                                          f"{decoded}. Costs: {table.metadata['costs']}.")]


def _limits(tables: Mapping[str, Table]) -> list[Line]:
    """How far rules are from what no rule can pass: of whole paths, else of one position."""
    best = best_with_bound(tables["sequences"])
    if best is None:
        return []
    return [Line("Limit of any verifier", f"{best['paths']} paths of {best['draft_length']}: {best['name']} emits "
                 f"{best['efficiency']:.2f} ± {best['stderr']:.2f}, no stateless rule more than {best['limit']:.2f}; "
                 f"at most {best['room_percent']:.1f} ± {best['room_stderr']:.1f} % is left to gain "
                 f"({best['bound_contexts']} contexts).")]


def _default(table: Table) -> list[Line]:
    """What a chain that is verified token by token loses against the choice of the largest budget."""
    if not len(table) or (budget := max(table.column("budget"))) in plain_budgets(table):
        return []
    here = table.where(budget=budget)
    best = here.where(chosen=True).rows[0]
    ratio, error = best["over_default"], best["over_default_stderr"]
    default = here.where(family="default").rows[0]
    chain = here.where(family="token_wise").rows[0]
    return [Line("The field's default", f"chain of {default['drafts']}, plain rejection (assisted generation): "
                 f"{default['tokens']:.2f} ± {default['stderr']:.2f}, {100 - 100 / ratio:.0f} ± "
                 f"{100 * error / ratio**2:.0f} % slower than the choice for {budget}; at its best length, "
                 f"{chain['drafts']}, {chain['speedup']:.2f} ± {chain['speedup_stderr']:.2f} times plain sampling.")]


def _recursive(tables: Mapping[str, Table]) -> list[Line]:
    """What recursive rejection loses on the same drafts: at one position, and on the largest paths."""
    parts = []
    for row in tables["acceptance"].rows:
        if row["rule"] in FEW_RULES and row["k"] == 4 and row["acceptance"] is not None:
            error = f" ± {row['stderr']:.3f}" if row["stderr"] else ""
            parts.append(f"{row['acceptance']:.3f}{error} of {row['optimum']:.3f} possible with 4 drafts "
                         f"{scheme_name(row['scheme'])}")
    known = [row for row in tables["sequences"].rows if row["efficiency"] is not None and row["paths"] > 1]
    most = max(known, key=lambda row: (row["target_tokens"], row["paths"]), default=None)
    if most is not None:
        same = [row for row in known if (row["paths"], row["draft_length"]) == (most["paths"], most["draft_length"])]
        walk = next((row for row in same if row["rule"] == "recursive_walk"), None)
        best = max(same, key=lambda row: row["efficiency"])
        if walk is not None:
            parts.append(f"{walk['paths']} paths of {walk['draft_length']}: {walk['efficiency']:.2f} ± "
                         f"{walk['stderr']:.2f}, where {best['rule']} emits {best['efficiency']:.2f} ± "
                         f"{best['stderr']:.2f}")
    return [Line("Recursive rejection", "; ".join(parts) + ".")] if parts else []


def _checks(tables: Mapping[str, Table], verdict: Verdict, no_decoding: str | None) -> list[Line]:
    acceptance = tables["acceptance"]
    compared = sum(row["contexts"] for row in acceptance.rows if row["violations"] is not None)
    broken = sum(row["violations"] for row in acceptance.rows if row["violations"] is not None)
    gap = max(0.0, *acceptance.column("certificate"))
    lines = [Line("Certified", f"{yes(verdict.certified)}, to {gap:.0e}; no rule above its optimum: "
                  f"{yes(verdict.dominated)}, {broken} violations in {compared:,} comparisons; checks of whole paths: "
                  f"{yes(verdict.sequences)}.")]
    if verdict.confirmed is None:
        return [*lines, Line("Confirmed", f"not decoded: {no_decoding}.")]
    rows = [*tables["decoding"].rows, *decoded_choices(tables["advice"])]
    return [*lines, Line("Confirmed", f"{yes(verdict.confirmed)}, {len(rows)} pairs of drafts and rule decoded, "
                         f"{sum(row['calls'] for row in rows):,} target calls, at most "
                         f"{max(abs(row['z']) for row in rows):.1f} normal scores from the prediction (limit "
                         f"{LARGEST_Z:.0f}).")]
