"""Section of a report that compares all couplings on a few contexts of the trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from otspec.analysis.coupling_table import compare_couplings
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.reporting.exact import evenly

CONTEXTS, SAMPLES = 48, 9_600  # at 2,048 tokens, all couplings take 0.02 s for each context
VOCABULARY = 2_048  # of a larger one, fewer contexts and samples


def coupling_rows(trace: Trace, contexts: np.ndarray, seed: int, tick: Callable[[float], Any]) -> list[dict[str, Any]]:
    """Every coupling on contexts evenly spaced among those of the report, one row each."""
    share = min(1.0, VOCABULARY / trace.vocab_size)
    count = max(1, int(CONTEXTS * share))
    target, draft = trace.laws(contexts[evenly(contexts.size, count)])
    drafts = min(4, trace.vocab_size)
    rows = compare_couplings(target, draft, num_drafts=drafts, n=max(200, int(SAMPLES * share)), seed=seed).rows
    tick(1.0)
    return rows


def couplings_sentence(table: Table) -> str:
    """What lists, bits and both laws are worth."""
    value = {(row["coupling"], row["drafts"]): row for row in table.rows}
    one, most = value["gumbel", 1], max(row["drafts"] for row in table.rows)
    listed, sheets, told = value["gumbel", most], value["list_gumbel", most], value["communicated", 1]
    return (f"What to see: without a word the parties agree in {one['agreement']:.3f} of the positions, "
            f"{told['bits']:.0f} bits raise that to {told['agreement']:.3f} of {told['upper']:.3f} possible. A list of "
            f"{most} from one race reaches {listed['agreement']:.3f}, {most} sheets of clocks "
            f"{sheets['agreement']:.3f}; the best that {most} drafts allow to those who know both laws is "
            f"{listed['upper']:.3f}. Means over {one['contexts']} contexts.")
