"""Bits of the communicated protocol against the agreement that it may lose."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import own
from otspec import __version__
from otspec.analysis.agreement import agreement, bits
from otspec.analysis.instances import random_pair
from otspec.core.laws import overlap
from otspec.core.table import Table
from otspec.couplings import coupling
from otspec.recording.record import load_trace

NAME, TITLE = "bits_vs_epsilon", "Bits exchanged against the agreement that may be lost"
SEED, LARGE = 0, 151_936


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, TITLE, data, draw, arguments)


def data(quick: bool) -> Table:
    """One row per vocabulary and epsilon: means over contexts of the pocket trace, or one random pair."""
    trace, large = load_trace("pocket"), LARGE // 16 if quick else LARGE
    chosen = np.linspace(0, len(trace) - 1, 8 if quick else 64).round().astype(int)
    laws = {f"pocket trace, V = {trace.vocab_size:,}": trace.laws(chosen),
            f"random laws, V = {large:,}": random_pair("close", large, np.random.default_rng(SEED))}
    rows = []
    for panel, (target, draft) in laws.items():
        for epsilon in np.logspace(-6, 0, 7 if quick else 25).tolist():
            rule = coupling("communicated", epsilon=epsilon)
            lost = overlap(target, draft) - agreement(rule, target, draft)
            rows.append({"laws": panel, "epsilon": epsilon, "bits": float(np.mean(bits(rule, target, draft))),
                         "bound": rule.bits_bound(target.shape[-1]), "lost": float(np.mean(lost))})
    return Table(rows, {"otspec": __version__, "seed": SEED, "trace": trace.fingerprint, "contexts": chosen.size})


def draw(table: Table) -> Any:
    """Bits on the left, what is lost on the right."""
    from otspec.plots.couplings import bits_against_epsilon, loss_against_epsilon
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=2.8)
        bits_against_epsilon(table, left)
        loss_against_epsilon(table, right)
        legend_below(figure, [left], columns=2)
        return figure


if __name__ == "__main__":
    sys.exit(main())
