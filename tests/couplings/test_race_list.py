"""The first k of a race: the integral against a sum over sets, its ends, and what is too large."""

import numpy as np
import pytest

from otspec.analysis.agreement import agreement
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.noise import Noise
from otspec.core.schemes import WithoutReplacement
from otspec.couplings.gumbel import Gumbel
from otspec.couplings.list_gumbel import ListGumbel
from otspec.couplings.race_list import race_list_agreement
from otspec.transport.bounds import optimal_acceptance
from tests.oracles import couplings as slow
from tests.oracles import golden

ROUNDING = 1e-12  # alternating sums over sets in the slow twin


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("instance", ["D", "F", "H"])
def test_the_integral_is_the_sum_over_sets(instance, k):
    p, q = map(np.array, golden.INSTANCES[instance])
    assert float(race_list_agreement(p, q, k)) == pytest.approx(slow.race_list_agreement(p, q, k), abs=ROUNDING)


@pytest.mark.parametrize("family", FAMILIES)
def test_ends_and_order(family):
    rng = np.random.default_rng(2)
    target, draft = map(np.stack, zip(*(random_pair(family, 6, rng) for _ in range(10)), strict=True))
    values = np.stack([race_list_agreement(target, draft, k) for k in range(1, 7)])
    assert np.allclose(values[0], Gumbel().agreement(target, draft), atol=ROUNDING)
    assert np.all(np.diff(values, axis=0) >= -ROUNDING)
    # the whole race holds every token that the drafter can draft
    assert np.allclose(values[-1], (target * (draft > 0)).sum(axis=-1), atol=ROUNDING)
    for k in (2, 3):
        assert np.all(values[k - 1] <= optimal_acceptance(target, draft, WithoutReplacement(k)) + 1e-9)


def test_one_race_read_further_beats_a_sheet_for_every_draft():
    p, q = golden.INSTANCES["H"]
    assert float(agreement("gumbel", p, q, k=4)) > float(ListGumbel(4).agreement(p, q)) + 0.1


def test_lists_end_with_the_support():
    lists = Gumbel().select_list(np.array([0.0, 0.7, 0.0, 0.3]), Noise(0, np.arange(50)), 4)
    assert set(map(tuple, lists.tolist())) == {(1, 3, -1, -1), (3, 1, -1, -1)}
    with pytest.raises(BadArgument, match="k: 5"):
        Gumbel().select_list(np.full(4, 0.25), Noise(0, 0), 5)


def test_large_vocabularies_are_refused_with_the_work():
    law = np.full(20_000, 1 / 20_000)
    with pytest.raises(TooLarge, match="sampled_agreement") as refused:
        Gumbel().list_agreement(law, law, 4)
    assert refused.value.estimate > 1e10
