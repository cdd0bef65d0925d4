"""Tokens per target call against the draft length, and how much of the certified optimum each rule reaches."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import INK, rule_style


def efficiency_vs_length(table: Table, ax: Any) -> Any:
    """Tokens per target call of every rule against the draft length, with bars of one standard error.

    Parameters
    ----------
    table : Table
        Columns ``rule``, ``draft_length``, ``efficiency``, ``stderr``; rules without a number are left out.
    ax : matplotlib axes

    Returns
    -------
    The same axes.
    """
    for rule, rows in _by_rule(table).items():
        ax.errorbar([row["draft_length"] for row in rows], [row["efficiency"] for row in rows],
                    [row["stderr"] for row in rows], elinewidth=0.6, label=rule, **rule_style(rule))
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
    ax.axhline(100, color=INK, linestyle="--", label="optimum (certified)")
    for rule, rows in _by_rule(table).items():
        ax.plot([row["draft_length"] for row in rows], [100 * row["efficiency"] / row["optimum"] for row in rows],
                label=rule, **rule_style(rule))
    ax.set(xlabel="draft length L (tokens)", ylabel="share of the optimum (%)")
    return ax


def _by_rule(table: Table) -> dict[str, list[dict[str, Any]]]:
    rules: dict[str, list[dict[str, Any]]] = {}
    for row in table.rows:
        if row["efficiency"] is not None:
            rules.setdefault(row["rule"], []).append(row)
    return {rule: sorted(rows, key=lambda row: row["draft_length"]) for rule, rows in rules.items()}
