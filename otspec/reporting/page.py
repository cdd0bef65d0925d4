"""What a report found out about itself: its checks, in sentences with their numbers; and where it was made."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from otspec.core.table import Table
from otspec.plots.acceptance import scheme_name
from otspec.reporting.sequences import Checked, yes

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


def judge(acceptance: Table, agreement: Table, decoding: Table, skipped: str | None, sequences: Checked,
          choices: Sequence[Mapping[str, Any]] = ()) -> Verdict:
    """Check the tables of a report; ``choices`` are the planner's that were decoded (see `otspec.reporting.advice`)."""
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
    if choices:
        held = all(abs(row["z"]) <= LARGEST_Z for row in choices)
        confirmed = held and confirmed is not False
        largest = max(choices, key=lambda row: abs(row["z"]))
        sentences.append(f"Choices of the planner decoded: {yes(held)}; {len(choices)} of them, at least "
                         f"{min(row['calls'] for row in choices)} target calls each, largest normal score "
                         f"{largest['z']:+.2f} ({largest['method']}).")
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


def decoded_sentence(table: Table) -> str:
    """What was decoded, the largest difference, and how often chance alone would fail the check."""
    largest = max(table.rows, key=lambda row: abs(row["z"]))
    calls, budget = table.column("calls"), len(table) * math.erfc(LARGEST_Z / math.sqrt(2))
    return (f"{len(table)} pairs of drafter and rule, {sum(calls):,} target calls (at least {min(calls):,} each): the "
            f"largest difference to the in-run prediction has normal score {largest['z']:+.2f} ({largest['run']}; "
            f"Student's t over {largest['sequences']} sequences); the limit is {LARGEST_Z:.0f}, which in a correct "
            f"decoder any of them passes with probability at most {budget:.2%}.")


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
