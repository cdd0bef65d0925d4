"""Draft lengths: the best one over batch size and acceptance, and what each way to choose it is worth."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.style import INK

SERIES = {
    "clairvoyant": {"color": "#000000", "linestyle": "--", "marker": "", "label": "clairvoyant (bound)"},
    "true_threshold": {"color": "#777777", "linestyle": ":", "marker": "", "label": "threshold, true chances"},
    "specdec++": {"color": "#009E73", "marker": "D", "label": "SpecDec++, fitted"},
    "best": {"color": "#0072B2", "marker": "v", "label": "best fixed length"},
    "fixed": {"color": "#56B4E9", "marker": "^", "label": "fixed length 4"},
    "confidence": {"color": "#E69F00", "marker": "s", "label": "confidence 0.4 (HF)"},
    "min_probability": {"color": "#D55E00", "marker": "o", "label": "p-min 0.75 (llama.cpp)"},
}


def phase_diagram(table: Table, ax: Any, *, marked: float | None = None, most: int | None = None) -> Any:
    """Best draft length as a map: batch size along x, acceptance rate along y, the length written where it holds.

    Parameters
    ----------
    table : Table
        Columns ``batch_size``, ``acceptance``, ``length``: a full grid.
    ax : matplotlib axes
    marked : float, optional
        Acceptance rate to draw a line at.
    most : int, optional
        Largest length of the colour scale; default the largest in the table.

    Returns
    -------
    The same axes.
    """
    from matplotlib.colors import BoundaryNorm

    batches, rates = (sorted(set(table.column(name))) for name in ("batch_size", "acceptance"))
    grid = np.zeros((len(rates), len(batches)), dtype=int)
    for row in table.rows:
        grid[rates.index(row["acceptance"]), batches.index(row["batch_size"])] = row["length"]
    most = int(grid.max()) if most is None else most
    x = np.log2(batches)
    ax.pcolormesh(x, rates, grid, cmap="cividis", norm=BoundaryNorm(np.arange(most + 2) - 0.5, 256), shading="nearest",
                  rasterized=True)
    for length in range(most + 1):
        spot = _inside(grid == length, rates, marked)
        if spot is not None:
            ax.text(x[spot[1]], rates[spot[0]], "0: no drafts" if length == 0 else str(length), ha="center",
                    va="center", fontsize=8, color="white" if length < 0.6 * most else "black")
    if marked is not None:
        ax.axhline(marked, color="white", linestyle="--", linewidth=1.0)
    whole = range(int(x[0]), int(x[-1]) + 1)
    ax.set_xticks(whole, [str(2**power) for power in whole])
    ax.grid(False)
    ax.set(xlabel="batch size (texts)", ylabel="acceptance rate of a draft")
    return ax


def _inside(region: np.ndarray, rates: list[float], marked: float | None) -> tuple[int, int] | None:
    """Cell of a region that is furthest from its edge; None where there is no room for a number."""
    from scipy.ndimage import distance_transform_edt

    depth = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1]
    if marked is not None:  # the line must not run through the number
        depth[np.abs(np.array(rates) - marked) < 0.035 * (rates[-1] - rates[0])] = 0
    if region.sum() < 0.01 * region.size or not depth.any():
        return None
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return int(row), int(column)


def speedup_of_policies(table: Table, ax: Any) -> Any:
    """Tokens per unit cost of every policy, over those of sampling from the target alone, against the draft's cost.

    Parameters
    ----------
    table : Table
        Columns ``policy``, ``draft_cost``, ``speedup``, ``speedup_stderr``.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for policy, style in SERIES.items():
        rows = sorted(table.where(policy=policy).rows, key=lambda row: row["draft_cost"])
        if rows:
            ax.errorbar([row["draft_cost"] for row in rows], [row["speedup"] for row in rows],
                        [row["speedup_stderr"] for row in rows], elinewidth=0.6, **style)
    ax.axhline(1.0, color=INK, linewidth=0.8)
    ax.set_xscale("log")
    costs = sorted(set(table.column("draft_cost")))
    ax.set_xticks(costs, [f"{cost:g}" for cost in costs])
    ax.minorticks_off()
    ax.set(xlabel="cost of a draft step (target calls)", ylabel="tokens per unit cost\n(plain sampling = 1)")
    return ax
