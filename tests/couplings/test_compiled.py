"""Compiled selection is that of the whole-array lines, bit for bit, and the race skips no token that could win."""

import numpy as np
import pytest
import torch

from otspec.core.noise import Noise, negative_log
from otspec.couplings import compiled
from otspec.couplings.gumbel import fastest
from otspec.couplings.minhash import _throw
from otspec.couplings.poisson import _earliest

ROWS = 300


def laws(dtype=np.float64, size=700):
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.full(size, 0.05), ROWS)
    rows[:40] = np.eye(size)[rng.integers(size, size=40)]
    rows[40:80] = 1 / size
    rows[80:90, :5] = 5e-324
    return (rows / rows.sum(axis=1, keepdims=True)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("count", "streams", "first"), [(1, 1, 0), (1, 4, 0), (1, 1, 3), (5, 1, 0), (3, 2, 1)])
def test_races(dtype, count, streams, first):
    rows, noise = laws(dtype), Noise(np.arange(ROWS), 11)
    here = fastest(rows, noise, count, streams, first=first)
    there = torch.from_numpy(rows)
    assert np.array_equal(here, fastest(there, noise.like(there), count, streams, first=first).numpy())


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_darts_and_points(dtype):
    rows, noise = laws(dtype), Noise(4, np.arange(ROWS))
    there = torch.from_numpy(rows)
    moved = noise.like(there)
    for here, slow in zip(compiled.first_darts(rows, noise), _throw(there, moved), strict=True):
        assert np.array_equal(here, slow.numpy())
    assert np.array_equal(compiled.earliest_points(rows, noise), _earliest(there, moved).numpy())


def test_one_law_is_not_copied_for_many_positions():
    law, noise = laws()[100], Noise(7, np.arange(60).reshape(3, 20))
    assert np.array_equal(compiled.race(law, noise, 1, [0]), compiled.race(np.stack([law] * 60).reshape(3, 20, -1),
                                                                            noise, 1, [0]))


def test_logarithms_are_the_same_numbers():
    values = Noise(0, 0).uniforms(50_000)
    values = np.concatenate([values, values**3, [2.0**-53, 1 - 2.0**-53, 0.5, 0.5**0.5]])
    values = values[values >= 2.0**-63]
    assert np.array_equal(np.array([compiled._negative_log(u) for u in values]), negative_log(values))
