"""Figure of an audit: what deviates stands out, and many outcomes are cut to those that deviate most."""

import matplotlib.pyplot as plt
import numpy as np

from otspec.plots import observed_against_expected
from otspec.plots.auditing import MOST, audit_figure

LAWS = {"case": "spread", "outcome": "emitted token", "unit": "calls", "n": 10_000, "tv": 0.1, "shape": [3],
        "expected": [0.5, 0.3, 0.2], "observed": [0.5, 0.4, 0.1]}


def test_bars_that_deviate_have_a_colour_of_their_own():
    figure, ax = plt.subplots()
    observed_against_expected(LAWS, ax)
    colours = {patch.get_facecolor() for patch in ax.patches}
    heights = sorted(round(patch.get_height(), 6) for patch in ax.patches)
    assert heights == [0.1, 0.4, 0.5]
    assert len(colours) == 2
    assert ax.get_xlabel() == "emitted token"
    plt.close(figure)


def test_many_outcomes_are_cut(tmp_path):
    law = np.full(125, 1 / 125)
    seen = law.copy()
    seen[[7, 100]] = 0.016, 0.0
    laws = {**LAWS, "shape": [5, 5, 5], "expected": law.tolist(), "observed": seen.tolist(), "n": None}
    ax = audit_figure(laws, "FAILED", tmp_path / "audit.png").axes[0]
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert len(names) == MOST
    assert {"0 1 2", "4 0 0"} <= set(names)
    assert (tmp_path / "audit.png").is_file()


def test_a_report_without_outcomes_has_a_title():
    assert "no outcome" in audit_figure({}, "FAILED").axes[0].get_title(loc="left")
