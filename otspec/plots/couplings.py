"""Figures of couplings: agreement of all of them, bits of the protocol, strength of a watermark."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.style import INK, OPTIMUM, rule_style

Axes = Any
LABELS = {("gumbel", 1): "gumbel, poisson", ("gumbel", 4): "gumbel, first 4 of the race",
          ("list_gumbel", 4): "list_gumbel, 4 sheets", ("communicated", 1): "communicated, ε = 0.05",
          ("entropy", 1): "entropy (both laws known)"}


def agreement_of_couplings(table: Table, ax: Axes) -> Axes:
    """Agreement of every coupling against total variation, between the bounds of one draft.

    Parameters
    ----------
    table : Table
        Columns ``coupling``, ``drafts``, ``tv``, ``agreement``. Lists are drawn hollow: the bounds are not theirs.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    grid = np.linspace(0, 1, 201)
    ax.fill_between(grid, (1 - grid) / (1 + grid), 1 - grid, color="#EEEEEE", lw=0, zorder=1)
    for name, drafts in dict.fromkeys(zip(table.column("coupling"), table.column("drafts"), strict=True)):
        part, style = table.where(coupling=name, drafts=drafts), rule_style(name)
        hollow = {"mfc": "none", "mew": 0.8} if drafts > 1 else {"mew": 0}
        ax.plot(part.column("tv"), part.column("agreement"), ls="none", ms=2.8, alpha=0.75, zorder=3,
                label=LABELS.get((name, drafts), name), **style, **hollow)
    ax.plot(grid, 1 - grid, "-", color=OPTIMUM["color"], zorder=4, label="1 − TV: ceiling, maximal")
    ax.plot(grid, (1 - grid) / (1 + grid), "--", color=OPTIMUM["color"], zorder=4, label="(1 − TV)/(1 + TV): promise")
    ax.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="TV of target and draft law",
           ylabel="Pr[target's token was drafted]")
    return ax


def _series(table: Table) -> list[tuple[str, Table, dict[str, Any]]]:
    """Name, rows and style of every kind of laws."""
    names = list(dict.fromkeys(table.column("laws")))
    styles = ({"color": "#0072B2", "marker": "o"}, {"color": "#D55E00", "marker": "s"})
    return [(name, table.where(laws=name), style) for name, style in zip(names, styles, strict=False)]


def bits_against_epsilon(table: Table, ax: Axes) -> Axes:
    """Expected bits of the protocol against epsilon, below their bound.

    Parameters
    ----------
    table : Table
        Columns ``laws``, ``epsilon``, ``bits``, ``bound``.
    ax : matplotlib axes
    """
    for name, part, style in _series(table):
        ax.plot(part.column("epsilon"), part.column("bits"), ls="-", ms=3, label=name, **style)
        ax.plot(part.column("epsilon"), part.column("bound"), ls="--", color=style["color"])
    ax.plot([], [], "--", color=INK, label="bound 2 log₂V + 2 log₂(V/ε) + 7; ε on the right")
    ax.set(xscale="log", ylim=(0, None), xlabel="agreement that may be lost, ε", ylabel="expected bits per token")
    ax.set_xticks([1e-6, 1e-4, 1e-2, 1])
    ax.minorticks_off()
    return ax


def loss_against_epsilon(table: Table, ax: Axes) -> Axes:
    """Agreement that is lost against what may be lost."""
    for name, part, style in _series(table):
        positive = [row for row in part.rows if row["lost"] > 0]
        ax.plot([row["epsilon"] for row in positive], [row["lost"] for row in positive], ls="-", ms=3, label=name,
                **style)
    ends = [min(table.column("epsilon")), max(table.column("epsilon"))]
    ax.plot(ends, ends, "--", color=INK, label="ε")
    ax.set(xscale="log", yscale="log", xlabel="agreement that may be lost, ε",
           ylabel="agreement lost, 1 − TV − Pr[same]")
    ax.set_xticks([1e-6, 1e-4, 1e-2, 1])
    ax.minorticks_off()
    return ax


def strength_against_acceptance(table: Table, ax: Axes) -> Axes:
    """Score per token of a watermark against the acceptance of one draft; lines mix two ways position by position.

    Parameters
    ----------
    table : Table
        Columns ``what`` (``plain``, ``keyed``, ``gumbel``), ``acceptance``, ``strength``.
    ax : matplotlib axes
    """
    ends = {row["what"]: (row["acceptance"], row["strength"]) for row in table.rows}
    ax.plot(*zip(ends["plain"], ends["gumbel"], strict=True), ":", color=INK)
    ax.plot(*zip(ends["keyed"], ends["gumbel"], strict=True), "-", color="#0072B2")
    for what, text, at, marker, colour in (
            ("gumbel", "shared race (gumbel): text is a\nfunction of key and target", (-4, 7), "o",
             rule_style("gumbel")["color"]),
            ("keyed", "keyed\nrejection", (-38, -23), "s", "#0072B2"),
            ("plain", "plain\nrejection", (-62, 0), "^", INK)):
        ax.plot(*ends[what], marker, color=colour, ms=6)
        ax.annotate(text, ends[what], xytext=at, textcoords="offset points", fontsize=7.5)
    left, right = ends["gumbel"][0], ends["plain"][0]
    ax.set(xlim=(left - 0.15 * (right - left), right + 0.12 * (right - left)),
           ylim=(-0.05 * ends["gumbel"][1], 1.25 * ends["gumbel"][1]), title="one draft",
           xlabel="acceptance of one draft", ylabel="score per token above\na text without the key (nats)")
    return ax


def lists_against_drafts(table: Table, ax: Axes) -> Axes:
    """Acceptance of lists against the number of drafts, below the optimum of those who know both laws.

    Parameters
    ----------
    table : Table
        Columns ``what``, ``drafts``, ``acceptance``.
    ax : matplotlib axes
    """
    kinds = {"WithoutReplacement": ("optimum, without replacement", {"color": "#000000", "ls": "--", "marker": ""}),
             "gumbel": ("first k of one race", {**rule_style("gumbel"), "ls": "-"}),
             "WithReplacement": ("optimum, with replacement", {"color": "#777777", "ls": ":", "marker": ""}),
             "list_gumbel": ("k sheets of clocks", {**rule_style("list_gumbel"), "ls": "-"})}
    for what, (label, style) in kinds.items():
        part = table.where(what=what)
        ax.plot(part.column("drafts"), part.column("acceptance"), label=label, **style)
    drafts = sorted(set(table.column("drafts")))
    ax.set(xscale="log", ylim=(0.4, 1.0), xlabel="number of drafts k", ylabel="acceptance at the first position",
           title="lists of drafts")
    ax.set_xticks(drafts, [str(k) for k in drafts])
    ax.minorticks_off()
    return ax
