"""Figure of the planner: what a budget of drafted tokens buys under each family of drafts and rule."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import COLOURS, INK, WIDTH, context

Axes = Any
#: one look for each family: colour, marker, and whether the planner may recommend it
LOOKS = {
    "heap": ("calibrated heap, Traversal", COLOURS[5], "P", "-"),
    "split": ("budget split, Traversal", COLOURS[6], "X", "-"),
    "tree": ("fitted tree, Traversal", COLOURS[4], "s", "-"),
    "lookahead": ("K paths, look-ahead", COLOURS[3], "D", "-"),
    "winner": ("K paths, winner + block", COLOURS[2], "^", "-"),
    "chain": ("chain, block", COLOURS[1], "o", "-"),
    "sequoia": ("Sequoia", INK, "v", "--"),
    "token_wise": ("chain, token by token", COLOURS[0], "<", "--"),
}
QUANTITIES = {"tokens": ("stderr", "tokens per target call"), "speedup": ("speedup_stderr", "speed-up over plain "
                                                                                             "sampling")}


def budget_curves(table: Table, ax: Axes, *, quantity: str = "tokens") -> Axes:
    """Best of each family against the budget, two standard errors around the fastest, the limit above.

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
    error, label = QUANTITIES[quantity]
    families = set(table.column("family"))
    shown = [name for name in LOOKS if name in families]
    best = max((name for name in shown if LOOKS[name][3] == "-"),
               key=lambda name: table.where(family=name).rows[-1]["speedup"], default=None)
    for name in shown:
        rows = table.where(family=name).rows
        text, colour, marker, line = LOOKS[name]
        at, values = ([row[key] for row in rows] for key in ("budget", quantity))
        ax.plot(at, values, line, color=colour, marker=marker, label=text, lw=1.8 if name == best else 1.0,
                ms=4 if name == best else 3, zorder=4 if name == best else 3)
        if name == best:
            ax.fill_between(at, [row[quantity] - 2 * row[error] for row in rows],
                            [row[quantity] + 2 * row[error] for row in rows], color=colour, alpha=0.15, lw=0)
    if "limit" in families:
        limit = table.where(family="limit")
        ax.plot(limit.column("budget"), limit.column(quantity), ":", color=INK, lw=1.2,
                label="limit of any rule on K paths", zorder=2)
    budgets = sorted(set(table.column("budget")))
    ax.set_xscale("log", base=2)
    ax.set_xticks(budgets, [str(budget) for budget in budgets])
    ax.minorticks_off()
    ax.set_ylim(bottom=1.0)
    ax.set_xlabel("budget: drafted tokens per call")
    ax.set_ylabel(label)
    return ax


def budget_figure(table: Table, title: str | None = None) -> Any:
    """Both quantities side by side, the answer above and one legend below.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.figure import Figure

    with context():
        figure = Figure(figsize=(2 * WIDTH, 3.5), layout="constrained")
        left, right = figure.subplots(1, 2)
        budget_curves(table, left)
        budget_curves(table, right, quantity="speedup")
        if title:
            figure.suptitle(title, fontsize=9)
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure
