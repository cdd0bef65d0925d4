"""Whole-array hull edges against the compiled scans."""

import itertools

import numpy as np
import pytest
import torch

from otspec.transport.sampler.edge_parallel import winning_cell_parallel
from otspec.transport.sampler.hull import winning_cell
from otspec.transport.winner.laws import cumulative, remaining, replacement_increments, universal_law
from tests.oracles.hard_laws import hard_pairs, in_order
from tests.oracles.waiting import NoWaiting

EXACT = 1e-14  # roundings of sums up to 1


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
