"""Figures of acceptance: against the number of drafts, over contexts, and rule by rule."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.palette import TONES
from otspec.plots.style import INK, OPTIMUM, rule_style, type_on

Axes = Any
SCHEME_NAMES = {"WithReplacement": "with replacement", "WithoutReplacement": "without replacement",
                "Greedy": "greedy drafts", "Hub": "SpecHub drafts", "Hybrid": "hybrid drafts"}
DASHES = ("-", "--", ":", "-.")


def scheme_name(name: str) -> str:
    """Return a scheme's class name in words."""
    return SCHEME_NAMES.get(name, name)


def acceptance_vs_k(table: Table, ax: Axes) -> Axes:
    """Mean acceptance of every rule against the number of drafts, under the optimum of its scheme.

    Parameters
    ----------
    table : Table
        Columns ``scheme``, ``k``, ``rule``, ``acceptance`` (None: not computed), ``stderr``, ``optimum``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    schemes = list(dict.fromkeys(table.column("scheme")))
    named: set[str] = set()
    for dashes, scheme in zip(DASHES * len(schemes), schemes, strict=False):
        part = table.where(scheme=scheme)
        optimum = dict(sorted(zip(part.column("k"), part.column("optimum"), strict=True)))
        label = "optimum" if len(schemes) == 1 else f"optimum, {scheme_name(scheme)}"
        ax.plot(list(optimum), list(optimum.values()), dashes, color=OPTIMUM["color"], lw=2.4, alpha=0.35, label=label,
                marker="o" if len(optimum) == 1 else None, markersize=9, mew=0, zorder=2)  # a halo
        for rule in dict.fromkeys(part.column("rule")):
            rows = [row for row in part.where(rule=rule).rows if row["acceptance"] is not None]
            if rows:
                _line(ax, sorted(rows, key=lambda row: row["k"]), rule, dashes, None if rule in named else rule)
                named.add(rule)
    ticks = sorted(set(table.column("k")))
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [str(k) for k in ticks])
    ax.minorticks_off()
    ax.set_xlim(min(ticks) / 1.15, max(ticks) * 1.15)
    ax.set_xlabel("number of drafts k")
    ax.set_ylabel("mean acceptance Pr[token is a draft]")
    return ax


def _line(ax: Axes, rows: list[dict[str, Any]], rule: str, dashes: str, label: str | None) -> None:
    lone = len(rows) == 1
    ax.errorbar([row["k"] for row in rows], [row["acceptance"] for row in rows],
                yerr=[2 * (row["stderr"] or 0.0) for row in rows], linestyle="none" if lone else dashes,
                label=label, capsize=0, elinewidth=0.8, zorder=3 if rule == "optimal" else 4, **rule_style(rule))


def gap_by_context(table: Table, ax: Axes) -> Axes:
    """Share of contexts in which a rule lies within a given distance of the optimum, one curve per rule.

    Parameters
    ----------
    table : Table
        One row per context and rule: columns ``rule``, ``gap`` (optimum minus acceptance) and ``method``; dashed
        where the acceptance was sampled.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    for rule in dict.fromkeys(table.column("rule")):
        part = table.where(rule=rule)
        gaps = np.sort(np.asarray(part.column("gap"), dtype=np.float64))
        share = np.arange(1, gaps.size + 1) / gaps.size
        sampled = "sampled" in part.column("method")
        every = max(1, gaps.size // 8)
        ax.plot(gaps, share, "--" if sampled else "-",
                label=f"{rule} (sampled)" if sampled else rule, drawstyle="steps-post",
                markevery=(every // 2, every), **rule_style(rule))
    widest = sorted(max(table.where(rule=rule).column("gap")) for rule in dict.fromkeys(table.column("rule")))
    # the worst rule may leave the frame, so that the others can be told apart
    ax.set_xlim(right=1.1 * widest[-2] if len(widest) > 2 else None)
    ax.set_ylim(0, 1.02)
    ax.set_xlabel("optimum − acceptance")
    ax.set_ylabel("share of contexts")
    return ax


DRAFTS = {"without": ("without replacement", OPTIMUM["color"], "-"),
          "with": ("with replacement", OPTIMUM["color"], "--"),
          "hybrid": ("top 1 + draws", TONES["blue"], "-"),
          "greedy": ("top k−1 + a draw", rule_style("greedy")["color"], "-")}


def acceptance_vs_temperature(table: Table, ax: Axes) -> Axes:
    """Mean acceptance against temperature: the optimum of each kind of drafts, and published rules.

    Parameters
    ----------
    table : Table
        Columns ``drafts`` (one of `DRAFTS`), ``rule`` (``"optimum"`` or a name), ``temperature``, ``acceptance``,
        ``monte_carlo`` (standard error of sampled drafts).
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    for drafts, (label, colour, dashes) in DRAFTS.items():
        rows = table.where(drafts=drafts, rule="optimum").rows
        ax.plot([row["temperature"] for row in rows], [row["acceptance"] for row in rows], dashes, color=colour,
                label=label)
    for rule in dict.fromkeys(table.column("rule")):
        if rule != "optimum":
            rows = table.where(rule=rule).rows
            ax.errorbar([row["temperature"] for row in rows], [row["acceptance"] for row in rows],
                        [2 * row["monte_carlo"] for row in rows], elinewidth=0.8, markersize=3, label=rule,
                        **rule_style(rule))
    ax.locator_params(axis="x", steps=[1, 2, 4, 10])
    ax.set(xlabel="temperature of both models", ylabel="mean acceptance Pr[token is a draft]")
    return ax


def compare(table: Table, ax: Axes) -> Axes:
    """Bars of acceptance, best rule on top, with the optimum as a line.

    Parameters
    ----------
    table : Table
        Of `otspec.compare`: one scheme, columns ``rule``, ``acceptance``, ``stderr``, ``optimum``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    rows = sorted((row for row in table.rows if row["acceptance"] is not None), key=lambda row: row["acceptance"])
    for place, row in enumerate(rows):
        colour = rule_style(row["rule"])["color"]
        ax.barh(place, row["acceptance"], xerr=2 * row["stderr"] or None, height=0.65, color=colour,
                error_kw={"elinewidth": 0.8, "ecolor": INK})
        ax.annotate(f"{row['acceptance']:.3f}", (0, place), xytext=(3, 0), textcoords="offset points", va="center",
                    color=type_on(colour), fontweight="bold", fontsize=7)
    optimum = rows[0]["optimum"]
    ax.axvline(optimum, color=OPTIMUM["color"], lw=1.2, ls="--")
    ax.annotate(f"optimum {optimum:.3f}", (optimum, len(rows) - 0.45), xytext=(-3, 0), textcoords="offset points",
                ha="right", va="bottom", fontsize=7)
    ax.set_yticks(range(len(rows)), [row["rule"] for row in rows])
    ax.set_ylim(-0.6, len(rows) + 0.1)
    ax.set_xlim(0, 1)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel("mean acceptance Pr[token is a draft]")
    return ax
