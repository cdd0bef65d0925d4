"""Time of one optimal draw against V and k: draws the table that ``python -m tests.bench.sampler`` measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from figures import own
from otspec.core.table import Table

NAME = "growth"
MEASURED = Path(__file__).parents[1] / "tests" / "bench" / "results" / "sampler.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the measured table, or the one of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--measured", metavar="FILE", default=str(MEASURED), help="table of the benchmark")

    return own(NAME, __doc__, lambda given: Table.from_csv(given.measured), draw, arguments, options)


def draw(table: Table) -> Any:
    """Both panels side by side, as PDF and PNG."""
    from otspec.plots.growth import growth_in_drafts, growth_in_vocabulary
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=2.8, sharey=True)
        growth_in_vocabulary(table, left)
        growth_in_drafts(table, right)
        legend_below(figure, [left], columns=3)
        return figure


if __name__ == "__main__":
    sys.exit(main())
