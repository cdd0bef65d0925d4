"""What a budget of drafted tokens buys under each family of drafts and rule, below the limit of any verifier."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from figures import own
from otspec.core.table import Table

NAME = "budget"
QUICK, FULL = (72, 4), (512, 16)  # contexts and budget


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--temperature", type=float, default=1.0)
        parser.add_argument("--draft-cost", type=float, default=0.05, help="of a draft step, in target calls")
        parser.add_argument("--seed", type=int, default=0)

    return own(NAME, __doc__, data, draw, arguments, options)


def data(given: argparse.Namespace) -> Table:
    """The planner's predictions for the pocket pair; their limit is the path bound."""
    from otspec.decode.models import load_pair
    from otspec.planner.recommend import recommend
    from otspec.recording.record import load_trace

    contexts, budget = QUICK if given.quick else FULL
    return recommend(load_pair("pocket", device="cpu"), budget, draft_cost=given.draft_cost, seed=given.seed,
                     temperature=given.temperature, prompts=load_trace("pocket").prompts[:contexts]).drawn


def draw(table: Table) -> Any:
    """Tokens per call on the left, speed-up on the right."""
    from otspec.plots import budget_figure

    return budget_figure(table, table.metadata.get("title"))


if __name__ == "__main__":
    sys.exit(main())
