"""Figures of the theory carry their tables."""

import pytest
from matplotlib.figure import Figure

from otspec.core.table import Table
from otspec.plots.acceptance import acceptance_vs_temperature
from otspec.plots.auditing import bias_of_mistakes
from otspec.plots.style import INK, rule_style
from otspec.plots.theory import hull_cells, winner_curves, worst_ratio

KNOTS = Table([{"x": x, "capacity": x**2, "winner": x, "target": x**3, "level": level, "vertex": vertex,
                "drafts": drafts, "wins": wins}
               for x, level, vertex, drafts, wins in ((0.0, 0.0, True, 1, False), (0.3, 0.1, True, 0, True),
                                                      (0.6, 0.4, False, 2, True), (1.0, 0.5, True, 0, False))],
              {"k": 2, "T": "0.5"})


@pytest.fixture
def ax():
    return Figure().subplots()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def test_curves_of_the_winner(ax):
    assert winner_curves(KNOTS, ax) is ax
    drawn = lines(ax)
    assert drawn["F: the winner is to the left"].get_ydata() == pytest.approx([0, 0.3, 0.6, 1])
    assert drawn["c: all 2 drafts are to the left"].get_ydata() == pytest.approx([0, 0.09, 0.36, 1])


def test_cells_of_the_hull(ax):
    hull_cells(KNOTS, ax)
    assert lines(ax)["lower hull"].get_xdata() == pytest.approx([0.0, 0.3, 1.0])
    (span,) = ax.patches
    assert (span.get_x(), span.get_x() + span.get_width()) == pytest.approx((0.3, 1.0))  # the cell of the winner
    assert ax.get_ylabel() == "F − T c at T = 0.5"


def test_promises_are_dashed_and_drawn_once(ax):
    rows = [{"rule": rule, "k": k, "ratio": 1 / k, "bound": bound} for rule in ("naive", "recursive", "recursive_wor")
            for k, bound in ((1, 1.0), (2, 0.5))]
    for row in rows[4:]:
        row["bound"] = None
    worst_ratio(Table(rows), ax)
    drawn = lines(ax)
    assert set(drawn) == {"naive", "recursive", "recursive_wor", "promise 1/k"}
    assert drawn["promise 1/k"].get_linestyle() == "--"
    assert drawn["promise 1/k"].get_color() == INK
    assert drawn["naive"].get_color() == rule_style("naive")["color"]


def test_acceptance_against_temperature(ax):
    rows = [{"drafts": drafts, "rule": rule, "temperature": degrees, "acceptance": degrees / 2, "monte_carlo": 0.01}
            for degrees in (0.5, 1.0) for drafts, rule in (("with", "optimum"), ("without", "optimum"),
                                                           ("with", "k_seq"))]
    acceptance_vs_temperature(Table(rows), ax)
    assert lines(ax)["with replacement"].get_ydata() == pytest.approx([0.25, 0.5])
    (bars,) = ax.containers
    assert bars.get_label() == "k_seq"
    assert bars.lines[2][0].get_segments()[0][:, 1] == pytest.approx([0.23, 0.27])


def test_mistakes_are_listed_by_kind_the_worst_first(ax):
    rows = [{"mistake": name, "kind": kind, "largest": largest, "median": 0.01}
            for name, kind, largest in (("small_one", "token", 0.1), ("large_one", "token", 0.9),
                                        ("other", "multi", 0.5))]
    bias_of_mistakes(Table(rows), ax, {"token": "one draft", "multi": "several"})
    assert [text.get_text() for text in ax.get_yticklabels()] == ["one draft:", "large one", "small one", "several:",
                                                                  "other"]
    assert ax.yaxis_inverted()
