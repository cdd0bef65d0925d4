"""Tokens per call against the draft length: the artists hold the table, and rules without a number are left out."""

import numpy as np
from matplotlib.figure import Figure

from otspec.core.table import Table
from otspec.plots.sequence import difference_to_reference, efficiency_vs_length, gap_on_toys, share_of_optimum

ROWS = [{"rule": "block", "draft_length": 2, "efficiency": 2.5, "stderr": 0.1, "optimum": 2.5},
        {"rule": "block", "draft_length": 1, "efficiency": 1.5, "stderr": 0.2, "optimum": 2.0},
        {"rule": "traversal", "draft_length": 1, "efficiency": None, "stderr": None, "optimum": 2.0}]


def test_levels_with_their_errors():
    ax = efficiency_vs_length(Table(ROWS), Figure().subplots())
    (bar,) = ax.containers
    np.testing.assert_array_equal(bar.lines[0].get_xydata(), [[1, 1.5], [2, 2.5]])
    np.testing.assert_allclose([segment[:, 1] for segment in bar.lines[2][0].get_segments()], [[1.3, 1.7], [2.4, 2.6]])


def test_shares_below_the_line_of_the_optimum():
    ax = share_of_optimum(Table(ROWS), Figure().subplots())
    best, block = ax.get_lines()
    np.testing.assert_array_equal(best.get_ydata(), [100, 100])
    np.testing.assert_array_equal(block.get_ydata(), [75, 100])
    assert block.get_label() == "block"


def test_gaps_have_a_line_for_each_rule_and_a_bar_at_their_mean():
    rows = [{"rule": rule, "draft_length": 2, "efficiency": 2.0, "gap_percent": gap}
            for rule, gap in (("traversal", 0.5), ("winner_block", 2.0), ("traversal", 1.5))]
    ax = gap_on_toys(Table(rows), Figure().subplots())
    best, points, mean, *_ = ax.get_lines()
    np.testing.assert_array_equal(best.get_xdata(), [0, 0])
    np.testing.assert_array_equal(points.get_xydata(), [[0.5, 0], [1.5, 0]])
    np.testing.assert_array_equal(mean.get_xdata(), [1.0, 1.0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["traversal", "winner_block"]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first rule stands on top


def test_differences_stand_side_by_side_with_their_errors():
    rows = [{"rule": "winner_block", "draft_length": length, "efficiency": 2.0, "difference": gap,
             "difference_stderr": 0.1} for length, gap in ((4, 0.5), (8, 0.25), (2, None))]
    ax = difference_to_reference(Table(rows), Figure().subplots())
    short, long = ax.containers
    assert (short.lines[0].get_xdata()[0], long.lines[0].get_xdata()[0]) == (0.5, 0.25)
    assert short.lines[0].get_markerfacecolor() == "white" != long.lines[0].get_markerfacecolor()
    assert short.lines[0].get_ydata()[0] < long.lines[0].get_ydata()[0]
    np.testing.assert_allclose(long.lines[2][0].get_segments()[0][:, 0], [0.15, 0.35])
