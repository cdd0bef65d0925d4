"""The compiled scan against the slow definition over all pairs of points."""

import numpy as np
import pytest

from otspec.transport.winner import majorant
from tests.oracles.curves import above_all_chords


def pooled(target, increments):
    law = np.empty((1, target.size))
    work = np.empty(target.size), np.empty(target.size), np.empty(target.size + 1, dtype=np.int64)
    majorant.pool_increments(target[None], increments[None], law, *work)
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
