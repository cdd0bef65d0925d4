"""Acceptance of lossy rules against what they cost: exact numbers on recorded laws, under the frontier of all rules."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from figures import own
from otspec.core.table import Table

NAME = "lossy_frontier"
SWEEPS: dict[str, tuple[str, tuple[Any, ...]]] = {
    "frontier": ("budget", (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35)),
    "ensemble": ("weight", (0.99, 0.95, 0.9, 0.8, 0.65, 0.5, 0.35, 0.2)),
    "cactus": ("delta", (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0)),
    "top_k": ("count", (1, 2, 3, 5, 10, 20, 50)),
    "typical": ("alpha", (0.9, 0.7, 0.5, 0.3, 0.1, 0.03, 0.01)),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Compute and draw, or draw from the data of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--trace", default="pocket", help="recorded laws (default: the bundled trace)")
        parser.add_argument("--contexts", type=int, default=400, help="contexts, evenly spaced; 24 if quick")

    return own(NAME, __doc__, lambda given: data(given.trace, 24 if given.quick else given.contexts), draw, arguments,
               options)


def data(trace: str, contexts: int) -> Table:
    """One row per number of drafts, rule and parameter: exact means over contexts, with their standard errors."""
    from otspec.lossy_rules import list_lossy, lossy
    from otspec.recording.record import load_trace
    from otspec.reporting.exact import evenly
    from otspec.transport.bounds import optimal_acceptance

    recorded = load_trace(trace)
    target, draft = recorded.laws(evenly(len(recorded), contexts))
    rows = []
    for k in (1, 3):
        optimum = np.asarray(optimal_acceptance(target, draft, k))
        for name, (parameter, values) in SWEEPS.items():
            for value in values if name in list_lossy(k) else ():
                # Medusa sets alpha to the root of the threshold
                extra = {"top_k": {"delta": 1.0}, "typical": {"threshold": value**2}}.get(name, {})
                rule = lossy(name, k, **{parameter: value}, **extra)
                price, accepted = (np.asarray(of(target, draft)) for of in (rule.price, rule.acceptance))
                lost = optimum + price - accepted
                rows.append({"k": k, "rule": name, "parameter": parameter, "value": value, "price": price.mean(),
                             "price_stderr": _stderr(price), "acceptance": accepted.mean(),
                             "acceptance_stderr": _stderr(accepted), "optimum": optimum.mean(),
                             "below_frontier": lost.mean(), "below_frontier_stderr": _stderr(lost)})
    return Table(rows, {"trace": recorded.fingerprint, "contexts": len(target)})


def _stderr(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(values.size))


def draw(table: Table) -> Any:
    """One panel per number of drafts, as PDF and PNG beside the data."""
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.lossy import lossy_frontier
    from otspec.plots.style import context

    with context():
        figure, axes = panels(2, height=3.0, sharey=True)
        for ax, k in zip(axes, (1, 3), strict=True):
            lossy_frontier(table.where(k=k), ax)
            ax.set_title(f"{k} draft{'s' * (k > 1)}, {table.metadata['contexts']} contexts")
            ax.set_ylabel(ax.get_ylabel() if k == 1 else "")
        legend_below(figure, axes, columns=3)
        return figure


if __name__ == "__main__":
    sys.exit(main())
