"""What no protocol with shared randomness can beat, by linear programming over all, and many pairs of laws."""

import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.agreement import agreement, agreement_bounds, sampled_agreement
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.couplings import coupling, list_couplings
from tests.oracles import couplings as slow
from tests.oracles import golden

ALONE = [name for name in list_couplings("coupling") if name != "list_gumbel"]
SOLVER = 1e-9
ROUNDING = 1e-13  # sums of at most 8 tokens


@pytest.mark.parametrize("n", [3, 4])
def test_the_sharp_instance_lets_no_protocol_promise_more(n):
    laws = (1 - np.eye(n)) / (n - 1)
    pairs = list(itertools.combinations(range(n), 2))
    assert slow.best_shared_strategy(laws, pairs) == pytest.approx((n - 2) / n, abs=SOLVER)
    assert float(agreement_bounds(laws[0], laws[1])[0]) == pytest.approx((n - 2) / n, abs=ROUNDING)
    for name in ("gumbel", "minhash", "poisson"):  # and these reach it
        assert float(agreement(name, laws[0], laws[1])) == pytest.approx((n - 2) / n, abs=ROUNDING)


def test_no_coupling_keeps_a_better_promise_than_the_best_protocol():
    rng, short = np.random.default_rng(8), []
    for _ in range(12):
        laws = rng.dirichlet(np.full(3, 0.7), size=4)
        pairs = list(itertools.combinations(range(4), 2))
        best = slow.best_shared_strategy(laws, pairs)
        assert best <= min(float(ot.overlap(laws[i], laws[j])) for i, j in pairs) + SOLVER
        for name in ALONE:
            kept = min(float(agreement(name, laws[i], laws[j])) for i, j in pairs)
            assert kept <= best + SOLVER
            short.append(best - kept)
    assert max(short) > 0.01  # the programme knows which laws may occur, the couplings do not


def test_two_laws_alone_can_be_coupled_as_well_as_with_both_at_hand():
    for family in ("dirichlet", "zeros"):
        target, draft = random_pair(family, 4, np.random.default_rng(1))
        best = slow.best_shared_strategy([target, draft], [(0, 1)])
        assert best == pytest.approx(float(agreement("maximal", target, draft)), abs=SOLVER)


def test_chain_on_12800_pairs():
    rng, seen = np.random.default_rng(9), 0
    for family in FAMILIES:
        for size in (2, 3, 5, 8):
            drawn = [random_pair(family, size, rng) for _ in range(400)]
            target, draft = map(np.stack, zip(*drawn, strict=True))
            lower, upper = agreement_bounds(target, draft)
            chain = [lower, agreement("minhash", target, draft), agreement("gumbel", target, draft), upper]
            for smaller, larger in itertools.pairwise(chain):
                assert np.all(smaller <= larger + ROUNDING)
            seen += len(target)
    assert seen == 12_800


@pytest.mark.parametrize("instance", ["F", "H"])
def test_a_million_races_find_the_formula(instance):
    target, draft = golden.INSTANCES[instance]
    estimate = sampled_agreement("gumbel", target, draft, n=1_000_000, seed=12)
    assert estimate.n == 1_000_000
    assert estimate.stderr < 5.1e-4
    assert estimate.covers(float(agreement("gumbel", target, draft)), z=5)
    assert not estimate.covers(float(agreement("minhash", target, draft)), z=5)


def test_lists_and_their_lengths():
    target, draft = golden.INSTANCES["H"]
    assert float(agreement("list_gumbel", target, draft)) == float(agreement("list_gumbel", target, draft, k=4))
    assert float(agreement(coupling("list_gumbel", num_drafts=2), target, draft, k=1)) < float(
        agreement("gumbel", target, draft, k=1))
    with pytest.raises(ot.BadArgument, match="not a list"):
        sampled_agreement("minhash", target, draft, k=2, n=10, seed=0)
    with pytest.raises(ot.BadArgument, match="k: 0"):
        agreement("gumbel", target, draft, k=0)
