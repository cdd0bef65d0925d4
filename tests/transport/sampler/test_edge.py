"""The compiled scans against slow definitions over all pairs of points."""

import numpy as np
import pytest

from otspec.transport.sampler import edge


def above_all_chords(x, y):
    """Least concave majorant at every x: the highest chord over it."""
    top = y.copy()
    for i in range(x.size):
        for j in range(i + 1, x.size):
            inner = slice(i, j + 1)
            if x[j] > x[i]:
                top[inner] = np.maximum(top[inner], np.interp(x[inner], x[[i, j]], y[[i, j]]))
    return top


def pooled(target, increments):
    law = np.empty((1, target.size))
    work = np.empty(target.size), np.empty(target.size), np.empty(target.size + 1, dtype=np.int64)
    edge.pool_increments(target[None], increments[None], law, *work)
    return law[0]


@pytest.mark.parametrize("size", [1, 2, 7, 30])
def test_pooled_increments_are_the_least_concave_majorant(size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        target, steps = rng.dirichlet(np.ones(size)), rng.dirichlet(np.ones(size) * 0.5)
        p, c = np.append(0, np.cumsum(target)), np.append(0, np.cumsum(steps))
        got = np.append(0, np.cumsum(pooled(target, steps)))
        assert got == pytest.approx(above_all_chords(p, c), abs=1e-14)  # 30 roundings below 1


def test_tokens_of_target_zero_keep_their_increment():
    target = np.array([0.0, 0.5, 0.0, 0.5, 1e-300])
    steps = np.array([0.1, 0.2, 0.05, 0.6, 0.05])
    assert pooled(target, steps).tolist() == [0.1, 0.4, 0.05, 0.4, 0.05]


def test_slopes_of_tiny_targets_do_not_underflow():
    target = np.array([1e-280, 1e-280, 1.0])
    steps = np.array([1e-290, 3e-290, 1.0])
    got = pooled(target, steps)
    assert got[:2] == pytest.approx([1e-280, 1e-280], rel=1e-14)  # pooled with the last: slope one


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
            assert (a, b) == edge._edge_by_hull(x, above, y, zero, 0.0, rank)


def test_zero_widths_never_become_edges():
    x = np.array([0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0])
    y = np.array([0.0, 1.0, 0.2, -0.3, 0.1, 0.4, 0.0])
    stack = np.empty(7, dtype=np.int64)
    count = edge.hull_vertices(x, 1 - x, y, stack)
    assert stack[:count].tolist() == [0, 3, 6]
    for rank, want in [(0, (0, 3)), (2, (0, 3)), (3, (3, 6)), (4, (3, 6))]:
        assert edge.hull_edge(x, 1 - x, y, np.zeros(7), 0.0, rank) == want


def test_widths_beside_a_dominant_token_come_from_the_right_sums():
    draft = np.array([1.0, 3e-20, 1e-20, 2e-20])
    x = np.append(0, np.cumsum(draft))
    above = np.append(np.cumsum(draft[::-1])[::-1], 0)
    assert np.all(x[1:] == 1)
    y, zero = np.array([0.0, -0.95, -0.8, -0.9, 0.0]), np.zeros(5)
    stack = np.empty(5, dtype=np.int64)
    assert stack[: edge.hull_vertices(x, above, y, stack)].tolist() == [0, 1, 3, 4]
    edges = [edge.hull_edge(x, above, y, zero, 0.0, rank) for rank in range(4)]
    assert edges == [(0, 1), (1, 3), (1, 3), (3, 4)]
