"""What a budget of drafted tokens buys under each family of drafts and rule, on the pocket pair.

``python -m figures.budget --out DIR`` writes budget.csv, budget.pdf and budget.png; ``--from-csv`` draws again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from otspec.core.errors import OtspecError
from otspec.core.table import Table
from otspec.decode.models import load_pair
from otspec.planner.recommend import recommend
from otspec.plots import budget_figure
from otspec.recording.record import load_trace
from otspec.reporting.pictures import save

QUICK, FULL = (72, 4), (512, 16)  # contexts and budget


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, then draw; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m figures.budget", description="What a budget of drafts buys.",
                                     epilog="example: python -m figures.budget --out figures-out --quick")
    parser.add_argument("--out", default=".", help="folder of the files (default: here)")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--draft-cost", type=float, default=0.05, help="of a draft step, in target calls")
    parser.add_argument("--quick", action="store_true", help="fewer contexts, a smaller budget")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from-csv", metavar="FILE", help="draw again from the CSV of an earlier run")
    given = parser.parse_args(arguments)
    try:
        path = Path(given.from_csv) if given.from_csv else _measured(given)
        table = Table.from_csv(path)
        files = {kind: path.with_suffix(f".{kind}") for kind in ("pdf", "png")}
        save(budget_figure(table, table.metadata.get("title")), files)
    except (OtspecError, OSError) as error:
        print(f"figures.budget: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, [path, *files.values()])))
    return 0


def _measured(given: argparse.Namespace) -> Path:
    contexts, budget = QUICK if given.quick else FULL
    answer = recommend(load_pair("pocket", device="cpu"), budget, draft_cost=given.draft_cost, seed=given.seed,
                       temperature=given.temperature, prompts=load_trace("pocket").prompts[:contexts])
    path = Path(given.out) / "budget.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    answer.drawn.to_csv(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
