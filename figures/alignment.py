"""Reward against divergence, per token: best-of-n on texts of growing length below the optimum."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.neighbours.alignment import best_of_n_point, optimal_reward

NAME = "alignment"
LAW, REWARDS = (0.4, 0.3, 0.15, 0.1, 0.05), (0, 1, 1, 2, 4)


def data(quick: bool) -> ot.Table:
    """Curve of the optimum and exact points of best-of-n."""
    rows = [{"length": None, "rate": None, "divergence": float(d), "reward": optimal_reward(LAW, REWARDS, float(d))}
            for d in np.linspace(0, 2, 9 if quick else 81)]
    for length in (2, 8) if quick else (2, 8, 32, 128):
        for rate in np.linspace(0.05, 2.0, 6 if quick else 14):
            divergence, reward = best_of_n_point(LAW, REWARDS, length, float(rate))
            rows.append({"length": length, "rate": float(rate), "divergence": divergence, "reward": reward})
    return ot.Table(rows, {"law": LAW, "rewards": REWARDS, "exact": "no sampling"})


def draw(table: ot.Table) -> Any:
    """One panel."""
    from matplotlib.figure import Figure

    from otspec.plots.neighbours import reward_against_divergence
    from otspec.plots.style import WIDTH, context

    with context():
        figure = Figure(figsize=(WIDTH, 3.0), layout="constrained")
        reward_against_divergence(table, figure.subplots()).legend(loc="lower right")
        return figure


def main(arguments: list[str] | None = None) -> int:
    """Compute and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__ or "", data, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
