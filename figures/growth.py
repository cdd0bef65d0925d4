"""Time of one optimal draw against V and k: draws the table that ``python -m tests.bench.sampler`` measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from otspec.core.errors import OtspecError
from otspec.core.table import Table
from otspec.reporting.pictures import save

MEASURED = Path(__file__).parents[1] / "tests" / "bench" / "results" / "sampler.csv"


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw both panels; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m figures.growth", description="Time of one optimal draw.",
                                     epilog="example: python -m figures.growth --out figures-out")
    parser.add_argument("--out", default=".", help="folder of the files (default: here)")
    parser.add_argument("--from-csv", metavar="FILE", default=str(MEASURED), help="table of the benchmark")
    given = parser.parse_args(arguments)
    try:
        files = draw(Table.from_csv(given.from_csv), Path(given.out))
    except (OtspecError, OSError) as error:
        print(f"figures.growth: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0


def draw(table: Table, out: Path) -> list[Path]:
    """Both panels side by side, as PDF and PNG."""
    from matplotlib.figure import Figure

    from otspec.plots.growth import growth_in_drafts, growth_in_vocabulary
    from otspec.plots.style import context

    with context():
        figure = Figure(figsize=(6.8, 2.9), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        growth_in_vocabulary(table, left)
        growth_in_drafts(table, right)
        left.legend(loc="upper left")
        files = {kind: out / f"growth.{kind}" for kind in ("pdf", "png")}
        save(figure, files)
        return list(files.values())


if __name__ == "__main__":
    sys.exit(main())
