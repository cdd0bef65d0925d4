"""Agreement of all couplings against total variation: random laws, and the contexts of the pocket trace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import own
from otspec import __version__
from otspec.analysis.agreement import agreement, sampled_agreement
from otspec.analysis.instances import random_pair
from otspec.core.laws import total_variation
from otspec.core.table import Table
from otspec.couplings import coupling
from otspec.recording.record import load_trace

NAME, TITLE = "all_couplings", "Agreement of all couplings against total variation"
SEED, VOCABULARY, SAMPLES = 0, 12, 4_000
ALONE = ("gumbel", "minhash", "shared_uniform", "entropy")


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, TITLE, data, draw, arguments)


def data(quick: bool) -> Table:
    """One row per pair of laws, coupling and number of drafts."""
    rng, count = np.random.default_rng(SEED), 12 if quick else 96
    pairs = []
    for place in range(count):  # from close to far
        target, draft = random_pair(("dirichlet", "peaked")[place % 2], VOCABULARY, rng)
        pairs.append((target, place / count * draft + (1 - place / count) * target))
    trace = load_trace("pocket")
    chosen = np.linspace(0, len(trace) - 1, count).round().astype(int)
    panels = {f"random laws, V = {VOCABULARY}": tuple(map(np.stack, zip(*pairs, strict=True))),
              f"pocket trace, V = {trace.vocab_size:,}": trace.laws(chosen)}
    rows = [row for panel, laws in panels.items() for row in _rows(panel, *laws)]
    return Table(rows, {"otspec": __version__, "seed": SEED, "trace": trace.fingerprint, "pairs": count})


def _rows(panel: str, target: np.ndarray, draft: np.ndarray) -> list[dict[str, Any]]:
    distance = total_variation(target, draft)
    found = {(name, 1): agreement(name, target, draft) for name in ALONE}
    found["communicated", 1] = agreement(coupling("communicated", epsilon=0.05), target, draft)
    found["list_gumbel", 4] = agreement("list_gumbel", target, draft)
    # exact where the vocabulary is small; the figure cannot show the 0.008 that sampling may miss
    found["gumbel", 4] = (agreement("gumbel", target, draft, k=4) if target.shape[-1] <= VOCABULARY else np.array(
        [sampled_agreement("gumbel", *pair, k=4, n=SAMPLES, seed=SEED).mean
         for pair in zip(target, draft, strict=True)]))
    return [{"panel": panel, "coupling": name, "drafts": drafts, "tv": float(tv), "agreement": float(value)}
            for (name, drafts), values in found.items() for tv, value in zip(distance, values, strict=True)]


def draw(table: Table) -> Any:
    """One panel per kind of laws."""
    from otspec.plots.couplings import agreement_of_couplings
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.style import context

    with context():
        kinds = list(dict.fromkeys(table.column("panel")))
        figure, axes = panels(len(kinds), height=3.4, sharey=True)
        for ax, panel in zip(axes, kinds, strict=True):
            agreement_of_couplings(table.where(panel=panel), ax).set_title(panel)
        axes[1].set_ylabel("")
        legend_below(figure, axes[:1], columns=2, markerscale=1.6)
        return figure


if __name__ == "__main__":
    sys.exit(main())
