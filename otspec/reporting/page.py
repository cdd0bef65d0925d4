"""The words of a report: verdict, one sentence per section with its numbers, tables and figures as Markdown."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from otspec.core.estimate import critical
from otspec.core.table import Table
from otspec.plots.acceptance import scheme_name
from otspec.reporting import profiles
from otspec.reporting.couplings import couplings_sentence
from otspec.reporting.pictures import PICTURES
from otspec.reporting.sequences import Checked, pair_sentence, toys_sentence, yes

LARGEST_Z = 4.0
LEFT_OUT = {"too_large": "Left out as too large for this vocabulary",
            "too_slow": "Left out for time (see `otspec compare --rules`)",
            "not_solved": "Left out because its own solver failed"}
PACKAGES = ("numpy", "scipy", "numba", "matplotlib", "torch", "transformers")
CERTIFICATE = ("Every optimum is certified: a cut (a token set H with value 1 + target(H) − Pr[all drafts in H]) "
               "bounds it from above, a winner law that lies in the core attains it from below, and the two values "
               "differ by at most `certificate`; the limit is max(1e-9, 64·eps·V).")


@dataclass(frozen=True)
class Verdict:
    """What a report found out about itself.

    Attributes
    ----------
    certified : bool
        Every optimum of every context closed to the limit.
    dominated : bool
        No rule exceeded the optimum of its scheme in any context, and no coupling left its bounds.
    confirmed : bool or None
        Every decoding run within four standard errors of its prediction; None where nothing was decoded.
    sequences : bool
        No sequence-level rule exceeded the certified optimum of its drafts, and the orders that are theorems held.
    sentences : tuple of str
    """

    certified: bool
    dominated: bool
    confirmed: bool | None
    sequences: bool
    sentences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return self.certified and self.dominated and self.sequences and self.confirmed is not False


def judge(acceptance: Table, agreement: Table, decoding: Table, skipped: str | None, sequences: Checked) -> Verdict:
    """Check the tables of a report."""
    worst = max(acceptance.column("certificate"))
    known = [row for row in acceptance.rows if row["violations"] is not None]
    checks, broken = (sum(row[key] for row in known) for key in ("contexts", "violations"))
    dominated = all(row["dominated"] for row in known)
    outside = sum(agreement.column("outside"))
    sampled = sum(row["contexts"] for row in known if row["method"] == "sampled")
    certified = all(acceptance.column("certified"))
    sentences = [
        f"Certified: {yes(certified)}; the two ends of an optimum differ by at most {worst:.1e}.",
        f"Optimum above every rule in every context: {yes(dominated)}; {checks} comparisons, {broken} "
        f"violations ({checks - sampled} exact up to rounding, {sampled} within 5 standard errors of the context's own "
        f"sample, and those also in the mean).",
        f"Couplings between their bounds in every context: {yes(not outside)}.",
    ]
    for method, words in LEFT_OUT.items():
        left_out = _where(acceptance, [row["method"] == method for row in acceptance.rows])
        if left_out:
            sentences.append(f"{words}: {', '.join(left_out)}.")
    unbound = _where(acceptance, [not row["lossless"] and row["acceptance"] is not None for row in acceptance.rows])
    if unbound:
        sentences.append(f"Not lossless, so the optimum does not bind it: {', '.join(unbound)}.")
    sentences += sequences.sentences
    confirmed = None
    if len(decoding):
        confirmed = all(abs(row["z"]) <= LARGEST_Z for row in decoding.rows)
        sentences.append(f"Confirmed by decoding: {yes(confirmed)}; {decoded_sentence(decoding)}")
    else:
        sentences.append(f"Not confirmed by decoding: {skipped}.")
    return Verdict(certified, dominated and outside == 0, confirmed, sequences.ok, tuple(sentences))


def _where(acceptance: Table, chosen: list[bool]) -> list[str]:
    """Rules of the chosen rows, with the schemes where that is so."""
    found = []
    for rule in dict.fromkeys(acceptance.column("rule")):
        rows = [(row, there) for row, there in zip(acceptance.rows, chosen, strict=True) if row["rule"] == rule]
        names = [f"{scheme_name(row['scheme'])}, k={row['k']}" for row, there in rows if there]
        if names:
            found.append(f"{rule} (every scheme)" if len(names) == len(rows) else f"{rule} ({'; '.join(names)})")
    return found


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
    return f"What to see: {text or 'every rule lies under the envelope of its scheme'}; `optimal` lies on the optimum."


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


def decoded_sentence(table: Table) -> str:
    """What was decoded, the largest difference, and how often chance alone would fail the check."""
    largest = max(table.rows, key=lambda row: abs(row["z"]))
    calls, budget = table.column("calls"), len(table) * math.erfc(LARGEST_Z / math.sqrt(2))
    return (f"{len(table)} pairs of drafter and rule, {sum(calls):,} target calls (at least {min(calls):,} each): the "
            f"largest difference to the in-run prediction has normal score {largest['z']:+.2f} ({largest['run']}; "
            f"Student's t over {largest['sequences']} sequences); the limit is {LARGEST_Z:.0f}, which in a correct "
            f"decoder any of them passes with probability at most {budget:.2%}.")


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


def markdown(title: str, verdict: Verdict, tables: dict[str, Table], pictures: set[str], notes: list[str]) -> str:
    """Return the whole page."""
    lines = [f"# {title}", "", *(f"- {sentence}" for sentence in verdict.sentences), "", *notes, ""]

    def section(heading: str, sentence: str, table: str | None, picture: str | None = None,
                columns: tuple[str, ...] = ()) -> None:
        lines.extend([f"## {heading}", "", sentence, ""])
        if picture in pictures:
            lines.extend([f"![{PICTURES[picture].title}](figures/{picture}.png)", ""])
        if table:
            # what was left out is told above, and its rows are in the CSV
            rows = [row for row in tables[table].rows if row.get("acceptance", 0) is not None]
            shown = Table([{column: row[column] for column in columns} for row in rows])
            lines.extend([shown.to_markdown(), "", f"All digits: [tables/{table}.csv](tables/{table}.csv)", ""])

    section("Acceptance of every rule", acceptance_sentence(tables["acceptance"]), "acceptance", "acceptance_vs_k",
            ("scheme", "k", "rule", "acceptance", "stderr", "optimum", "share", "method", "certificate", "dominated"))
    if len(tables["gap_quantiles"]):
        section("Distance to the optimum over contexts", gap_sentence(tables["gap_quantiles"]), "gap_quantiles",
                "gap_by_context", ("scheme", "k", "rule", "method", "mean", "q05", "q50", "q95", "max"))
    if len(tables["decoding"]):
        section("Confirmed by decoding", decoding_sentence(tables["decoding"]), "decoding", "predicted_vs_measured",
                ("drafter", "rule", "calls", "measured", "stderr", "predicted", "difference",
                 "difference_stderr", "z"))
    if len(tables["efficiency"]):
        section("Block, token-wise and drafter-invariant", efficiency_sentence(tables["efficiency"]), "efficiency",
                None, ("rule", "draft_length", "tokens_per_call", "stderr", "blocks"))
    if len(tables["profile"]):
        section("Acceptance by position", profiles.profile_sentence(tables["profile"]), "profile",
                columns=profiles.COLUMNS)
    section("Blocks, paths and trees on small models", toys_sentence(tables["toys"]), "toy_summary", "gap_on_toys",
            ("vocabulary", "paths", "draft_length", "rule", "efficiency", "optimum", "one_call", "mean_gap_percent",
             "largest_gap_percent", "below_traversal", "below_token_wise", "below_chain", "toys"))
    if len(tables["sequences"]):
        section("Blocks, paths and trees on the pair", pair_sentence(tables["sequences"]), "sequences",
                "rules_on_paths", ("target_tokens", "paths", "draft_length", "rule", "efficiency", "stderr",
                                   "difference", "difference_stderr", "bound", "room_percent", "room_stderr",
                                   "method"))
    section("Couplings without communication", agreement_sentence(tables["agreement_summary"]), "agreement_summary",
            "agreement_vs_tv", ("coupling", "agreement", "lower", "upper", "tv", "contexts", "outside"))
    section("Couplings with lists, with messages and with both laws", couplings_sentence(tables["couplings"]),
            "couplings", None, ("coupling", "drafts", "agreement", "stderr", "lower", "upper", "bits", "method",
                                "outside"))
    return "\n".join(lines)


def surroundings() -> dict[str, Any]:
    """Versions and hardware."""
    versions = {"python": platform.python_version()}
    for name in ("otspec", *PACKAGES):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return {"versions": versions, "hardware": {"system": platform.platform(), "machine": platform.machine(),
                                               "cpu": _cpu(), "cores": len(os.sched_getaffinity(0))
                                               if hasattr(os, "sched_getaffinity") else os.cpu_count()}}


def _cpu() -> str:
    """Model name where the system tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
        return names[0] if names else platform.processor()
    except OSError:
        return platform.processor()
