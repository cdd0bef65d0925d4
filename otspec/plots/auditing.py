"""Figure of an audit: observed against expected law on one instance."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from otspec.core.table import Table
from otspec.plots.style import COLOURS, INK, WIDTH, context

Axes = Any
MOST = 24  # outcomes drawn one by one


def observed_against_expected(laws: dict[str, Any], ax: Axes) -> Axes:
    """Bars of what was observed, marks of what must be; of many outcomes the most deviating ones.

    Parameters
    ----------
    laws : dict
        ``expected`` and ``observed`` shares, flat; ``shape`` of the outcomes, and what one is called,
        ``outcome``; how many were seen, ``n`` (None: exact), and what that counts, ``unit``.
    ax : matplotlib.axes.Axes

    Returns
    -------
    Axes
        The axes given.
    """
    expected, observed = np.asarray(laws["expected"]), np.asarray(laws["observed"])
    shown = np.arange(expected.size)
    if expected.size > MOST:
        shown = np.sort(np.argsort(-np.abs(expected - observed), kind="stable")[:MOST])
    names = [" ".join(map(str, np.unravel_index(int(place), laws["shape"]))) for place in shown]
    off = observed[shown] - expected[shown]
    noise = 3 * np.sqrt(expected[shown] * (1 - expected[shown]) / laws["n"]) if laws["n"] else np.full(shown.size, 1e-9)
    wrong = np.abs(off) > noise
    places = np.arange(shown.size)
    for mask, colour, label in ((~wrong, COLOURS[2], "observed"), (wrong, COLOURS[5], "observed, off by > 3 s.e.")):
        if mask.any():
            text = label if laws["n"] else label.split(",")[0] + (", off" if colour == COLOURS[5] else "")
            ax.bar(places[mask], observed[shown][mask], width=0.7, color=colour, label=text, zorder=2)
    ax.hlines(expected[shown], places - 0.42, places + 0.42, color=INK, lw=1.6, label="target's law", zorder=3)
    ax.set_xticks(places, names, rotation=90 if len(laws["shape"]) > 1 else 0, fontsize=6 if shown.size > 12 else 7.5)
    ax.set_xlabel(laws["outcome"])
    ax.set_ylabel("probability")
    ax.set_ylim(0, max(observed[shown].max(), expected[shown].max()) * 1.35)
    ax.grid(axis="x", visible=False)
    ax.legend(loc="upper right", ncols=2, handlelength=1.2, columnspacing=1.0)
    return ax


def bias_of_mistakes(table: Table, ax: Axes, kinds: dict[str, str]) -> Axes:
    """One line per known mistake: total variation of its law on the worst case and on the median case of an audit.

    Parameters
    ----------
    table : Table
        Columns ``mistake``, ``kind``, ``largest``, ``median``.
    ax : matplotlib.axes.Axes
    kinds : dict
        Kinds to draw, in order, with their headings.

    Returns
    -------
    Axes
        The axes given.
    """
    names, place = {}, 0
    for kind, heading in kinds.items():
        rows = sorted(table.where(kind=kind).rows, key=lambda row: -row["largest"])
        names[place] = f"{heading}:"
        for place, row in enumerate(rows, place + 1):  # noqa: B020 (counts on)
            ax.plot([row["median"], row["largest"]], [place, place], "-", color=COLOURS[5], lw=1.0, zorder=2)
            ax.plot(row["median"], place, "o", color=COLOURS[5], mfc="white", zorder=3, clip_on=False)
            ax.plot(row["largest"], place, "o", color=COLOURS[5], zorder=3, clip_on=False)
            names[place] = row["mistake"].replace("_", " ")
        place += 1
    ax.set_yticks(list(names), list(names.values()))
    ax.set(xlim=(-0.04, 1.04), ylim=(place - 0.4, -0.6))
    ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", visible=False)
    return ax


def audit_figure(laws: dict[str, Any], verdict: str, path: str | os.PathLike[str] | None = None) -> Any:
    """A figure of one panel, titled by verdict and instance; saved where a path is given."""
    from matplotlib.figure import Figure

    with context():
        figure = Figure(figsize=(WIDTH, 2.3), layout="constrained")
        ax = figure.subplots()
        if laws:
            observed_against_expected(laws, ax)
            calls = f"{laws['n']:,} {laws['unit']}" if laws["n"] else "exact"
            ax.set_title(f"{verdict}: {laws['case']}\nTV {laws['tv']:.3g}, {calls}", loc="left")
        else:
            ax.set_title(f"{verdict}: no outcome", loc="left")
        if path is not None:
            figure.savefig(path)
    return figure
