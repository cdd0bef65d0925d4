"""Tokens per target call against the draft length: every rule on the pocket pair, and beside the optimum on a toy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import own
from otspec.core.table import Table

NAME = "efficiency_vs_length"
# one drawn under its other name, and one whose gain in a first call is lost in the next
LEFT_OUT = ("hierarchical", "greedy_block")
COLUMNS = ("rule", "paths", "draft_length", "efficiency", "stderr", "bound", "bound_monte_carlo", "room_percent",
           "room_stderr")
PATHS, SAMPLES, SETS = 4, 128, 3  # rules that toss coins need several sets of paths


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--contexts", type=int, default=192, help="contexts of the pocket trace; 8 if quick")

    def compute(given: argparse.Namespace) -> Table:
        return data(8 if given.quick else given.contexts, 3 if given.quick else 8)

    return own(NAME, __doc__, compute, draw, arguments, options)


def data(contexts: int, longest: int) -> Table:
    """Rows of the pocket pair (1 and 4 paths, lengths to ``longest``, the bound), then those of the toy (2 paths)."""
    from otspec.decode.models import load_pair
    from otspec.recording.path_bound import path_bounds
    from otspec.recording.record import load_trace
    from otspec.recording.sequence import compare_sequences

    pair, trace, lengths = load_pair("pocket", device="cpu"), load_trace("pocket"), range(1, longest + 1)
    # with one path block verification reaches the bound
    bounds = path_bounds(pair, trace, [(PATHS, length) for length in lengths], contexts=contexts, samples=SAMPLES)
    measured = compare_sequences(pair, trace, num_paths=(PATHS,), draft_lengths=lengths, contexts=contexts,
                                 sets=SETS, bound=bounds, progress=False)
    rows = [{"panel": "pocket", **{key: row[key] for key in COLUMNS}, "optimum": None} for row in measured.rows
            if row["rule"] not in LEFT_OUT]
    return Table(rows + toy(min(5, longest)), measured.metadata)


def toy(longest: int) -> list[dict[str, object]]:
    """Exact numbers of a random Markov pair on two tokens, with the certified stateless optimum."""
    from otspec.analysis.block_optimum import block_optimum
    from otspec.analysis.blocks import block_efficiency
    from otspec.core.markov import MarkovModel
    from otspec.verifiers import list_verifiers

    rng = np.random.default_rng(3)
    target, draft = (MarkovModel(rng.dirichlet(np.full(2, 0.7), 2)) for _ in range(2))
    rows: list[dict[str, object]] = []
    beyond = dict.fromkeys(("bound", "bound_monte_carlo", "room_percent", "room_stderr"))
    for length in range(1, longest + 1):
        optimum = block_optimum(target, draft, length, num_paths=2).upper
        rows += [{"panel": "toy", "rule": rule, "paths": 2, "draft_length": length,
                  "efficiency": block_efficiency(rule, target, draft, length, num_paths=2).mean, "stderr": 0.0,
                  **beyond, "optimum": optimum} for rule in list_verifiers(2, kind="tree")]
    return rows


def draw(table: Table) -> Any:
    """The pocket pair above, the toy below, as PDF and PNG beside the data."""
    from otspec.plots.layout import label_ends, panels
    from otspec.plots.sequence import efficiency_vs_length, share_of_optimum
    from otspec.plots.style import context

    with context():
        figure, (above, below) = panels(2, height=2.7, columns=1)
        pocket = table.where(panel="pocket")
        efficiency_vs_length(pocket, above).set_title(f"pocket pair, {PATHS} paths and 1")
        share_of_optimum(table.where(panel="toy"), below).set_title("toy, 2 paths, exact")
        for ax, panel in ((above, pocket), (below, table.where(panel="toy"))):
            ax.set_xticks(sorted(set(panel.column("draft_length"))))
        label_ends(above, rename={"no stateless rule above": "limit", **{
            rule: f"{rule}, 1 path" for rule in pocket.where(paths=1).column("rule")}})
        label_ends(below, rename={"optimum (certified)": "optimum"})
        return figure


if __name__ == "__main__":
    sys.exit(main())
