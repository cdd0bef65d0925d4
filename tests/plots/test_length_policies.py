"""The map of best lengths holds the table, and every policy has a line."""

import numpy as np
from matplotlib.figure import Figure

from otspec.core.table import Table
from otspec.plots.length_policies import SERIES, phase_diagram, speedup_of_policies


def test_the_map_shows_the_lengths_where_they_hold():
    rows = [{"batch_size": batch, "acceptance": rate, "length": int(4 * rate) // batch}
            for rate in (0.8, 0.3, 0.6) for batch in (2, 1)]
    ax = phase_diagram(Table(rows), Figure().subplots(), marked=0.45)
    (mesh,) = ax.collections
    np.testing.assert_array_equal(mesh.get_array().reshape(3, 2), [[1, 0], [2, 1], [3, 1]])
    assert {text.get_text() for text in ax.texts} == {"0: no drafts", "1", "2", "3"}
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2"]
    assert ax.get_lines()[0].get_ydata()[0] == 0.45


def test_every_policy_in_the_table_has_a_line_with_bars():
    rows = [{"policy": name, "draft_cost": cost, "speedup": 2.0 - cost, "speedup_stderr": 0.1}
            for name in list(SERIES)[:3] for cost in (0.4, 0.1)]
    ax = speedup_of_policies(Table(rows), Figure().subplots())
    assert len(ax.containers) == 3
    np.testing.assert_allclose(ax.containers[0].lines[0].get_xydata(), [[0.1, 1.9], [0.4, 1.6]])
    assert ax.get_xscale() == "log"
