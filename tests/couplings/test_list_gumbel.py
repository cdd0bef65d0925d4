"""Race with several sheets: the integral against nested quadrature, its bound, and sheets that nobody drafts."""

import numpy as np
import pytest

from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.errors import BadArgument
from otspec.core.noise import Noise
from otspec.couplings import quadrature
from otspec.couplings.gumbel import Gumbel
from otspec.couplings.list_gumbel import ListGumbel
from tests.oracles import couplings as slow
from tests.oracles import golden

ROUNDING = 1e-13  # sums of a few tokens and 258 nodes


def batch(family, size, count=40, seed=0):
    rng = np.random.default_rng(seed)
    return tuple(map(np.stack, zip(*(random_pair(family, size, rng) for _ in range(count)), strict=True)))


@pytest.mark.parametrize(("sheets", "drafted"), [(1, 1), (2, 2), (4, 4), (4, 1), (4, 3)])
@pytest.mark.parametrize("instance", ["A", "D", "H"])
def test_the_integral_is_the_slow_twin(instance, sheets, drafted):
    p, q = golden.INSTANCES[instance]
    found = float(ListGumbel(sheets).list_agreement(p, q, drafted))
    assert found == pytest.approx(slow.list_gumbel_agreement(list(p), list(q), sheets, drafted), abs=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_one_sheet_is_the_exponential_race(family):
    target, draft = batch(family, 7)
    assert np.allclose(ListGumbel(1).agreed_law(target, draft), Gumbel().agreed_law(target, draft), atol=ROUNDING)
    noise = Noise(3, np.arange(40))
    assert np.array_equal(ListGumbel(1).select(target, noise), Gumbel().select(target, noise))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("sheets", [2, 16])
def test_the_step_of_the_integral_is_small_enough(family, sheets, monkeypatch):
    target, draft = batch(family, 9)
    coarse = ListGumbel(sheets).agreement(target, draft)
    monkeypatch.setattr(quadrature, "STEP", quadrature.STEP / 2)
    quadrature.exponential_nodes.cache_clear()
    fine = ListGumbel(sheets).agreement(target, draft)
    quadrature.exponential_nodes.cache_clear()
    assert np.abs(coarse - fine).max() < ROUNDING


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bound_lies_below_and_a_sheet_more_is_worth_something(family):
    target, draft = batch(family, 8)
    last = 0.0
    for sheets in (1, 2, 4, 8):
        rule = ListGumbel(sheets)
        value = rule.agreement(target, draft)
        assert np.all(rule.bound(target, draft) <= value + ROUNDING)
        assert np.all(value >= last - ROUNDING)
        last = value
    drafted = [ListGumbel(4).list_agreement(target, draft, k) for k in (1, 2, 3, 4)]
    assert np.all(np.diff(drafted, axis=0) >= -ROUNDING)
    # a target that heeds sheets which nobody drafts agrees less often than one that does not
    assert np.all(drafted[0] <= ListGumbel(1).agreement(target, draft) + ROUNDING)


def test_extreme_masses_make_no_warning_and_no_nonsense():
    target = np.array([1.0, 1e-300, 0.0, 5e-324, 0.0])
    draft = np.array([1e-300, 1e-310, 1.0, 1e-320, 0.0])
    assert 0 <= float(ListGumbel(3).agreement(target, draft)) <= 1e-290
    assert float(ListGumbel(3).agreement(target, target)) == pytest.approx(1, abs=ROUNDING)


def test_drafts_beyond_the_sheets_are_refused():
    for k in (0, 5):
        with pytest.raises(BadArgument, match=r"k"):
            ListGumbel(4).select_list([0.5, 0.5], Noise(0, 0), k)
    with pytest.raises(BadArgument, match="num_drafts"):
        ListGumbel(0)
