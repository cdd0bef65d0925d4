"""The sections of a report: what each one says, its figure, its table, and which rows are shown first.

A page shows the rows that matter; the whole table is the CSV beside it, and in the HTML page under the short one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from otspec.core.estimate import critical
from otspec.core.table import Table
from otspec.plots.acceptance import scheme_name
from otspec.reporting import profiles
from otspec.reporting.couplings import couplings_sentence
from otspec.reporting.page import LARGEST_Z
from otspec.reporting.sequences import pair_sentence, toys_sentence

SHOWN = 12  # rows of a section, at most
Row = dict[str, Any]


@dataclass(frozen=True)
class Section:
    """One section.

    Attributes
    ----------
    heading, sentence : str
    table : str
        Name of the table and of its CSV file.
    columns : tuple of str
        Those of a page; the CSV has all.
    picture : str or None
        Name of the figure.
    first : callable
        Rows are shown in this order of a row's key.
    order : str
        The same in words.
    """

    heading: str
    sentence: str
    table: str
    columns: tuple[str, ...]
    picture: str | None = None
    first: Callable[[Row], Any] = lambda row: 0
    order: str = "the first ones"

    def rows(self, tables: Mapping[str, Table]) -> Table:
        """Every row of a page: what was left out of a comparison is told among the checks, and is in the CSV."""
        known = [row for row in tables[self.table].rows if row.get("acceptance", 0) is not None]
        return Table([{column: row[column] for column in self.columns} for row in known])

    def shown(self, tables: Mapping[str, Table]) -> Table:
        """The rows that a page shows first."""
        known = [row for row in tables[self.table].rows if row.get("acceptance", 0) is not None]
        kept = sorted(known, key=self.first)[:SHOWN]
        return Table([{column: row[column] for column in self.columns} for row in kept])


def sections(tables: Mapping[str, Table]) -> list[Section]:
    """Sections of a report that have rows, in their order on a page."""
    offered: list[Callable[[Table], Section]] = [_advice, _acceptance, _gaps, _decoding, _efficiency, _profile, _toys,
                                                 _sequences, _agreement, _couplings]
    names = ("advice", "acceptance", "gap_quantiles", "decoding", "efficiency", "profile", "toys", "sequences",
             "agreement_summary", "couplings")
    return [make(tables[name]) for make, name in zip(offered, names, strict=True) if len(tables[name])]


def _advice(table: Table) -> Section:
    return Section("Drafts and rule for a budget", advice_sentence(table), "advice",
                   ("budget", "method", "drafts", "steps", "tokens", "stderr", "speedup", "speedup_stderr",
                    "over_default", "chosen", "measured", "measured_stderr", "contexts"),
                   first=lambda row: (not row["chosen"], row["family"] != "default", row["family"] != "sequoia",
                                      row["budget"], -row["speedup"]),
                   order="choices first, then what engines do")


def _acceptance(table: Table) -> Section:
    return Section("Acceptance of every rule", acceptance_sentence(table), "acceptance",
                   ("scheme", "k", "rule", "acceptance", "stderr", "optimum", "share", "method", "certificate",
                    "dominated"), "acceptance_vs_k",
                   lambda row: (row["k"] != 4, abs(row["k"] - 4), row["rule"] != "optimal"), "four drafts first")


def _gaps(table: Table) -> Section:
    return Section("Distance to the optimum over contexts", gap_sentence(table), "gap_quantiles",
                   ("scheme", "k", "rule", "method", "mean", "q05", "q50", "q95", "max"), "gap_by_context",
                   lambda row: row["mean"], "smallest mean first")


def _decoding(table: Table) -> Section:
    return Section("Confirmed by decoding", decoding_sentence(table), "decoding",
                   ("drafter", "rule", "calls", "measured", "stderr", "predicted", "difference", "difference_stderr",
                    "z"), "predicted_vs_measured", lambda row: -abs(row["z"]), "largest score first")


def _efficiency(table: Table) -> Section:
    return Section("Block, token-wise and drafter-invariant", efficiency_sentence(table), "efficiency",
                   ("rule", "draft_length", "tokens_per_call", "stderr", "blocks"), None,
                   lambda row: -row["draft_length"], "longest drafts first")


def _profile(table: Table) -> Section:
    return Section("Acceptance by position", profiles.profile_sentence(table), "profile", profiles.COLUMNS, None,
                   lambda row: row["position"], "first positions first")


def _toys(table: Table) -> Section:
    return Section("Blocks, paths and trees on small models", toys_sentence(table), "toy_summary",
                   ("vocabulary", "paths", "draft_length", "rule", "efficiency", "optimum", "one_call",
                    "mean_gap_percent", "largest_gap_percent", "below_traversal", "below_token_wise", "below_chain",
                    "toys"), "gap_on_toys", lambda row: (-row["paths"], row["mean_gap_percent"]),
                   "most paths first, smallest mean distance first")


def _sequences(table: Table) -> Section:
    return Section("Blocks, paths and trees on the pair", pair_sentence(table), "sequences",
                   ("target_tokens", "paths", "draft_length", "rule", "efficiency", "stderr", "difference",
                    "difference_stderr", "limit", "limit_stderr", "bound_contexts", "method"), "rules_on_paths",
                   lambda row: (-row["target_tokens"], -row["paths"], -(row["efficiency"] or 0.0)),
                   "most drafts first, best rule first")


def _agreement(table: Table) -> Section:
    return Section("Couplings without communication", agreement_sentence(table), "agreement_summary",
                   ("coupling", "agreement", "lower", "upper", "tv", "contexts", "outside"), "agreement_vs_tv")


def _couplings(table: Table) -> Section:
    return Section("Couplings with lists, with messages and with both laws", couplings_sentence(table), "couplings",
                   ("coupling", "drafts", "agreement", "stderr", "lower", "upper", "bits", "method", "outside"))


def advice_sentence(table: Table) -> str:
    """What was planned, on what, and what it rests on."""
    measured = [row for row in table.rows if row["measured"] is not None]
    decoded = (f" What was chosen was decoded, {min(row['calls'] for row in measured)} target calls or more each."
               if measured else "")
    return (f"What to see: within each budget the choice is the fastest on contexts of its own; what is shown of it "
            f"are means over {table.rows[0]['contexts']} others. Costs: {table.metadata['costs']}. `over_default` is "
            f"the ratio of the speed-up to that of a chain of five verified token by token, contexts paired."
            f"{decoded}")


def acceptance_sentence(table: Table) -> str:
    """Best rule of the literature against the optimum, for the largest common k."""
    parts = []
    for scheme in ("WithReplacement", "WithoutReplacement"):
        rows = [row for row in table.where(scheme=scheme).rows if row["k"] <= 4 and row["rule"] != "optimal"
                and row["acceptance"] is not None and row["lossless"]]
        if rows:
            k = max(row["k"] for row in rows)
            best = max((row for row in rows if row["k"] == k), key=lambda row: row["acceptance"])
            parts.append(f"with {k} drafts {scheme_name(scheme)} the optimum is {best['optimum']:.3f} and the best "
                         f"rule beside `optimal` is {best['rule']} with {best['acceptance']:.3f}")
    text = "; ".join(parts)
    return (f"What to see: {text or 'every rule lies under the envelope of its scheme'}; `optimal` lies on the "
            f"optimum. `dominated`: the rule is above the optimum in no context (a sampled one: within its error).")


def gap_sentence(table: Table) -> str:
    """Median and 95 % distance of the best rule."""
    rows = [row for row in table.rows if row["rule"] != "optimal" and row["method"] == "exact"]
    if not rows:
        return "What to see: every curve starts at or right of zero."
    best = min(rows, key=lambda row: row["mean"])
    return (f"What to see: a curve left of zero would refute an optimum; even the best exact rule, {best['rule']} (k = "
            f"{best['k']}, {scheme_name(best['scheme'])}), loses {best['q50']:.3f} in the median context and more than "
            f"{best['q95']:.3f} in one of twenty. Rows with method `sampled` include the noise of a few lists per "
            f"context in their quantiles (not in their mean), and are not drawn.")


def agreement_sentence(table: Table) -> str:
    """Mean agreements beside the bounds."""
    means = {row["coupling"]: row["agreement"] for row in table.rows}
    first = table.rows[0]
    listed = ", ".join(f"{name} {mean:.3f}" for name, mean in means.items())
    outside = sum(table.column("outside"))
    return (f"What to see: {outside or 'no'} points lie outside the bounds of their coupling; on average these are "
            f"{first['lower']:.3f} and {first['upper']:.3f}, and the agreements {listed}.")


def decoding_sentence(table: Table) -> str:
    """Agreement of prediction and measurement."""
    fine = sum(abs(row["z"]) <= LARGEST_Z for row in table.rows)
    widest = max(critical(LARGEST_Z, row["sequences"] - 1) * row["difference_stderr"] for row in table.rows)
    return (f"What to see: in {fine} of {len(table)} pairs zero lies within four standard errors to each side; "
            f"the widest reaches {widest:.3f} tokens per call.")


def efficiency_sentence(table: Table) -> str:
    """Gain of block verification at the longest draft."""
    longest = max(table.column("draft_length"))
    value = {row["rule"]: row for row in table.where(draft_length=longest).rows}
    return (f"What to see: with {longest} drafted tokens, block verification emits "
            f"{value['block']['tokens_per_call']:.2f} tokens per target call, token-wise verification "
            f"{value['token_wise']['tokens_per_call']:.2f}, drafter-invariant decoding (gumbel) "
            f"{value['gumbel']['tokens_per_call']:.2f} (± {value['block']['stderr']:.2f}; the same blocks for all).")
