"""``.plot()`` of every kind of result: into the axes given, or into a figure that pyplot shows."""

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

from matplotlib import pyplot as plt

import otspec as ot
from otspec.plots.planner import budget_curves, budget_figure
from otspec.plots.results import FIGURES, WAYS, draw

TARGET, DRAFT = np.array([0.30, 0.25, 0.20, 0.15, 0.10]), np.array([0.05, 0.15, 0.20, 0.25, 0.35])
BATCH = np.stack([TARGET, DRAFT, TARGET[::-1]])
RUN = ot.DecodeRun([[1, 2], [3], [4]], np.array([[2, 0, 1], [1, 1, -1]]), np.array([[1.5, 0.5, 1.0], [1.0, 0.5, 0.0]]))


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def redrawn(target, draft, token, rng):
    return token if rng.random() * draft[token] < target[token] else rng.choice(len(target), p=target)


RESULTS = {
    "bound": lambda: ot.acceptance_bound(TARGET, DRAFT, 2),
    "bounds of a batch": lambda: ot.acceptance_bound(BATCH, DRAFT, 2),
    "plan": lambda: ot.optimal_plan(TARGET, DRAFT, 2),
    "lossy bound": lambda: ot.lossy_bound(TARGET, DRAFT, 2, 0.02),
    "comparison": lambda: ot.compare(BATCH, DRAFT, 2),
    "sweep over k": lambda: ot.sweep((BATCH, np.stack([DRAFT] * 3)), progress=False),
    "couplings": lambda: ot.compare_couplings(TARGET, DRAFT),
    "profile": RUN.profile,
    "run": lambda: RUN,
    "path bound": lambda: ot.PathBound(ot.Estimate(2.5, 0.5, 2), 0.1, np.array([2.0, 3.0]), np.array([0.1, 0.1]),
                                       "stateless", 2, 4, {}),
    "audit": lambda: ot.audit(redrawn, kind="token", tv=0.2, large=False),
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_draws_into_the_axes_given(name):
    result = RESULTS[name]()
    _, ax = plt.subplots()
    assert result.plot(ax=ax) is ax
    assert ax.get_xlabel()
    assert ax.has_data()
    before = plt.get_fignums()
    assert result.plot() is not ax
    assert len(plt.get_fignums()) == len(before) + 1


def test_the_bars_are_the_winner_law_and_the_cut_is_orange():
    bound = ot.acceptance_bound(TARGET, DRAFT, 2)
    ax = bound.plot()
    heights = {round(bar.get_x() + bar.get_width() / 2): bar for group in ax.containers for bar in group}
    np.testing.assert_allclose([heights[i].get_height() for i in range(5)], bound.winner_law)
    colours = [heights[i].get_facecolor() for i in range(5)]
    assert [colour == colours[1] for colour in colours] == bound.cut.subset.tolist()
    assert "0.7975" in ax.get_title()


class TwoSettings:
    """What `otspec.Sweep` answers, without the decoding."""

    def to_table(self):
        shared = {"tokens": 9, "stderr": 0.1, "predicted": 2.0}
        return ot.Table([{"setting": 0, "verifier": "block", "draft_length": 2, **shared, "tokens_per_call": 1.9},
                         {"setting": 1, "verifier": "block", "draft_length": 4, **shared, "tokens_per_call": 2.4}])


def test_a_sweep_is_drawn_with_the_best_on_top():
    ax = draw(TwoSettings(), "sweep")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["block, 2", "block, 4"]
    assert ax.get_title() == "verifier, draft_length"


def test_many_tokens_are_cut_to_the_heaviest():
    law = np.arange(1.0, 101.0) / 5050
    ax = ot.acceptance_bound(law, law[::-1], 2).plot()
    assert "16 heaviest of 100" in ax.get_xlabel()


def test_what_no_figure_belongs_to_is_refused_and_leaves_no_empty_figure():
    with pytest.raises(ot.BadArgument, match="no figure belongs to the columns a"):
        ot.Table([{"a": 1}]).plot()
    with pytest.raises(ot.BadArgument, match=r"column paths holds 1, 2\. Fix: table\.where\(paths=1\)"):
        ot.compare_toys(1).plot()
    with pytest.raises(ot.BadArgument, match="bounds the mean only"):
        ot.PathBound(ot.Estimate(2.5), 0.1, None, None, "level", 1, 4, {}).plot()
    with pytest.raises(ot.BadArgument, match="no contexts"):
        ot.acceptance_bound(BATCH[:0], DRAFT, 2).plot()
    assert not plt.get_fignums()


def test_every_way_is_a_result_of_the_package():
    assert set(WAYS) == {"bound", "table", "run", "sweep", "path_bound", "recommendation", "audit"}
    assert len({needed for needed, _ in FIGURES}) == len(FIGURES)


def test_results_load_no_figure_before_they_are_asked_for_one():
    code = ("import otspec as ot, sys; bound = ot.acceptance_bound([.5, .5], [.5, .5], 2); repr(bound); "
            "bound._repr_html_(); dir(bound); print('matplotlib' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120,
                          check=True).stdout.strip() == "False"


@pytest.mark.parametrize("name", [*RESULTS, "estimate", "trace"])
def test_notebooks_show_escaped_html_and_completion_shows_public_names(name):
    made = {"estimate": lambda: ot.Estimate(0.5, 0.1, 9), "trace": lambda: ot.Trace.from_laws(BATCH, BATCH[::-1])}
    result = {**RESULTS, **made}[name]()
    assert "<" in result._repr_html_()
    assert dir(result)
    assert not [word for word in dir(result) if word.startswith("_")]


def test_names_of_a_registry_complete():
    assert ot.list_verifiers()._ipython_key_completions_() == list(ot.list_verifiers())


def test_what_is_shown_is_escaped():
    run = ot.DecodeRun([[1], [2]], np.array([[1, 1]]), settings={"verifier": "<script>"})
    assert "<script>" not in run._repr_html_()
    assert "&lt;script&gt;" in run._repr_html_()


def test_a_single_budget_names_its_families_at_the_axis():
    shared = {"budget": 8, "stderr": 0.1, "speedup": 1.5, "speedup_stderr": 0.1}
    rows = [{"family": name, "tokens": tokens, **shared} for name, tokens in (("heap", 3.0), ("chain", 2.5))]
    limit = {"family": "limit", "tokens": 3.4, **shared, "speedup_stderr": None}
    ax = budget_curves(ot.Table([*rows, limit]), plt.figure().subplots())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["chain, block", "calibrated heap, Traversal"]
    assert ax.get_legend_handles_labels()[1] == ["limit of any rule on K paths"]
    assert "8 drafted" in ax.get_xlabel()
    figure = budget_figure(ot.Table(rows), "the answer")
    figure.draw_without_rendering()
    above, below = (ax.get_tightbbox() for ax in figure.axes)
    assert not above.overlaps(below)


def test_one_line_says_what_a_bound_on_paths_is():
    values = np.linspace(2.0, 3.0, 300)
    said = repr(ot.PathBound(ot.Estimate(2.5, 0.02, 300), 0.01, values, values, "stateless", 2, 4, {}))
    assert said == ("PathBound(at most 2.500 ± 0.020 tokens per call (stateless, 2 × 4; Monte Carlo 0.010), "
                    "300 contexts)")
    assert "recorded rows" in repr(ot.PathBound(ot.Estimate(2.5), 0.1, None, None, "level", 1, 4, {}))
