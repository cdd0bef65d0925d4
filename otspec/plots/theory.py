"""Figures of the theory: the convex-hull sampler, and how far rules can fall below the optimum."""

from __future__ import annotations

import itertools
from typing import Any

from otspec.core.table import Table
from otspec.plots.layout import dark
from otspec.plots.style import INK, OPTIMUM, rule_style

Axes = Any
CAPACITY, TARGET, HULL, WINNER = "#D55E00", "#56B4E9", "#0072B2", "#009E73"


def winner_curves(table: Table, ax: Axes) -> Axes:
    """Capacity, winner law and target, cumulated over the tokens in the order of target/draft.

    Parameters
    ----------
    table : Table
        Columns ``x``, ``capacity``, ``winner``, ``target``; a row for every knot. Note ``k``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    k = table.metadata["k"]
    for column, text, style in (
            ("winner", "F: the winner is to the left", {"color": OPTIMUM["color"], "marker": "o"}),
            ("target", "the target's token is to the left", {"color": TARGET, "marker": "^"}),
            ("capacity", f"c: all {k} drafts are to the left", {"color": CAPACITY, "marker": "s"})):
        ax.plot(table.column("x"), table.column(column), markersize=3, label=text, **style)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="draft law, cumulated by target/draft", ylabel="probability")
    ax.legend(loc="upper left", borderaxespad=0.2)
    return ax


def hull_cells(table: Table, ax: Axes) -> Axes:
    """Lower hull of F - T c, the cells below it, the drafts on it, and the cell that wins.

    Parameters
    ----------
    table : Table
        Columns ``x``, ``level`` (F - T c), ``vertex``, ``drafts`` (copies of the token right of the knot), ``wins``.
        Note ``T``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    x, level = table.column("x"), table.column("level")
    corners = [row["x"] for row in table.rows if row["vertex"]]
    span = max(level) - min(level)
    ax.vlines(corners, min(level) - 0.5 * span, max(level) + span, color="#BBBBBB", linewidth=0.6, zorder=0)
    won = [row["x"] for row in table.rows if row["wins"]]
    end = min((corner for corner in corners if corner > max(won)), default=1.0)
    ax.axvspan(min(won), end, color=WINNER, alpha=0.15, lw=0)
    ax.plot(x, level, "o", color=INK, markersize=3, zorder=3, label="F − T c")
    ax.plot(corners, [row["level"] for row in table.rows if row["vertex"]], color=HULL, zorder=2, label="lower hull")
    for row, after in itertools.pairwise(table.rows):
        if row["drafts"]:
            ax.plot(0.5 * (row["x"] + after["x"]), min(level) - 0.2 * span, "v", markersize=6,
                    color=WINNER if row["wins"] else "#999999")
    ax.plot([], [], "v", color="#999999", label="draft")
    ax.annotate("one of these\ndrafts wins", (0.5 * (min(won) + end), min(level) - 0.2 * span), xytext=(0, 11),
                textcoords="offset points", ha="center", fontsize=7.5, color=dark(WINNER))
    ax.set(xlim=(0, 1), ylim=(min(level) - 0.4 * span, max(level) + 0.08 * span),
           xlabel="tokens by target/draft, as wide as their draft mass",
           ylabel=f"F − T c at T = {float(table.metadata['T']):g}")
    ax.legend(loc="upper left", borderaxespad=0.2)
    return ax


def worst_ratio(table: Table, ax: Axes) -> Axes:
    """Acceptance over the optimum on the worst laws found, against the number of drafts; dashed: the promise.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``k``, ``ratio``, ``bound`` (None: none is known).
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    ax.axhline(1.0, color=OPTIMUM["color"], lw=2.4, alpha=0.35)
    for rule in dict.fromkeys(table.column("rule")):
        rows, style = table.where(rule=rule).rows, rule_style(rule)
        ax.plot([row["k"] for row in rows], [row["ratio"] for row in rows], label=rule, **style)
    promises: dict[tuple[float, ...], list[str]] = {}
    for rule in dict.fromkeys(table.column("rule")):
        promised = tuple(row["bound"] for row in table.where(rule=rule).rows)
        if None not in promised:
            promises.setdefault(promised, []).append(rule)
    for bounds, rules in promises.items():
        ks = [row["k"] for row in table.where(rule=rules[0]).rows]
        colour = rule_style(rules[0])["color"] if len(rules) == 1 else INK
        ax.plot(ks, bounds, "--", color=colour, label=f"promise of {rules[0]}" if len(rules) == 1 else "promise 1/k")
    ks = sorted(set(table.column("k")))
    ax.set_xscale("log", base=2)
    ax.set_xticks(ks, [str(k) for k in ks])
    ax.minorticks_off()
    ax.set(ylim=(0, 1.04), xlabel="number of drafts k", ylabel="acceptance / optimum, worst laws found")
    return ax
