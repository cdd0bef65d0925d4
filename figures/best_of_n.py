"""Best-of-n: divergence against n below its bound, and the k drafts that reach it without rejection."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.core.versions import installed
from otspec.neighbours.best_of_n import kl_estimate, sampled_kl_estimate

NAME = "best_of_n"
SEED = 0


def data(quick: bool) -> ot.Table:
    """Draft laws of the pocket trace, scored by the target's probability; and their optimal acceptance."""
    trace, rows = ot.load_trace("pocket"), []
    target, draft = (law[: 32 if quick else 512] for law in trace.laws())
    entropy = -(draft * np.log(np.maximum(draft, 1e-300))).sum(axis=-1)
    ranked = np.argsort(entropy)
    for share in (0.25, 0.5, 0.9):
        row = ranked[int(share * (len(ranked) - 1))]
        law, scores = draft[row], target[row]
        for n in (1, 2, 4, 8, 16, 32, 64, 128):
            found = sampled_kl_estimate(law, scores, n, samples=1000 if quick else 20_000, seed=SEED)
            rows.append({"panel": "divergence", "entropy": float(entropy[row]), "n": n, "k": None,
                         "exact": float(ot.best_of_n_kl(law, scores, n)), "estimate": found.mean,
                         "stderr": found.stderr, "top": float(kl_estimate(law[np.argmax(scores)], n)),
                         "bound": ot.kl_ceiling(n), "acceptance": None})
        if share == 0.9:
            for n in (2, 4, 8):
                best = ot.best_of_n_law(law, scores, n)
                rows += [rows[0] | {"panel": "drafts", "entropy": float(entropy[row]), "n": n, "k": k,
                                    "acceptance": float(ot.optimal_acceptance(best, law, k))} for k in range(1, 11)]
    return ot.Table(rows, {"seed": SEED, **installed()})


def draw(table: ot.Table) -> Any:
    """Left: divergence. Right: optimal acceptance of k drafts."""
    from otspec.plots.layout import panels
    from otspec.plots.neighbours import best_of_n_acceptance, best_of_n_divergence
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=3.2)
        below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.2)}
        best_of_n_divergence(table.where(panel="divergence"), left).legend(**below)
        best_of_n_acceptance(table.where(panel="drafts"), right).legend(**below)
        return figure


def main(arguments: list[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__ or "", data, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
