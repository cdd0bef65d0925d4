"""Panels of a figure and names at the ends of its lines, readable when a page shows the figure one column wide.

A figure of one panel is one column wide, `WIDTH`; one of several is `WIDE`, so that type of 7.5 points still has 5 when
a column of 3.3 inches shows it. Names beside the lines spare the reader the way to a legend and back.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import to_rgb

from otspec.plots.style import INK, WIDTH

WIDE = 4.9  # inches of a figure of several panels
SPACING = 1.2  # line height of names, in their size


def panels(count: int, *, height: float, columns: int = 2, **options: Any) -> tuple[Any, list[Any]]:
    """A figure and its axes, row by row; the cells of the last row that nothing needs are left out.

    Parameters
    ----------
    count : int
    height : float
        Inches of one row.
    columns : int
        Most panels in a row.
    **options
        Of ``Figure.subplots``.

    Returns
    -------
    matplotlib.figure.Figure, list of axes

    Examples
    --------
    >>> figure, axes = panels(3, height=2.0)
    >>> figure.get_size_inches().tolist(), len(axes)
    ([4.9, 4.0], 3)
    """
    from matplotlib.figure import Figure

    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDE if columns > 1 else WIDTH, rows * height), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for spare in axes[count:]:
        spare.remove()
    return figure, axes[:count]


def dark(colour: Any) -> tuple[float, ...]:
    """A colour as it is fit for type: halfway to ink.

    Examples
    --------
    >>> dark(INK) == to_rgb(INK)
    True
    """
    return tuple(float(part) for part in (np.array(to_rgb(colour)) + np.array(to_rgb(INK))) / 2)


def label_ends(ax: Any, *, size: float = 7.5, rename: dict[str, str] | None = None) -> list[Any]:
    """Write the name of every line beside its last point, in its colour, and keep the names apart.

    Lines whose label is empty or starts with an underscore have none. Call it when limits and scales are set.

    Parameters
    ----------
    ax : matplotlib axes
    size : float
        Points.
    rename : dict, optional
        What to write for a label; an empty string for nothing.

    Returns
    -------
    list of matplotlib.text.Annotation
    """
    found = []
    for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
        line = handle[0] if isinstance(handle, tuple) else handle  # error bars are tuples
        text = (rename or {}).get(label, label)
        x, y = (np.asarray(values, dtype=float) for values in line.get_data())
        good = np.isfinite(x) & np.isfinite(y)
        if text and good.any():
            colour = dark(line.get_color())
            found.append(ax.annotate(text, (x[good][-1], y[good][-1]), xytext=(5, 0), textcoords="offset points",
                                     va="center", fontsize=size, color=colour, annotation_clip=False, arrowprops={
                                         "arrowstyle": "-", "linewidth": 0.5, "color": colour, "shrinkA": 0,
                                         "shrinkB": 3, "relpos": (0, 0.5)}))
    if found:
        _keep_apart(ax, found, SPACING * size)
    return found


def _keep_apart(ax: Any, notes: list[Any], gap: float) -> None:
    """Shift annotations up and down until they are ``gap`` points apart, with a thin line to where each belongs."""
    ax.figure.draw_without_rendering()  # settles where the axes stand
    points = 72 / ax.figure.dpi
    wanted = np.array([ax.transData.transform(note.xy)[1] * points for note in notes])
    box = ax.get_window_extent()
    order = np.argsort(wanted, kind="stable")
    placed = spread(wanted[order], gap, box.y0 * points, box.y1 * points)
    for note, at, own in zip((notes[place] for place in order), placed, wanted[order], strict=True):
        shift = float(at - own)
        moved = abs(shift) > 1
        note.set_position((9 if moved else 5, shift))
        note.arrow_patch.set_visible(moved)


def spread(wanted: np.ndarray, gap: float, low: float, high: float) -> np.ndarray:
    """Positions at least ``gap`` apart, in the order given and close to where they are wanted (sorted).

    Examples
    --------
    >>> spread(np.array([0.0, 5.0, 5.0]), 2.0, 0.0, 10.0).tolist()
    [0.0, 4.0, 6.0]
    """
    steps = gap * np.arange(wanted.size)
    # least squares with a fixed order: pools of neighbours move together, as in isotonic regression
    pools: list[list[float]] = []
    for value in wanted - steps:
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, count = pools.pop()
            pools[-1] = [(pools[-1][0] * pools[-1][1] + mean * count) / (pools[-1][1] + count), pools[-1][1] + count]
    means = np.repeat([mean for mean, _ in pools], [int(count) for _, count in pools])
    return np.clip(means, low, max(low, high - steps[-1])) + steps


def legend_below(figure: Any, axes: list[Any], *, columns: int, **options: Any) -> None:
    """One legend below all panels, each label once."""
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    figure.legend(list(handles.values()), list(handles), loc="outside lower center", ncols=columns, columnspacing=1.0,
                  handlelength=1.8, **options)
