"""Figure of decoding runs: tokens per target call as measured, beside what the laws of the same run predict."""

from __future__ import annotations

from typing import Any

from otspec.core.estimate import critical
from otspec.core.table import Table
from otspec.plots.style import INK, rule_style

Axes = Any


def predicted_vs_measured(table: Table, ax: Axes) -> Axes:
    """One line per decoding run: prediction (open diamond) and measurement with four standard errors around it.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``run`` (label), ``measured``, ``predicted``, ``difference_stderr``, and ``sequences``
        (without it the errors count as known). The bar is missed as rarely as four standard errors of a normal law: it
        is wider where the sequences are few (Student's t).
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    rows = sorted(table.rows, key=lambda row: row["predicted"])
    for place, row in enumerate(rows):
        style = rule_style(row["rule"])
        dof = row["sequences"] - 1 if "sequences" in row else None
        ax.errorbar(row["measured"], place, xerr=critical(4, dof) * row["difference_stderr"], linestyle="none",
                    elinewidth=1.2, capsize=2, markersize=4.5, zorder=3,
                    label="measured ± 4 standard errors (Student's t)" if place == 0 else None, **style)
        ax.plot(row["predicted"], place, "D", ms=7, mfc="none", mec=INK, mew=0.9, zorder=4,
                label="predicted from the laws of the run" if place == 0 else None)
    ax.set_yticks(range(len(rows)), [row["run"] for row in rows])
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlabel("tokens per target call")
    return ax


def differences(table: Table, ax: Axes) -> Axes:
    """Measured minus predicted tokens per target call, in the order of `predicted_vs_measured`, beside a line at zero.

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
    ax.axvline(0.0, color=INK, linewidth=0.8, zorder=1)
    for place, row in enumerate(sorted(table.rows, key=lambda row: row["predicted"])):
        dof = row["sequences"] - 1 if "sequences" in row else None
        ax.errorbar(row["measured"] - row["predicted"], place, xerr=critical(4, dof) * row["difference_stderr"],
                    linestyle="none", elinewidth=1.2, capsize=2, markersize=4.5, zorder=3, **rule_style(row["rule"]))
    ax.locator_params(axis="x", nbins=5)
    ax.set_xlabel("measured − predicted tokens per target call")
    return ax
