"""Weighted MinHash: closed forms against the slow twin, and darts one by one."""

import numpy as np
import pytest

from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.noise import Noise
from otspec.couplings import minhash
from otspec.couplings.minhash import MinHash
from tests.oracles import couplings as slow

ROUNDING = 1e-13  # sums of a few tokens


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [2, 3, 8])
def test_agreement_is_the_slow_twin(family, size):
    rng = np.random.default_rng(size)
    for _ in range(10):
        target, draft = random_pair(family, size, rng)
        found = float(MinHash().agreement(target, draft))
        assert found == pytest.approx(slow.minhash_same_item(target.tolist(), draft.tolist()), abs=ROUNDING)


def test_select_throws_dart_after_dart():
    law = np.array([0.5, 0.0, 0.3, 0.2])
    for position in range(40):
        noise, index = Noise(2, position), 0
        while True:
            token, height = noise.darts(index, 4)
            if height <= law[token]:
                break
            index += 1
        assert int(MinHash().select(law, noise)) == token
        assert int(MinHash().first_dart(law, noise)) == index


def test_chunks_do_not_show(monkeypatch):
    laws = np.random.default_rng(0).dirichlet(np.full(30, 0.2), size=200)
    noise = Noise(5, np.arange(200))
    whole = MinHash().select(laws, noise)
    monkeypatch.setattr(minhash, "CHUNK", 1)
    assert np.array_equal(MinHash().select(laws, noise), whole)
    assert [int(MinHash().select(laws[i], Noise(5, i))) for i in range(20)] == whole[:20].tolist()


def test_a_sure_token_is_always_taken():
    assert MinHash().select(np.eye(6)[4], Noise(0, np.arange(100))).tolist() == [4] * 100
