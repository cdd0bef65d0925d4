import numpy as np
import pytest

from otspec.transport.hull import winning_cell
from otspec.transport.parallel import majorant_knots, universal_law_parallel, winning_cell_parallel
from otspec.transport.winner import cumulative, ratio_order, replacement_capacity, universal_law
from tests.conftest import random_law


def chord_test(x, y):
    """Vertices of the concave majorant by definition: knots strictly above every chord that spans them."""
    keep = []
    for j in range(len(x)):
        spanning = [(a, b) for a in range(j) for b in range(j + 1, len(x)) if x[a] < x[j] < x[b]]
        keep.append(all(y[j] >= y[a] + (y[b] - y[a]) * (x[j] - x[a]) / (x[b] - x[a]) - 1e-15 for a, b in spanning))
    return np.array(keep)


def test_knots_of_random_curves_are_the_majorants(convert, rng):
    for size in (1, 2, 3, 9, 16, 17):
        x, y = np.cumsum(rng.random(size)), np.cumsum(rng.random(size))
        np.testing.assert_array_equal(np.asarray(majorant_knots(convert(x), convert(y))), chord_test(x, y))


@pytest.mark.parametrize("zeros", [False, True])
def test_parallel_law_is_the_sequential_law(convert, rng, zeros):
    size = 33
    target, draft = (np.stack([random_law(rng, size, zeros=zeros) for _ in range(20)]) for _ in range(2))
    order = ratio_order(target, draft)
    target, draft = (np.take_along_axis(law, order, axis=-1) for law in (target, draft))
    capacity = replacement_capacity(draft, 3)
    parallel = np.asarray(universal_law_parallel(convert(target), convert(capacity)))
    np.testing.assert_allclose(parallel, universal_law(target, capacity), atol=64 * np.finfo(float).eps * size)


def test_parallel_cells_are_the_sequential_cells(convert, rng):
    size = 40
    target, draft = (np.stack([random_law(rng, size) for _ in range(50)]) for _ in range(2))
    order = ratio_order(target, draft)
    target, draft = (np.take_along_axis(law, order, axis=-1) for law in (target, draft))
    x, capacity = cumulative(draft), replacement_capacity(draft, 4)
    winner = cumulative(universal_law(target, capacity))
    t, rank = rng.random(50), rng.integers(0, size, 50)
    low, high = winning_cell(x, winner, capacity, t, rank)
    found = winning_cell_parallel(*(convert(a) for a in (x, winner, capacity, t, rank)))
    np.testing.assert_array_equal(np.asarray(found[0]), low)
    np.testing.assert_array_equal(np.asarray(found[1]), high)
