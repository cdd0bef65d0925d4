"""Panels, names at the ends of lines, and small files."""

import itertools

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from otspec.plots.files import write_png
from otspec.plots.layout import WIDE, label_ends, legend_below, panels, spread
from otspec.plots.style import WIDTH, context


def test_one_panel_is_a_column_wide_and_spare_cells_are_left_out():
    figure, (ax,) = panels(1, height=2.0)
    assert figure.get_size_inches().tolist() == [WIDTH, 2.0]
    figure, axes = panels(3, height=2.0)
    assert figure.get_size_inches().tolist() == [WIDE, 4.0]
    assert figure.axes == axes
    assert ax not in axes


@pytest.mark.parametrize("wanted", [[0, 0, 0, 0], [0, 9, 9.5, 10], [1, 2, 8, 9], [5]])
def test_names_keep_their_distance_and_order(wanted):
    placed = spread(np.array(wanted, dtype=float), 2.0, 0.0, 10.0)
    assert (np.diff(placed) >= 2.0 - 1e-12).all()
    assert placed[0] >= 0
    assert placed[-1] <= 10
    if wanted == [1, 2, 8, 9]:  # pairs move apart around their middles
        assert placed.tolist() == [0.5, 2.5, 7.5, 9.5]


def test_names_stand_beside_the_last_points_and_do_not_meet():
    with context():
        figure, (ax,) = panels(1, height=2.0)
        for place in range(5):
            ax.plot([0, 1, 2], [0, place / 500, np.nan], label=f"rule {place}")
        ax.errorbar([0, 1], [0, 1], [0.1, 0.1], label="bars")
        ax.plot([0, 2], [0.5, 0.5], label="_hidden")
        notes = label_ends(ax, rename={"rule 4": "", "bars": "with bars"})
        assert [note.get_text() for note in notes] == ["rule 0", "rule 1", "rule 2", "rule 3", "with bars"]
        assert notes[3].xy == (1, 3 / 500)  # the last point that is a number
        figure.draw_without_rendering()
        boxes = [Text.get_window_extent(note).padded(-1) for note in notes]  # without the thin lines
        assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
        assert label_ends(Figure().subplots()) == []


def test_one_legend_names_each_label_once():
    figure, axes = panels(2, height=2.0)
    for ax in axes:
        ax.plot([0, 1], label="both")
    axes[1].plot([1, 0], label="second")
    legend_below(figure, axes, columns=2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["both", "second"]


def test_equal_figures_give_equal_small_files(tmp_path):
    for name in ("one.png", "other.png"):
        figure = Figure()
        figure.subplots().plot([0, 1, 0.5])
        write_png(figure, tmp_path / name)
        figure.savefig(tmp_path / "whole.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()
    assert 2 * (tmp_path / "one.png").stat().st_size < (tmp_path / "whole.png").stat().st_size
