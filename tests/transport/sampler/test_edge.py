"""The compiled scans against slow definitions over all pairs of points."""

import numpy as np
import pytest

from otspec.transport.sampler import edge
from tests.oracles.curves import above_all_chords


@pytest.mark.parametrize("size", [2, 9, 40])
def test_hull_vertices_and_edges_lie_below_every_chord(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        x = np.append(0, np.cumsum(rng.dirichlet(np.ones(size))))
        y, zero = rng.normal(size=size + 1), np.zeros(size + 1)
        above, stack = x[-1] - x, np.empty(size + 1, dtype=np.int64)
        hull = stack[: edge.hull_vertices(x, above, y, stack)]
        lowest = -above_all_chords(x, -y)
        assert np.interp(x, x[hull], y[hull]) == pytest.approx(lowest, abs=1e-13)  # slopes up to 1e3
        for rank in range(size):
            a, b = edge.hull_edge(x, above, y, zero, 0.0, rank)
            place = np.searchsorted(hull, rank, side="right")
            assert (a, b) == (hull[place - 1], hull[place])
            assert (a, b) == edge._edge_by_hull(x, above, y + 0.5 * y**2, y**2, 0.5, rank)


def test_zero_widths_never_become_edges():
    x = np.array([0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0])
    y = np.array([0.0, 1.0, 0.2, -0.3, 0.1, 0.4, 0.0])
    stack = np.empty(7, dtype=np.int64)
    count = edge.hull_vertices(x, 1 - x, y, stack)
    assert stack[:count].tolist() == [0, 3, 6]
    for rank, want in [(0, (0, 3)), (2, (0, 3)), (3, (3, 6)), (4, (3, 6))]:
        assert edge.hull_edge(x, 1 - x, y, np.zeros(7), 0.0, rank) == want


@pytest.mark.parametrize("turn", [1, -1])
def test_widths_beside_a_dominant_token_come_from_the_sums_of_their_side(turn):
    draft = np.array([1.0, 3e-20, 1e-20, 2e-20])[::turn]
    x = np.append(0, np.cumsum(draft))
    above = np.append(np.cumsum(draft[::-1])[::-1], 0)
    assert np.all((x if turn == 1 else above)[::turn][1:] == 1)
    y, zero = np.array([0.0, -0.95, -0.8, -0.9, 0.0])[::turn], np.zeros(5)
    assert edge.lower_hull(x, y, above=above).tolist() == [0, 1, 3, 4]
    edges = [edge.hull_edge(x, above, y, zero, 0.0, rank) for rank in range(4)]
    assert edges == [(0, 1), (1, 3), (1, 3), (3, 4)]


def test_of_points_at_one_place_the_lowest_is_a_vertex():
    assert edge.lower_hull(np.array([0.0, 0.0, 0.0, 1.0]), np.array([0.0, -1.0, 1.0, 0.0])).tolist() == [1, 3]
    assert edge.lower_hull(np.array([0.0, 1.0, 1.0, 1.0]), np.array([0.0, 2.0, -1.0, 1.0])).tolist() == [0, 2]


def test_draws_share_one_curve_or_have_their_own():
    x = np.array([[0.0, 0.25, 0.5, 1.0]])
    curve, capacity = np.array([[0.0, 0.1, 0.3, 1.0]]), x**3
    t, rank = np.array([0.0, 0.9, 0.5]), np.array([0, 1, 2])
    low, high = np.empty((2, 2, 3), dtype=np.int64)
    for i, rows in enumerate((1, 3)):
        given = [np.repeat(part, rows, axis=0) for part in (x, 1 - x, curve, capacity)]
        edge.hull_cells.py_func(*given, t, rank, low[i], high[i])
    assert np.array_equal(low[0], low[1])
    assert np.array_equal(high[0], high[1])
    assert [*zip(low[0], high[0], strict=True)] == [
        edge.hull_edge(x[0], 1 - x[0], curve[0], capacity[0], *one) for one in zip(t, rank, strict=True)]
