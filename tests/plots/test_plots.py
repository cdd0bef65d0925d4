"""Figures: the numbers of the table are the numbers of the artists, and no global state is touched."""

import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

import otspec as ot
from otspec import plots
from otspec.core.errors import UnknownName
from otspec.core.table import Table
from otspec.couplings import list_couplings
from otspec.plots.composed import acceptance_figure, agreement_figure
from otspec.plots.palette import TONES
from otspec.plots.style import OPTIMUM, rule_style

TARGET, DRAFT = [0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]


@pytest.fixture
def ax():
    return Figure().subplots()


def lines(ax):
    return {line.get_label(): line for line in ax.get_lines() if not line.get_label().startswith("_")}


def errorbars(ax):
    return {bar.get_label(): bar.lines[0] for bar in ax.containers}


def test_every_rule_has_a_colour_and_a_marker_of_its_own():
    names = [*ot.list_verifiers(), *list_couplings()]
    styles = [tuple(rule_style(name).values()) for name in names]
    assert len(set(styles)) == len(names)
    assert rule_style("optimal") == OPTIMUM
    assert all(rule_style(name)["color"] in TONES.values() for name in names if name != "optimal")


def test_unknown_rules_have_no_style():
    with pytest.raises(UnknownName, match="'guess'"):
        rule_style("guess")


def test_the_style_ends_with_its_block():
    before = mpl.rcParams["pdf.fonttype"]
    with plots.context():
        assert mpl.rcParams["pdf.fonttype"] == 42
    assert mpl.rcParams["pdf.fonttype"] == before


def test_acceptance_lines_carry_the_table(ax):
    rows = [{"scheme": "WithReplacement", "k": k, "rule": rule, "acceptance": value, "stderr": 0.0, "optimum": top}
            for k, top in ((1, 0.6), (2, 0.8)) for rule, value in (("nss", top - 0.2), ("optimal", top))]
    rows.append(rows[0] | {"rule": "lp", "acceptance": None, "stderr": None})
    assert plots.acceptance_vs_k(Table(rows), ax) is ax
    drawn = errorbars(ax)
    assert drawn["nss"].get_ydata() == pytest.approx([0.4, 0.6], abs=1e-15)  # as in the table, one rounding
    assert lines(ax)["optimum"].get_xdata().tolist() == [1, 2]
    assert "lp" not in drawn


def test_each_scheme_has_its_envelope(ax):
    rows = [{"scheme": scheme, "k": 2, "rule": "nss", "acceptance": 0.5, "stderr": 0.0, "optimum": 0.7}
            for scheme in ("Greedy", "Hub")]
    plots.acceptance_vs_k(Table(rows), ax)
    assert {"optimum, greedy drafts", "optimum, SpecHub drafts"} <= set(lines(ax))
    assert [label for label in ax.get_legend_handles_labels()[1] if label == "nss"] == ["nss"]


def test_gap_curves_are_distribution_functions(ax):
    rows = [{"rule": rule, "gap": gap, "method": method} for rule, method, gaps in
            (("k_seq", "exact", (0.3, 0.1)), ("recursive_wor", "sampled", (0.2, -0.1))) for gap in gaps]
    plots.gap_by_context(Table(rows), ax)
    drawn = lines(ax)
    assert drawn["k_seq"].get_xdata().tolist() == [0.1, 0.3]
    assert drawn["k_seq"].get_ydata().tolist() == [0.5, 1.0]
    assert drawn["recursive_wor (sampled)"].get_linestyle() == "--"


def test_agreement_points_lie_where_the_table_says(ax):
    rows = [{"coupling": name, "tv": 0.25, "agreement": value} for name, value in
            (("gumbel", 0.7), ("minhash", 0.65), ("minhash_dart", 0.6))]
    plots.agreement_vs_tv(Table(rows), ax)
    drawn = lines(ax)
    assert drawn["gumbel"].get_ydata() == [0.7]
    assert "minhash_dart" not in drawn
    upper, lower = (line for label, line in drawn.items() if "TV" in label)
    assert (upper.get_ydata() >= lower.get_ydata()).all()


def test_predictions_and_measurements_share_a_line(ax):
    rows = [{"run": f"{rule}, 1 path × 4", "rule": rule, "measured": measured, "predicted": predicted,
             "difference_stderr": 0.1} for rule, measured, predicted in (("block", 2.5, 2.4), ("gumbel", 2.0, 2.1))]
    plots.predicted_vs_measured(Table(rows), ax)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["gumbel, 1 path × 4", "block, 1 path × 4"]
    segment = ax.containers[0].lines[2][0].get_segments()[0]
    assert segment[:, 0].tolist() == pytest.approx([1.6, 2.4])


def test_differences_count_the_bars_that_cover_zero(ax):
    gaps = {"near": 0.3, "far": 0.5}  # of a standard error of .1: three and five of them
    rows = [{"run": run, "rule": "block", "drafter": "chain", "measured": 2.0 + gap, "predicted": 2.0,
             "difference_stderr": 0.1} for run, gap in gaps.items()]
    plots.differences(Table(rows), ax)
    assert ax.get_title() == "1 of 2 bars cover zero"
    colours = [bars.lines[0].get_color() for bars in ax.containers]
    assert colours[0] != colours[1]


def test_compare_draws_the_public_table(ax):
    table = ot.compare(TARGET, DRAFT, 2, ["nss", "k_seq", "optimal"])
    assert plots.compare(table, ax) is ax
    assert sorted(bar.get_width() for bar in ax.patches) == sorted(table.column("acceptance"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["nss", "k_seq", "optimal"]


def test_plots_leave_pyplot_alone():
    code = "import otspec.plots, sys; print('matplotlib.pyplot' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True,
                         timeout=60, check=True)
    assert out.stdout.strip() == "False"


def test_the_legend_of_agreements_covers_no_point():
    rows = [{"coupling": name, "tv": 0.1 * i, "agreement": 1 - 0.1 * i} for name in ("gumbel", "minhash")
            for i in range(11)]
    figure = agreement_figure(Table(rows))
    figure.draw_without_rendering()
    assert not figure.legends[0].get_window_extent().overlaps(figure.axes[0].get_window_extent())


def test_the_mark_of_a_lone_optimum_ends_before_the_names():
    row = {"scheme": "Hub", "k": 2, "rule": "spechub", "acceptance": 0.7, "stderr": 0.0, "optimum": 0.7}
    figure = acceptance_figure(Table([row]))
    optimum = next(line for line in figure.axes[0].lines if str(line.get_label()).startswith("optimum"))
    assert optimum.get_marker() == "o"
    assert optimum.get_markersize() / 2 < 5  # points from a line's end to its name
