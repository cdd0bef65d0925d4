"""Poisson functional representation and the shared uniform: one by one, and their promises."""

import numpy as np
import pytest

from otspec.analysis.agreement import agreement, agreement_bounds
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.noise import Noise, negative_log
from otspec.couplings import poisson
from otspec.couplings.gumbel import Gumbel
from otspec.couplings.poisson import Poisson, matching_bound
from otspec.couplings.shared_uniform import SharedUniform

ROUNDING = 1e-13  # sums of a few tokens


def test_points_are_read_one_by_one():
    law = np.array([0.5, 0.0, 0.3, 0.2])
    for position in range(40):
        noise, time, scores = Noise(2, position), 0.0, []
        token, height = noise.darts(np.arange(200), 4)
        for x, u in zip(token.tolist(), height.tolist(), strict=True):
            time += float(negative_log(np.array([u]))[0])
            scores.append(time / law[x] if law[x] > 0 else np.inf)
        assert int(Poisson().select(law, noise)) == token[int(np.argmin(scores))]


def test_chunks_do_not_show(monkeypatch):
    import torch

    laws = torch.from_numpy(np.random.default_rng(0).dirichlet(np.full(30, 0.2), size=200))
    noise = Noise(5, np.arange(200)).like(laws)
    whole = Poisson()._select(laws, noise)
    monkeypatch.setattr(poisson, "CHUNK", 1)
    assert Poisson()._select(laws, noise).tolist() == whole.tolist()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_matching_lemma(family):
    rng = np.random.default_rng(3)
    for size in (1, 2, 7):
        target, draft = random_pair(family, size, rng)
        value = float(Poisson().agreement(target, draft))
        assert float(matching_bound(target, draft)) <= value + ROUNDING
        assert value == pytest.approx(float(Gumbel().agreement(target, draft)), abs=ROUNDING)


@pytest.mark.parametrize("size", [2, 10, 1000])
def test_a_shared_uniform_promises_nothing(size):
    target, draft = np.full(size, 1 / size), np.zeros(size)
    draft[1:] = 1 / size
    draft[-1] += 1 / size  # the mass of one token has moved to the other end
    assert float(SharedUniform().agreement(target, draft)) == pytest.approx(1 / size, abs=ROUNDING)
    assert float(agreement_bounds(target, draft)[0]) == pytest.approx((size - 1) / (size + 1), abs=ROUNDING)
    shifted = np.roll(np.eye(size), 1, axis=0)  # all mass one token further
    assert float(agreement("shared_uniform", np.eye(size)[0], shifted[0])) == 0
