"""Draft trees drawn side by side: a row of nodes for every depth, the first child straight on, siblings beside it."""

from __future__ import annotations

from typing import Any

from otspec.core.table import Table
from otspec.plots.style import INK

COLOURS = "YlGnBu"


def places(parents: list[int]) -> list[tuple[int, int]]:
    """Depth and line of every node, whose parents stand before it; -1 is the parent of the root.

    Examples
    --------
    >>> places([-1, 0, 0, 1])
    [(0, 0), (1, 0), (1, 1), (2, 0)]
    """
    below: list[list[int]] = [[] for _ in parents]
    for node, parent in enumerate(parents[1:], 1):
        below[parent].append(node)
    found = [(0, 0)] * len(parents)
    lines = 0
    stack = [(0, 0, True)]
    while stack:
        node, depth, first = stack.pop()
        if not first:
            lines += 1
        found[node] = (depth, lines)
        stack += [(child, depth + 1, rank == 0) for rank, child in reversed(list(enumerate(below[node])))]
    return found


def tree_shape(table: Table, ax: Any, *, deepest: int, lines: int) -> Any:
    """One tree, from the end of the text on the left to the deepest draft on the right.

    Parameters
    ----------
    table : Table
        Columns ``parent`` (-1 for the root, the first row) and ``kept``, the chance that a rule keeps the node.
    ax : matplotlib axes
    deepest, lines : int
        Depths and lines that there is to be room for, so that trees side by side have one scale.

    Returns
    -------
    The dots, whose colours a colour bar may explain.
    """
    at, parents = places(table.column("parent")), table.column("parent")
    for (depth, line), parent in zip(at[1:], parents[1:], strict=True):
        above, start = at[parent]
        ax.plot([above, above + 0.5, depth], [start, line, line], color="#999999", linewidth=0.8, zorder=1)
    x, y = zip(*at, strict=True)
    ax.scatter(x[:1], y[:1], s=20, marker="s", color=INK, zorder=2)
    dots = ax.scatter(x[1:], y[1:], c=table.column("kept")[1:], cmap=COLOURS, vmin=0, vmax=1, s=20, edgecolors=INK,
                      linewidths=0.5, zorder=2)
    ax.set(xlim=(-0.6, deepest + 0.6), ylim=(lines + 0.6, -0.8))
    ax.set_axis_off()
    return dots
