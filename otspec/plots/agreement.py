"""Figure of couplings without communication: agreement against the distance of the two laws."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.style import OPTIMUM, rule_style

Axes = Any


def agreement_vs_tv(table: Table, ax: Axes) -> Axes:
    """Agreement in every context against total variation, between the bounds ``(1-TV)/(1+TV)`` and ``1-TV``.

    Parameters
    ----------
    table : Table
        One row per context and coupling: columns ``coupling``, ``tv``, ``agreement``. Same-dart agreement
        (``minhash_dart``) equals the lower bound and is drawn as that curve; ``poisson`` agrees as ``gumbel`` does.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    grid = np.linspace(0, 1, 201)
    lower, upper = (1 - grid) / (1 + grid), 1 - grid
    ax.fill_between(grid, lower, upper, color="#EEEEEE", lw=0, zorder=1)
    ax.plot(grid, upper, "-", color=OPTIMUM["color"], label="1 − TV: no coupling is above", zorder=4)
    for name in dict.fromkeys(table.column("coupling")):
        if name in ("minhash_dart", "poisson"):
            continue
        part = table.where(coupling=name)
        ax.plot(part.column("tv"), part.column("agreement"), ls="none", ms=2.6, alpha=0.7, mew=0, zorder=3,
                label=name, **rule_style(name))
    ax.plot(grid, lower, "--", color=OPTIMUM["color"], zorder=4, label="(1 − TV)/(1 + TV): best promise")
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1)
    ax.set_xlabel("total variation TV of target and draft law")
    ax.set_ylabel("Pr[both select the same token]")
    return ax
