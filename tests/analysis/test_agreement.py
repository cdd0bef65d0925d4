"""Agreement: printed values, the chain of inequalities, the sharp instance, and sampling."""

import itertools

import numpy as np
import pytest

from otspec.analysis.agreement import agreement, agreement_bounds, sampled_agreement
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.coupling import Coupling
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, UnknownName
from tests.oracles import golden

ROUNDING = 1e-13  # sums of at most 12 tokens
TABLE = {**golden.COUPLINGS, **golden.COUPLINGS_EXTRA}
NAMES = ("gumbel", "minhash_dart", "minhash")
SAMPLES = 40_000


@pytest.mark.parametrize("name", TABLE)
def test_printed_values(name):
    found = [float(agreement(coupling, *map(list, golden.INSTANCES[name]))) for coupling in NAMES]
    assert found == pytest.approx(TABLE[name], abs=5.1e-7)  # printed to six decimals


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [2, 5, 12])
def test_chain_of_inequalities(family, size):
    rng = np.random.default_rng(size)
    target, draft = (np.stack(laws) for laws in zip(*(random_pair(family, size, rng) for _ in range(50)), strict=True))
    lower, upper = agreement_bounds(target, draft)
    chain = [lower, agreement("minhash", target, draft), agreement("gumbel", target, draft), upper]
    for smaller, larger in itertools.pairwise(chain):
        assert np.all(smaller <= larger + ROUNDING)
    assert np.array_equal(agreement("minhash_dart", target, draft), lower)


@pytest.mark.parametrize("n", [3, 4, 6, 40])
def test_sharp_instance(n):
    laws = (1 - np.eye(n)) / (n - 1)
    for name in NAMES:
        assert float(agreement(name, laws[0], laws[1])) == pytest.approx((n - 2) / n, abs=ROUNDING)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("instance", ["D", "F", "H"])
def test_sampling_finds_the_exact_value(name, instance):
    target, draft = golden.INSTANCES[instance]
    estimate = sampled_agreement(name, target, draft, n=SAMPLES, seed=4)
    assert estimate.n == SAMPLES
    assert estimate.covers(float(agreement(name, target, draft)), z=5)


def test_sampling_does_not_depend_on_chunks(monkeypatch):
    whole = sampled_agreement("gumbel", [0.5, 0.5], [0.7, 0.3], n=1000, seed=1)
    monkeypatch.setattr("otspec.analysis.agreement.CHUNK", 64)
    assert sampled_agreement("gumbel", [0.5, 0.5], [0.7, 0.3], n=1000, seed=1) == whole


class FirstToken(Coupling):
    """Quantile coupling by one uniform; no exact form is written for it."""

    def _select(self, law, noise):
        return (np.cumsum(law, axis=-1) < noise.uniforms(1)).sum(axis=-1)


def test_errors():
    with pytest.raises(UnknownName, match="gumbel, minhash"):
        agreement("gumble", [1.0], [1.0])
    with pytest.raises(BadArgument, match="sampled_agreement"):
        agreement(FirstToken(), [1.0], [1.0])
    with pytest.raises(BadArgument, match="sampled_agreement"):
        FirstToken().joint([1.0], [1.0])
    with pytest.raises(NotALaw, match="draft"):
        agreement("gumbel", [1.0, 0.0], [0.5, 0.6])
    with pytest.raises(ShapeMismatch, match="batch"):
        sampled_agreement("gumbel", np.full((2, 2), 0.5), np.full((2, 2), 0.5), n=10, seed=0)
    # equal laws and one shared uniform: the tokens must agree always
    assert sampled_agreement(FirstToken(), [0.5, 0.5], [0.5, 0.5], n=10, seed=0).mean == 1
