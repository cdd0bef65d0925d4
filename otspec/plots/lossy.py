"""Acceptance against the price of lossy rules."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.style import INK, OPTIMUM, rule_style


def lossy_frontier(table: Table, ax: Any) -> Any:
    """Mean acceptance of every lossy rule against its mean price, under the frontier that none of them passes.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``price``, ``acceptance``, ``optimum`` (of lossless rules), one number of drafts; the rows of
        a rule are its parameters in order.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    optimum = float(table.column("optimum")[0])
    others = [row for row in table.rows if row["rule"] != "frontier"]
    end = 1.06 * max(1 - optimum, *(row["price"] for row in others))
    line = np.array([0.0, 1 - optimum, end])
    ax.plot(line, np.minimum(1.0, optimum + line), color=OPTIMUM["color"], lw=2.4, alpha=0.35, zorder=2,
            label="frontier: optimum + TV")
    ax.fill_between(line, np.minimum(1.0, optimum + line), 1.08, color="#EEEEEE", lw=0, zorder=0)
    part = table.where(rule="frontier").rows
    ax.plot([row["price"] for row in part], [row["acceptance"] for row in part], linestyle="none", zorder=3,
            label="frontier rule", markersize=6, **OPTIMUM)
    for rule in dict.fromkeys(row["rule"] for row in others):
        rows = table.where(rule=rule).rows
        ax.plot([row["price"] for row in rows], [row["acceptance"] for row in rows], "-", label=rule, zorder=4,
                **rule_style(rule))
    ax.plot([0], [optimum], marker="o", color=INK, mfc="white", markersize=6, linestyle="none", zorder=5,
            label="lossless optimum", clip_on=False)
    ax.annotate("no rule", (0.03, 0.97), xycoords="axes fraction", va="top", color="#666666", fontsize=7.5)
    ax.set_xlim(0, end)
    ax.set_ylim(top=1.03)
    ax.set_xlabel("price: mean TV(output, target)")
    ax.set_ylabel("mean acceptance Pr[token is a draft]")
    return ax
