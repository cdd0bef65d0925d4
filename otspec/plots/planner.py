"""Figure of the planner: what a budget of drafted tokens buys under each family of drafts and rule."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.layout import legend_below, panels
from otspec.plots.palette import TONES
from otspec.plots.style import INK, context, rule_style

Axes = Any
#: label, the rule whose look the family has, and whether the planner may recommend it (a full line); of the three
#: that Traversal judges, one has its look and the others the marker and tone of what they are drawn by
LOOKS = {
    "heap": ("calibrated heap, Traversal", {"color": TONES["vermilion"], "marker": "P"}, "-"),
    "split": ("budget split, Traversal", {"color": TONES["amber"], "marker": "X"}, "-"),
    "tree": ("fitted tree, Traversal", rule_style("traversal"), "-"),
    "scores": ("K paths, scores + block", rule_style("score_block"), "-"),
    "lookahead": ("K paths, look-ahead", rule_style("lookahead_block"), "-"),
    "winner": ("K paths, winner + block", rule_style("winner_block"), "-"),
    "chain": ("chain, block", rule_style("block"), "-"),
    "sequoia": ("Sequoia", {"color": TONES["brown"], "marker": "v"}, "--"),
    "token_wise": ("chain, token by token", rule_style("token_wise"), "--"),
}
QUANTITIES = {"tokens": ("stderr", "tokens per target call"), "speedup": ("speedup_stderr", "speed-up over plain "
                                                                                             "sampling")}


def budget_curves(table: Table, ax: Axes, *, quantity: str = "tokens") -> Axes:
    """Best of each family against the budget, two standard errors around the fastest, the limit above.

    Of a single budget there are no curves: each family is a line of its own, two standard errors to each side.

    Parameters
    ----------
    table : Table
        Columns ``budget``, ``family`` (one of `LOOKS`, or ``"limit"``), ``tokens``, ``stderr``, ``speedup``,
        ``speedup_stderr``.
    ax : matplotlib.axes.Axes
    quantity : {"tokens", "speedup"}

    Returns
    -------
    Axes
        The axes given.
    """
    if len(set(table.column("budget"))) == 1:
        return _one_budget(table, ax, quantity)
    error, label = QUANTITIES[quantity]
    families = set(table.column("family"))
    shown = [name for name in LOOKS if name in families]
    best = max((name for name in shown if LOOKS[name][2] == "-"),
               key=lambda name: table.where(family=name).rows[-1]["speedup"], default=None)
    for name in shown:
        rows = table.where(family=name).rows
        text, look, line = LOOKS[name]
        at, values = ([row[key] for row in rows] for key in ("budget", quantity))
        ax.plot(at, values, linestyle=line, label=text, lw=1.8 if name == best else 1.0,
                ms=4 if name == best else 3, zorder=4 if name == best else 3, **look)
        if name == best:
            ax.fill_between(at, [row[quantity] - 2 * row[error] for row in rows],
                            [row[quantity] + 2 * row[error] for row in rows], color=look["color"], alpha=0.15, lw=0)
    if "limit" in families:
        limit = table.where(family="limit")
        ax.plot(limit.column("budget"), limit.column(quantity), ":", color=INK, lw=1.2,
                label="limit of any rule on K paths", zorder=2)
        top = 1.08 * max(limit.column(quantity))
        ax.fill_between(limit.column("budget"), limit.column(quantity), top, color="#EEEEEE", lw=0, zorder=0)
        ax.set_ylim(top=top)
    budgets = sorted(set(table.column("budget")))
    ax.set_xscale("log", base=2)
    ax.set_xticks(budgets, [str(budget) for budget in budgets])
    ax.minorticks_off()
    ax.set_ylim(bottom=1.0)
    ax.set_xlabel("budget: drafted tokens per call")
    ax.set_ylabel(label)
    return ax


def _one_budget(table: Table, ax: Axes, quantity: str) -> Axes:
    """Families from the slowest to the fastest, named at the axis."""
    error, label = QUANTITIES[quantity]
    rows = sorted((row for row in table.rows if row["family"] in LOOKS), key=lambda row: row[quantity])
    for place, row in enumerate(rows):
        ax.errorbar(row[quantity], place, xerr=2 * (row[error] or 0.0), ls="none", elinewidth=0.8,
                    **LOOKS[row["family"]][1])
    for row in table.where(family="limit").rows:
        ax.axvline(row[quantity], color=INK, ls=":", lw=1.2, label="limit of any rule on K paths")
    ax.set_yticks(range(len(rows)), [LOOKS[row["family"]][0] for row in rows])
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel(f"{label}\n{rows[0]['budget']} drafted (± 2 s.e.)")
    return ax


def budget_figure(table: Table, title: str | None = None) -> Any:
    """Both quantities side by side, the answer above and one legend below.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with context():
        lone = len(set(table.column("budget"))) == 1  # its names stand at the axis and need the width
        figure, (left, right) = panels(2, height=2.2 if lone else 3.7, columns=1 if lone else 2)
        budget_curves(table, left)
        budget_curves(table, right, quantity="speedup")
        if title:
            figure.suptitle(title, fontsize=8.5, wrap=True)
        legend_below(figure, [left], columns=2)
    return figure
