"""How sure a watermark is against how many drafts are kept, and what a list of drafts costs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import own
from otspec import __version__
from otspec.analysis.agreement import agreement, sampled_agreement
from otspec.analysis.watermark import keyed_strength, race_strength
from otspec.core.laws import overlap
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.table import Table
from otspec.couplings import coupling
from otspec.recording.record import load_trace
from otspec.transport.bounds import optimal_acceptance

NAME, TITLE = "watermark", "Strength of a watermark against acceptance"
SEED, SAMPLES = 0, 1_000
THRESHOLDS = np.linspace(0, 1, 41)
DRAFTS = (1, 2, 4, 8)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, TITLE, data, draw, arguments)


def data(quick: bool) -> Table:
    """Means over contexts of the pocket trace: ends of the curves of one draft, then lists of drafts."""
    trace = load_trace("pocket")
    chosen = np.linspace(0, len(trace) - 1, 8 if quick else 48).round().astype(int)
    target, draft = trace.laws(chosen)
    race, most = float(race_strength(target).mean()), float(overlap(target, draft).mean())
    keyed = [float(keyed_strength(target, draft, threshold).mean()) for threshold in THRESHOLDS]
    best = int(np.argmax(keyed))
    rows = [_row("one", "plain", 1, most, 0.0), _row("one", "keyed", 1, most, keyed[best], float(THRESHOLDS[best])),
            _row("one", "gumbel", 1, float(agreement("gumbel", target, draft).mean()), race)]
    for k in DRAFTS[:2] if quick else DRAFTS:
        sheets = float(agreement(coupling("list_gumbel", num_drafts=k), target, draft).mean())
        parts = [sampled_agreement("gumbel", *pair, k=k, n=SAMPLES, seed=SEED + place).mean
                 for place, pair in enumerate(zip(target, draft, strict=True))]
        rows += [_row("lists", "list_gumbel", k, sheets, race), _row("lists", "gumbel", k, float(np.mean(parts)), race)]
        for scheme in (WithReplacement(k), WithoutReplacement(k)):
            rows.append(_row("lists", type(scheme).__name__, k,
                             float(optimal_acceptance(target, draft, scheme).mean()), 0.0))
    return Table(rows, {"otspec": __version__, "seed": SEED, "trace": trace.fingerprint, "contexts": chosen.size})


def _row(panel: str, what: str, drafts: int, acceptance: float, strength: float,
         threshold: float | None = None) -> dict[str, Any]:
    return {"panel": panel, "what": what, "drafts": drafts, "acceptance": acceptance, "strength": strength,
            "threshold": threshold}


def draw(table: Table) -> Any:
    """One draft on the left, lists on the right."""
    from otspec.plots.couplings import lists_against_drafts, strength_against_acceptance
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=2.8)
        strength_against_acceptance(table.where(panel="one"), left)
        lists_against_drafts(table.where(panel="lists"), right)
        legend_below(figure, [right], columns=2)
        return figure


if __name__ == "__main__":
    sys.exit(main())
