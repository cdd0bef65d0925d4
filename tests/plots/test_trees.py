"""Drawn trees: where nodes stand."""

import matplotlib.figure

from otspec.core.table import Table
from otspec.plots.trees import places, tree_shape


def test_first_children_go_straight_on_and_no_two_nodes_meet():
    parents = [-1, 0, 0, 1, 1, 2, 4]
    at = places(parents)
    assert at == [(0, 0), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2), (3, 1)]
    assert len(set(at)) == len(parents)
    # numbered as drawn, not depth by depth
    assert places([-1, 0, 1, 0, 2]) == [(0, 0), (1, 0), (2, 0), (1, 1), (3, 0)]


def test_a_dot_for_every_draft_and_a_square_for_the_text():
    table = Table([{"parent": parent, "kept": kept} for parent, kept in ((-1, 1.0), (0, 0.6), (0, 0.1), (1, 0.001))])
    ax = matplotlib.figure.Figure().subplots()
    dots = tree_shape(table, ax, deepest=3, lines=2)
    assert dots.get_offsets().tolist() == [[1, 0], [1, 1], [2, 0]]
    assert len(ax.collections) == 2
    assert len(ax.lines) == 3
