"""Sequence-level rules: tokens per target call against the draft length, beside the optimum, and beside each other."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import INK, rule_style


def efficiency_vs_length(table: Table, ax: Any) -> Any:
    """Tokens per target call of every rule against the draft length, with bars of one standard error.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``draft_length``, ``efficiency``, ``stderr``; rules without a number are left out. Where there
        is a column ``bound``, with ``bound_monte_carlo``, it is the line that no stateless rule exceeds.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for rule, rows in _by_rule(table).items():
        ax.errorbar([row["draft_length"] for row in rows], [row["efficiency"] for row in rows],
                    [row["stderr"] for row in rows], elinewidth=0.6, label=rule, **rule_style(rule))
    bounds = {row["draft_length"]: row for row in table.rows if row.get("bound") is not None}
    if bounds:
        lengths = sorted(bounds)
        limit, error = ([bounds[n][name] for n in lengths] for name in ("bound", "bound_monte_carlo"))
        ax.errorbar(lengths, limit, error, color=INK, linestyle="--", elinewidth=0.6, label="no stateless rule above")
    ax.set(xlabel="draft length L (tokens)", ylabel="tokens per target call")
    return ax


def share_of_optimum(table: Table, ax: Any) -> Any:
    """Tokens per target call over the largest number that any stateless rule reaches, which is the line at 100 %.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``draft_length``, ``efficiency``, ``optimum``, one toy model.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    lengths = table.column("draft_length")
    ax.plot([min(lengths), max(lengths)], [100, 100], color=INK, linestyle="--", label="optimum (certified)")
    for rule, rows in _by_rule(table).items():
        ax.plot([row["draft_length"] for row in rows], [100 * row["efficiency"] / row["optimum"] for row in rows],
                label=rule, **rule_style(rule))
    ax.set(xlabel="draft length L (tokens)", ylabel="share of the optimum (%)")
    return ax


def gap_on_toys(table: Table, ax: Any) -> Any:
    """One line per rule, one point per small model: distance to the optimum of its drafts; a bar marks the mean.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``efficiency``, ``gap_percent``, one number of paths.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    rules = _by_rule(table)
    ax.axvline(0, color=INK, linestyle="--")
    for place, (rule, rows) in enumerate(rules.items()):
        gaps = [row["gap_percent"] for row in rows]
        style = rule_style(rule)
        ax.plot(gaps, [place] * len(gaps), linestyle="none", alpha=0.6, clip_on=False, **style)
        ax.plot([sum(gaps) / len(gaps)] * 2, [place - 0.35, place + 0.35], color=style["color"], linewidth=2)
    # equal steps up to 0.1 %, then decades: rules that are nearly optimal stay apart
    ax.set_xscale("symlog", linthresh=0.1)
    ax.set_xticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])
    ax.set_xlabel("below the optimum of the same drafts (%)")
    return _named(ax, rules)


def difference_to_reference(table: Table, ax: Any) -> Any:
    """One line per rule, one point per draft length: tokens per target call beyond the reference rule, with its error.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``draft_length``, ``efficiency``, ``difference``, ``difference_stderr``, one number of paths;
        rows without a difference are left out, and the markers of all but the longest drafts are open.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    rules = _by_rule(Table([row for row in table.rows if row["difference"] is not None]))
    lengths = sorted(set(table.column("draft_length")))
    ax.axvline(0, color=INK, linestyle="--")
    for place, (rule, rows) in enumerate(rules.items()):
        for row in rows:
            last = row["draft_length"] == lengths[-1]
            shift = 0.3 * (lengths.index(row["draft_length"]) / max(1, len(lengths) - 1) - 0.5) * (len(lengths) > 1)
            ax.errorbar(row["difference"], place + shift, xerr=row["difference_stderr"], linestyle="none",
                        mfc=None if last else "white", elinewidth=0.9, **rule_style(rule))
    return _named(ax, rules)


def _named(ax: Any, rules: dict[str, Any]) -> Any:
    """Names of the rules on the vertical axis, the first on top."""
    ax.set_yticks(range(len(rules)), list(rules))
    ax.set_ylim(len(rules) - 0.4, -0.6)
    return ax


def _by_rule(table: Table) -> dict[str, list[dict[str, Any]]]:
    rules: dict[str, list[dict[str, Any]]] = {}
    for row in table.rows:
        if row["efficiency"] is not None:
            rules.setdefault(row["rule"], []).append(row)
    return {rule: sorted(rows, key=lambda row: row["draft_length"]) for rule, rows in rules.items()}
