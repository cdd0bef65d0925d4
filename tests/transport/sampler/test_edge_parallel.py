"""Whole-array hull edges against the compiled scans."""

import itertools

import array_api_strict
import numpy as np
import pytest
import torch

from otspec.transport.sampler.edge import hull_edge
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


@pytest.mark.parametrize("scale", [1.0, 2.0**-40, 2.0**40])
@pytest.mark.parametrize("library", [torch.asarray, array_api_strict.asarray])
def test_edges_are_those_of_the_compiled_scan_at_any_height(library, scale, rng):
    """Points of equal x, lower or higher than their neighbours, and ranks of tokens without mass."""
    for size in (1, 2, 6, 12):
        widths = rng.dirichlet(np.ones(size), 60) * (rng.random((60, size)) < 0.7)
        widths[:, rng.integers(size)] += 0.1
        widths /= widths.sum(axis=-1, keepdims=True)
        x, above = cumulative(widths), remaining(widths)
        x[20:40], above[20:40] = 1 - above[20:40, ::-1], 1 - x[20:40, ::-1]
        winner, capacity = scale * rng.normal(size=(2, 60, size + 1))
        t, rank = rng.random(60), rng.integers(size, size=60)
        given = x, winner, capacity, t, rank
        low, high = (np.asarray(edge) for edge in winning_cell_parallel(*map(library, (*given, above))))
        for row in range(60):
            edges = hull_edge(x[row], above[row], winner[row], capacity[row], t[row], rank[row])
            start, stop = low[row], high[row]
            assert start <= rank[row] < stop
            if x[row, rank[row] + 1] > x[row, rank[row]]:
                assert (start, stop) == edges


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
