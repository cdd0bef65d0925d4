"""Tokens per call against the draft length: the artists hold the table, and rules without a number are left out."""

import numpy as np
from matplotlib.figure import Figure

from otspec.core.table import Table
from otspec.plots.sequence import efficiency_vs_length, share_of_optimum

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
