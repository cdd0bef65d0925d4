"""Time of one optimal draw against the size of the problem, above the cost of one sort."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import INK

SERIES = {
    "WithReplacement": {"color": "#000000", "marker": "*", "label": "with replacement"},
    "WithoutReplacement": {"color": "#0072B2", "marker": "v", "label": "without replacement"},
}
FLOOR = {"color": INK, "linestyle": "--", "label": "one stable sort of the vocabulary"}


def growth_in_vocabulary(table: Table, ax: Any, *, k: int = 8) -> Any:
    """Milliseconds of one draw with ``k`` drafts against the vocabulary, both on logarithmic axes.

    Parameters
    ----------
    table : Table
        Columns ``vocabulary``, ``what``, ``scheme``, ``k``, ``median_ms``.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    floor = [row for row in table.rows if row["what"] == "stable_argsort"]
    sizes = {row["vocabulary"]: row["median_ms"] for row in floor}
    ax.plot(list(sizes), list(sizes.values()), **FLOOR)
    for scheme, style in SERIES.items():
        rows = [row for row in table.rows if row["scheme"] == scheme and row["k"] == k]
        rows = [row for i, row in enumerate(rows) if row["vocabulary"] not in [r["vocabulary"] for r in rows[:i]]]
        ax.plot([row["vocabulary"] for row in rows], [row["median_ms"] for row in rows], **style)
    ax.set(xscale="log", yscale="log", xlabel="vocabulary V (tokens)", ylabel="time per draw (ms, median)",
           title=f"{k} drafts")
    return ax


def growth_in_drafts(table: Table, ax: Any, *, vocabulary: int = 151_936) -> Any:
    """Milliseconds of one draw at one vocabulary against the number of drafts."""
    rows = [row for row in table.rows if row["vocabulary"] == vocabulary]
    floor = next(row["median_ms"] for row in rows if row["what"] == "stable_argsort")
    ax.axhline(floor, **FLOOR)
    for scheme, style in SERIES.items():
        found = {row["k"]: row["median_ms"] for row in rows if row["scheme"] == scheme}
        drafts = sorted(found)
        ax.plot(drafts, [found[k] for k in drafts], **style)
    ax.set(xscale="log", yscale="log", xlabel="number of drafts k", title=f"V = {vocabulary:,}")
    ax.set_xticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
    ax.minorticks_off()
    return ax
