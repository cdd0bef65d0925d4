"""Figure of decoding runs: tokens per target call as measured, beside what the laws of the same run predict."""

from __future__ import annotations

import itertools
from typing import Any

from otspec.core.estimate import critical
from otspec.core.table import Table
from otspec.plots.style import INK

Axes = Any
MEASURED, MISSED = "#0072B2", "#D55E00"
BARS = 4  # standard errors


def predicted_vs_measured(table: Table, ax: Axes) -> Axes:
    """One line per decoding run: prediction (open diamond) and measurement with four standard errors around it.

    Lines that share a drafter stand together, the drafters and the lines of each from few tokens to many.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``run`` (label), ``measured``, ``predicted``, ``difference_stderr``, and if there are any
        ``drafter`` and ``sequences`` (without it the errors count as known). The bar is missed as rarely as four
        standard errors of a normal law: it is wider where the sequences are few (Student's t).
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    rows = ordered(table)
    labels = [f"measured ± {BARS} standard errors (Student's t)", "predicted from the laws of the run"]
    for place, row in enumerate(rows):
        ax.errorbar(row["measured"], place, xerr=_bar(row), label=labels[0] if place == 0 else None, **_look(row))
        ax.plot(row["predicted"], place, "D", ms=7, mfc="none", mec=INK, mew=0.9, zorder=4,
                label=labels[1] if place == 0 else None)
    _separate(rows, ax)
    ax.set_yticks(range(len(rows)), [row["run"] for row in rows])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlabel("tokens per target call")
    return ax


def differences(table: Table, ax: Axes) -> Axes:
    """Measured minus predicted tokens per target call, in the order of `predicted_vs_measured`, beside a line at zero.

    The title counts the bars that cover zero; the others are orange.

    Parameters
    ----------
    table : Table
        As in `predicted_vs_measured`.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    rows = ordered(table)
    ax.axvline(0.0, color=INK, linewidth=0.8, zorder=1)
    for place, row in enumerate(rows):
        ax.errorbar(row["measured"] - row["predicted"], place, xerr=_bar(row), **_look(row))
    _separate(rows, ax)
    widest = max(map(abs, ax.get_xlim()))
    ax.set_xlim(-widest, widest)
    ax.locator_params(axis="x", nbins=4)
    ax.set_xlabel("measured − predicted")
    ax.set_title(f"{sum(map(_covers, rows))} of {len(rows)} bars cover zero")
    return ax


def ordered(table: Table) -> list[dict[str, Any]]:
    """Rows by drafter, the drafters by their lowest prediction, then by prediction.

    Examples
    --------
    >>> rows = [{"drafter": of, "predicted": value} for of, value in (("tree", 2.0), ("chain", 3.0), ("tree", 4.0))]
    >>> [row["predicted"] for row in ordered(Table(rows))]
    [2.0, 4.0, 3.0]
    """
    lowest: dict[Any, float] = {}
    for row in table.rows:
        drafter = row.get("drafter")
        lowest[drafter] = min(row["predicted"], lowest.get(drafter, float("inf")))
    return sorted(table.rows, key=lambda row: (lowest[row.get("drafter")], str(row.get("drafter")), row["predicted"]))


def _bar(row: dict[str, Any]) -> float:
    return critical(BARS, row["sequences"] - 1 if "sequences" in row else None) * row["difference_stderr"]


def _covers(row: dict[str, Any]) -> bool:
    return abs(row["measured"] - row["predicted"]) <= _bar(row)


def _look(row: dict[str, Any]) -> dict[str, Any]:
    colour = MEASURED if _covers(row) else MISSED
    return {"linestyle": "none", "marker": "o", "color": colour, "elinewidth": 1.2, "capsize": 2, "markersize": 4,
            "zorder": 3}


def _separate(rows: list[dict[str, Any]], ax: Axes) -> None:
    """Rule off the lines of one drafter from those of the next."""
    ax.grid(axis="y", visible=False)
    for place, (row, other) in enumerate(itertools.pairwise(rows)):
        if row.get("drafter") != other.get("drafter"):
            ax.axhline(place + 0.5, color="#BBBBBB", linewidth=0.6, zorder=0)
