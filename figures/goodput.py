"""The draft length of most goodput over batch size and acceptance, from the measured steps of a machine.

Two panels: the pocket pair as measured, and a pair whose target is so much larger that each of its calls costs 20
times as much, with the same draft model.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures import own
from otspec.core.table import Table

NAME = "goodput"
MEASURED = Path(__file__).parents[1] / "tests" / "bench" / "results" / "goodput_steps.csv"
CONTEXT, LONGEST = 96, 8
SCALES = (1, 20)  # cost of the target's calls, in those measured


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute and draw, or draw from the data of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--steps", metavar="FILE", default=str(MEASURED),
                            help="table of measured steps (default: that of the benchmark)")

    return own(NAME, __doc__, lambda given: data(Table.from_csv(given.steps), quick=given.quick), draw, arguments,
               options)


def data(steps: Table, *, quick: bool = False) -> Table:
    """Best lengths on a grid, by the time model of the measured steps; the pair's own acceptance goes with it."""
    import otspec as ot
    from otspec.policies.length import StepTime, TimeModel, phase_diagram

    if "clock" in steps.columns:
        steps = Table(steps.where(clock="process").rows, steps.metadata)
    batches = sorted({round(2**power) for power in np.linspace(0, 6, 7 if quick else 31)})
    rates = np.linspace(0.02, 0.98, 9 if quick else 49).round(3)
    times, rows = TimeModel.fit(steps), []
    for scale in SCALES:
        part = StepTime(*(scale * seconds for seconds in (times.target.fixed, times.target.per_token,
                                                          times.target.per_context)))
        scaled = TimeModel(times.draft, part, times.round)
        ratio = scaled.draft(1) / scaled.target(1, CONTEXT)
        rows += [{"target_scale": scale, "draft_cost": ratio, **row} for row in phase_diagram(
            scaled, batches, rates.tolist(), max_length=LONGEST, context=CONTEXT).rows]
    own = 1.0 - ot.expected_rejections(ot.load_trace("pocket")).mean
    return Table(rows, {**steps.metadata, "context": CONTEXT, "max_length": LONGEST, "pair_acceptance": own})


def draw(table: Table) -> Any:
    """One panel per target, as PDF and PNG beside the data."""
    from otspec.plots.layout import panels
    from otspec.plots.length_policies import phase_diagram
    from otspec.plots.style import context

    with context():
        figure, axes = panels(len(SCALES), height=2.8, sharey=True)
        own = float(table.metadata["pair_acceptance"])
        for ax, scale in zip(axes, SCALES, strict=True):
            part = table.where(target_scale=scale)
            phase_diagram(part, ax, marked=own, most=LONGEST)
            ax.set_title(f"{'pocket pair' if scale == 1 else f'target {scale} times as dear'}:\n"
                         f"draft step = {part.rows[0]['draft_cost']:.2g} calls")
        axes[1].set_ylabel("")
        axes[0].annotate("pocket pair", (1, own), xycoords=("axes fraction", "data"), xytext=(-3, 2),
                         textcoords="offset points", ha="right", va="bottom", color="white", fontsize=7.5)
        figure.suptitle("draft length of most tokens per second")
        return figure


if __name__ == "__main__":
    sys.exit(main())
