"""Shapes of trees: child counts in the numbering of the drafter ``"tree"``, and nested tuples.

Nodes are numbered depth by depth, the children of an earlier node first; entry n of ``counts`` is the number of
children of node n, node 0 being the end of the text. As a nested tuple a node is the tuple of its children, a leaf
``()``. Siblings stand in drawing order, so their ranks are 0, 1, ...
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.checks import whole
from otspec.core.errors import BadArgument

Shape = tuple[Any, ...]


def counts_of(shape: Shape) -> tuple[int, ...]:
    """Child counts of a nested shape, without the zeros at the end.

    Examples
    --------
    >>> counts_of((((),), ()))
    (2, 1)
    """
    counts, level = [], [shape]
    while level:
        counts += [len(node) for node in level]
        level = [child for node in level for child in node]
    while len(counts) > 1 and counts[-1] == 0:
        counts.pop()
    return tuple(counts)


def shape_of(counts: Sequence[int]) -> Shape:
    """Nested shape of child counts.

    Examples
    --------
    >>> shape_of((2, 1))
    (((),), ())
    """
    parents, _, _ = numbered(counts)
    below: list[list[Any]] = [[] for _ in parents]
    for node in range(len(parents) - 1, 0, -1):
        below[parents[node]].insert(0, tuple(below[node]))
    return tuple(below[0])


def check_counts(counts: Sequence[Any]) -> tuple[int, ...]:
    """Numbers of children as ints.

    Raises
    ------
    BadArgument
        One that is no whole number of at least 0.
    """
    for count in counts:
        number = whole(count)
        if number is None or number < 0:
            raise BadArgument(f"counts: {count!r} is no number of children. Fix: whole numbers of at least 0.")
    return tuple(int(count) for count in counts)


def numbered(counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parent (-1 for the root), depth and rank among its siblings of every node, ``[N+1]`` each.

    Raises
    ------
    BadArgument
        A count that is no whole number of at least 0, or one for a node that the tree does not have.
    """
    counts = check_counts(counts)
    parents, depths, ranks = [-1], [0], [0]
    for node, count in enumerate(counts):
        if node >= len(parents):
            raise BadArgument(f"counts: {len(counts)} entries, but the tree has only {len(parents) - 1} nodes and its "
                              f"root. Fix: one entry for each, in the order in which they are numbered.")
        parents += [node] * count
        depths += [depths[node] + 1] * count
        ranks += range(count)
    return np.asarray(parents), np.asarray(depths), np.asarray(ranks)


def text_of(shape: Shape) -> str:
    """A shape in short: a number for a node with a chain of so many below it, ``.`` for a leaf, siblings in brackets.

    Examples
    --------
    >>> text_of((((),), ())), text_of(((((),),),))
    ('(1 .)', '3')
    """
    length = 0
    while len(shape) == 1:
        length, shape = length + 1, shape[0]
    if not shape:
        return str(length) if length else "."
    inside = "(" + " ".join(map(text_of, shape)) + ")"
    return f"{length}{inside}" if length else inside
