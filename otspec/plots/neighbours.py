"""Figures of the neighbouring systems: Jacobi iteration, lists decoded in parallel, best-of-n, blockwise heads."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import COLOURS, INK, MARKERS

# colour and marker by name, the same in every panel
JACOBI = {"independent": (1, "fresh redraw"), "maximal": (4, "maximal coupling"), "gumbel": (3, "Gumbel coupling"),
          "random": (4, "random token"), "repeat": (5, "repeat the last"), "draft": (6, "draft model")}


def line(place: int) -> dict[str, str]:
    """Colour and marker by place, as keyword arguments of ``ax.plot``."""
    return {"color": COLOURS[place], "marker": MARKERS[place]}


def jacobi_vs_window(table: Table, ax: Any, *, by: str = "coupling") -> Any:
    """Target calls per token against the window, with bars of one standard error, above the floor 1/(W+1).

    Parameters
    ----------
    table : Table
        Columns ``window``, ``calls_per_token``, ``stderr``, and the one named by ``by``.
    ax : matplotlib axes
    by : {"coupling", "fill"}

    Returns
    -------
    The same axes.
    """
    windows = sorted(set(table.column("window")))
    for name in dict.fromkeys(table.column(by)):
        part, (place, label) = table.where(**{by: name}), JACOBI[name]
        ax.errorbar(part.column("window"), part.column("calls_per_token"), part.column("stderr"), elinewidth=0.8,
                    label=label, **line(place))
    ax.plot(windows, [1 / (window + 1) for window in windows], "--", color=INK, label="every draft kept")
    ax.set(xscale="log", xlabel="window W (tokens)", ylabel="target calls per token", ylim=(0, 1.02))
    ax.set_xticks(windows, [str(window) for window in windows])
    ax.minorticks_off()
    return ax
