"""Acceptance over the optimum on the worst laws that were found, and what is promised for all laws.

K-SEQ promises 1 - (1 - 1/k)^k of the optimum [spectr]. A rule that begins as rejection of the first of k independent
drafts accepts at least ``sum min(p, q)``, and the optimum is at most ``sum min(p, k q)``: the promise is 1/k.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import otspec as ot
from figures import own
from otspec.analysis.worst_case import worst_case
from otspec.core.versions import installed

NAME = "worst_case"
SEED = 0
# of each rule: its drafts, the numbers of them, tokens with mass, and walks of the search
SEARCHES = {"k_seq": (ot.WithReplacement, (1, 2, 3, 4, 6, 8), (2, 3), 3),
            "recursive": (ot.WithReplacement, (1, 2, 3, 4, 6, 8), (2, 3, 4), 3),
            "naive": (ot.WithReplacement, (1, 2, 3, 4, 6, 8), (2, 3, 4), 3),
            "recursive_wor": (ot.WithoutReplacement, (1, 2, 3), (3, 4), 2)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, "Worst-case ratio of each rule to the optimum, with its bound.", data, draw, arguments)


def data(quick: bool) -> ot.Table:
    """The worst instance found for every rule and number of drafts, with the bound that holds for all."""
    rows = []
    for rule, (scheme, ks, sizes, restarts) in SEARCHES.items():
        for k in ks[:2] if quick else ks:
            size = sizes[:1] if quick or k == 1 else sizes
            worst = worst_case(rule, k, scheme=scheme(k), vocabulary=size, restarts=1 if quick else restarts, seed=SEED)
            rows.append({"rule": rule, "scheme": scheme.__name__, "k": k, "ratio": worst.ratio, "bound": bound(rule, k),
                         "target": " ".join(f"{mass:.6g}" for mass in worst.target),
                         "draft": " ".join(f"{mass:.6g}" for mass in worst.draft), "instances": worst.evaluations})
    return ot.Table(rows, {"seed": SEED, "otspec": ot.__version__, **installed(("numpy", "scipy"))})


def bound(rule: str, k: int) -> float | None:
    """Share of the optimum that a rule reaches on all laws; None where none is known."""
    if rule == "k_seq":
        return 1 - (1 - 1 / k) ** k
    return 1 / k if rule in ("recursive", "naive") else None


def draw(table: ot.Table) -> Any:
    """One panel."""
    from otspec.plots.layout import label_ends, panels
    from otspec.plots.style import context
    from otspec.plots.theory import worst_ratio

    with context():
        figure, (ax,) = panels(1, height=2.9)
        worst_ratio(table, ax)
        label_ends(ax, rename={"promise of k_seq": "promised by it", "promise 1/k": "1/k: promised"})
        return figure


if __name__ == "__main__":
    sys.exit(main())
