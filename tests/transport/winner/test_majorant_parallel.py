"""Whole-array majorants and hull edges against definitions and against the compiled scans."""

import itertools

import numpy as np
import pytest
import torch

from otspec.transport.sampler.hull import winning_cell
from otspec.transport.winner.laws import (
    cumulative,
    minimal_law,
    ratio_order,
    remaining,
    replacement_capacity,
    replacement_increments,
    universal_law,
)
from otspec.transport.winner.majorant_parallel import majorant_slopes, winning_cell_parallel
from tests.conftest import random_law
from tests.oracles.hard_laws import hard_pairs
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


def in_order(target, draft):
    order = ratio_order(target, draft)
    return np.take_along_axis(target, order, axis=-1), np.take_along_axis(draft, order, axis=-1)


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


def test_edges_settle_in_half_the_steps_and_are_the_compiled_ones(rng):
    """Where they differ the two edges are equally high over the token: rows of ties."""
    for size, k in itertools.product((2, 5, 33, 300), (2, 4, 16, 64)):
        target, draft = in_order(*hard_pairs(rng, size))
        capacity = cumulative(replacement_increments(draft, k))
        x, above, n = cumulative(draft), remaining(draft), len(draft)
        winner = cumulative(universal_law(target, capacity))
        for _ in range(10):
            t, rank = rng.random(n), np.array([rng.choice(size, p=law) for law in draft])
            low, high = winning_cell(x, winner, capacity, t, rank, above=above)
            curve = winner - t[:, None] * capacity
            for steps in (4, 8):
                a, b = (i.numpy() for i in winning_cell_parallel(
                    *map(torch.from_numpy, (x, winner, capacity, t, rank, above)), steps=steps))
                heights = []
                for start, stop in ((low, high), (a, b)):
                    assert np.all((start <= rank) & (rank < stop))
                    at = [(np.take_along_axis(x, i[:, None], 1)[:, 0], np.take_along_axis(above, i[:, None], 1)[:, 0],
                           np.take_along_axis(curve, i[:, None], 1)[:, 0]) for i in (start, rank, stop)]
                    (x0, up0, y0), (x1, up1, _), (x2, up2, y2) = at
                    inner = np.where(x1 <= up0, x1 - x0, up0 - up1)
                    heights.append(y0 + (y2 - y0) * inner / np.where(x2 <= up0, x2 - x0, up0 - up2))
                assert heights[1] == pytest.approx(heights[0], abs=EXACT)


def test_no_step_asks_the_host(rng):
    target, draft = in_order(*hard_pairs(rng, 60))
    target, increments = torch.from_numpy(target), torch.from_numpy(replacement_increments(draft, 4))
    with NoWaiting():
        law = universal_law(target, None, increments=increments)
        curves = (cumulative(torch.from_numpy(draft)), cumulative(law), cumulative(increments))
        winning_cell(*curves, increments[:, 0], torch.ones(len(draft), dtype=torch.int64),
                     above=remaining(torch.from_numpy(draft)))
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        bool(torch.any(target > 0))
    with pytest.raises(AssertionError, match="waits for the device"), NoWaiting():
        target[target > 0]
