"""The convex-hull sampler in one picture: curves, the hull at a random T, its cells, and a draw.

Tokens are sorted by target/draft, each as wide as its draft probability. Left of a point, the capacity c says how
likely all k drafts lie there, and F, the cumulative winner law, lies above c and is convex. The lower hull of F - T c
cuts the tokens into cells; of the highest cell that holds a draft, one draft is picked at random. Its law is exactly F.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.core.versions import installed
from otspec.transport.sampler.edge import lower_hull
from otspec.transport.sampler.hull import winning_cell
from otspec.transport.winner.laws import cumulative, ratio_order, replacement_capacity, universal_law

NAME = "hull_sampler"
TARGET = (0.02, 0.03, 0.03, 0.14, 0.08, 0.20, 0.14, 0.36)
DRAFT = (0.14, 0.17, 0.06, 0.18, 0.10, 0.19, 0.10, 0.06)
T, DRAWN = 0.8, (3, 0, 5)  # of the picture; tokens are numbered in their sorted order


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, "The convex-hull sampler in one picture.", data, draw, arguments)


def data(quick: bool) -> ot.Table:
    """Curves at every knot, and what becomes of the drafts; small and exact, so quick changes nothing."""
    target, draft, drawn = np.array(TARGET), np.array(DRAFT), np.array(DRAWN)
    order = ratio_order(target, draft)
    p, q = target[order], draft[order]
    capacity = replacement_capacity(q, drawn.size)
    x, winner = cumulative(q), cumulative(universal_law(p, capacity))
    level = winner - T * capacity
    vertices = lower_hull(x, level)
    low, high = winning_cell(x, winner, capacity, np.array(T), np.array(drawn.max()))
    rows = [{"knot": knot, "x": float(x[knot]), "capacity": float(capacity[knot]), "winner": float(winner[knot]),
             "target": float(cumulative(p)[knot]), "level": float(level[knot]), "vertex": bool(knot in vertices),
             "drafts": int((drawn == knot).sum()), "wins": bool(low <= knot < high)} for knot in range(x.size)]
    best = float(ot.optimal_acceptance(target, draft, drawn.size))
    return ot.Table(rows, {"T": T, "k": drawn.size, "acceptance": best,
                           "seed": "none", "otspec": ot.__version__, **installed(("numpy",))})


def draw(table: ot.Table) -> Any:
    """Curves above, hull and draw below, over the same tokens."""
    from otspec.plots.layout import panels
    from otspec.plots.style import context
    from otspec.plots.theory import hull_cells, winner_curves

    with context():
        figure, (above, below) = panels(2, height=2.3, columns=1, sharex=True)
        winner_curves(table, above)
        hull_cells(table, below)
        above.set_xlabel("")
        return figure


if __name__ == "__main__":
    sys.exit(main())
