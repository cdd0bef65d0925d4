"""Whole-array majorants against definitions and against the compiled scans."""

import itertools

import numpy as np
import pytest
import torch

from otspec.transport.winner.laws import (
    cumulative,
    minimal_law,
    replacement_capacity,
    replacement_increments,
    universal_law,
)
from otspec.transport.winner.majorant_parallel import majorant_slopes
from tests.conftest import random_law
from tests.oracles.hard_laws import hard_pairs, in_order
from tests.oracles.waiting import NoWaiting

EXACT = 1e-14  # roundings of sums up to 1


def highest_chords(x, y):
    """Slope of the concave majorant over each interval by definition: of the highest chord that spans its middle."""
    slopes = []
    for j in range(len(x) - 1):
        middle = (x[j] + x[j + 1]) / 2
        chords = [(y[a] + (y[b] - y[a]) / (x[b] - x[a]) * (middle - x[a]), (y[b] - y[a]) / (x[b] - x[a]))
                  for a, b in itertools.product(range(j + 1), range(j + 1, len(x)))]
        slopes.append(max(chords)[1])
    return np.array(slopes)


def test_slopes_of_random_curves_are_the_majorants(convert, rng):
    for size in (2, 3, 9, 16, 17, 40):
        x, y = (np.cumsum(rng.random((2, size)) + 0.01, axis=1) for _ in range(2))
        got = np.asarray(majorant_slopes(convert(x), convert(y)))
        want = [highest_chords(*curve) for curve in zip(x, y, strict=True)]
        assert got == pytest.approx(np.array(want), rel=1e-11)  # widths of 0.01 in sums of 40


def test_of_knots_with_equal_x_the_last_counts(convert, rng):
    for size in (2, 3, 8, 9, 17, 40):
        for share in (0.3, 0.8):
            x, y = (np.cumsum(rng.integers(0, 4, (6, size)) * (rng.random((6, size)) < share), axis=1) * 1.0
                    for _ in range(2))
            got = np.asarray(majorant_slopes(convert(x), convert(y)))
            for slopes, a, b in zip(got, x, y, strict=True):
                last = np.append(a[1:] > a[:-1], True)
                wide = a[1:] > a[:-1]
                np.testing.assert_allclose(slopes[wide], highest_chords(a[last], b[last]), rtol=1e-13)


def test_a_target_of_the_smallest_mass_that_counts_is_pooled():
    target, increments = np.array([1e-290, 1.0]), np.array([0.0, 1.0])
    for lift in (np.asarray, torch.from_numpy):
        law = universal_law(lift(target), None, increments=lift(increments))
        assert law.tolist() == [1e-290, 1.0]
        law = universal_law(lift(target * [0.99, 1]), None, increments=lift(increments))
        assert law.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 16, 33, 100, 1000])
@pytest.mark.parametrize("k", [1, 2, 8, 64])
def test_universal_law_is_the_compiled_law(size, k, rng):
    target, draft = in_order(*hard_pairs(rng, size))
    increments = replacement_increments(draft, k)
    capacity = cumulative(increments)
    want = universal_law(target, capacity, increments=increments)
    got = universal_law(*map(torch.from_numpy, (target, capacity)), increments=torch.from_numpy(increments))
    assert got.numpy() == pytest.approx(want, abs=EXACT)


def test_universal_law_at_a_real_vocabulary(rng):
    target, draft = in_order(*(law[:5] for law in hard_pairs(rng, 151_936)))
    for k in (2, 64):
        increments = replacement_increments(draft, k)
        want = universal_law(target, None, increments=increments)
        got = universal_law(torch.from_numpy(target), None, increments=torch.from_numpy(increments))
        assert got.numpy() == pytest.approx(want, abs=1e-12)  # 150,000 roundings


@pytest.mark.parametrize("zeros", [False, True])
def test_whole_array_laws_of_any_library(convert, rng, zeros):
    size = 33
    target, draft = in_order(*(np.stack([random_law(rng, size, zeros=zeros) for _ in range(20)]) for _ in range(2)))
    capacity = replacement_capacity(draft, 3)
    for law in (universal_law, minimal_law):
        got = np.asarray(law(convert(target), convert(capacity)))
        np.testing.assert_allclose(got, law(target, capacity), atol=EXACT)


def test_no_step_asks_the_host(rng):
    target, draft = in_order(*hard_pairs(rng, 60))
    target, increments = torch.from_numpy(target), torch.from_numpy(replacement_increments(draft, 4))
    with NoWaiting():
        universal_law(target, None, increments=increments)
