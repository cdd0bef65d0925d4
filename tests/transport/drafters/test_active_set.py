"""Least-norm points of convex hulls, point by point, against the conditions that only the right one meets."""

import numpy as np
import pytest

from otspec.transport.drafters.active_set import ActiveSet


def nearest(target, metric, points, rounding, most=400):
    """Wolfe's method: insert the point furthest beyond the current one until none is."""
    active = ActiveSet(target, metric, 0, points[0])
    for _ in range(most):
        slopes = (points - target) @ (metric * active.excess)
        best = int(np.argmin(slopes))
        if slopes[best] >= active.excess @ (metric * active.excess) - rounding:
            return active
        assert active.insert(best, points[best])
        active.settle()
    raise AssertionError("no end")


@pytest.mark.parametrize("close", [1.0, 1e-2])
@pytest.mark.parametrize("size", [2, 5, 24])
def test_no_point_lies_beyond_the_nearest_one(size, close, rng):
    """The condition of optimality; with 24 tokens more points take part than there is room at first."""
    most = 0
    for _ in range(8):
        target, metric = rng.dirichlet(np.ones(size)), rng.uniform(0.5, 3.0, size)
        inside = rng.dirichlet(np.ones(size))
        points = target + close * (rng.dirichlet(np.full(size, 0.5), 80) - inside)
        active = nearest(target, metric, points, 1e-13)
        assert active.weights.min() > 0.0
        assert active.weights.sum() == pytest.approx(1.0, abs=1e-14)
        assert np.array_equal(np.unique(active.orders), np.sort(active.orders))
        assert active.laws == pytest.approx(points[active.orders], abs=1e-15)
        assert active.excess == pytest.approx(active.weights @ points[active.orders] - target, abs=1e-14)
        left = active.excess @ (metric * active.excess)
        assert ((points - target) @ (metric * active.excess)).min() >= left - 2e-13
        most = max(most, len(active.orders))
    assert most > 8 or size < 24


def test_progress_tells_the_norm_that_follows(rng):
    held = 0
    for _ in range(40):
        target, metric = rng.dirichlet(np.ones(6)), rng.uniform(0.5, 3.0, 6)
        points = rng.dirichlet(np.ones(6), 4)
        active = ActiveSet(target, metric, 0, points[0])
        for number, point in enumerate(points[1:], 1):
            before, progress = active.excess @ (metric * active.excess), active.progress(point, active.excess)
            assert active.insert(number, point)
            active.settle()
            after = active.excess @ (metric * active.excess)
            if len(active.orders) <= number or progress < 0.0:  # some point was left behind
                break
            assert 1.0 + after == pytest.approx((1.0 + before) / (1.0 + progress**2 / (1.0 + before)), abs=1e-14)
            held += 1
    assert held > 10


def test_points_between_others_are_not_taken(rng):
    points = rng.dirichlet(np.ones(5), 3)
    active = ActiveSet(rng.dirichlet(np.ones(5)), np.ones(5), "a", points[0])
    assert not active.insert("again", points[0])
    assert active.insert("b", points[1])
    assert active.insert("c", points[2])
    for weights in ([0.2, 0.5, 0.3], [2.0, -0.5, -0.5], [0.0, 0.0, 1.0]):
        assert not active.insert("between", np.array(weights) @ points)
    assert active.insert("apart", np.eye(5)[2])
    assert active.orders == ["a", "b", "c", "apart"]
    assert active.weights.tolist() == [1.0, 0.0, 0.0, 0.0]


def test_a_point_that_is_not_nearer_is_dropped():
    target = np.array([0.5, 0.5, 0.0])
    near, far = np.array([0.6, 0.4, 0.0]), np.array([0.9, 0.1, 0.0])
    active = ActiveSet(target, np.ones(3), "near", near)
    assert active.progress(far, active.excess) < 0.0
    assert active.insert("far", far)
    active.settle()
    assert active.orders == ["near"]
    assert active.weights.tolist() == [1.0]
    assert active.excess == pytest.approx(near - target, abs=1e-16)
    assert active.insert("beyond", np.array([0.2, 0.8, 0.0]))
    active.settle()
    assert active.weights == pytest.approx([0.75, 0.25], abs=1e-14)
    assert active.excess == pytest.approx(np.zeros(3), abs=1e-15)


def test_two_points_may_be_dropped_at_once():
    active = ActiveSet(np.zeros(2), np.ones(2), "above", np.array([1.0, 1.0]))
    assert active.insert("below", np.array([1.0, -1.0]))
    active.settle()
    assert active.weights == pytest.approx([0.5, 0.5], abs=1e-15)
    assert active.insert("nearer", np.array([0.5, 0.0]))
    active.settle()
    assert active.orders == ["nearer"]
    assert active.weights.tolist() == [1.0]
    assert active.excess.tolist() == [0.5, 0.0]
