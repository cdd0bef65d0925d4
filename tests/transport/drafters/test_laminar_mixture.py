"""Mixtures of laminar plans: exact law, and an optimum of 1 reproduced where one plan falls short."""

import itertools

import numpy as np
import pytest

from otspec.core.errors import ShapeMismatch
from otspec.transport.drafters import laminar_mixture as module
from otspec.transport.drafters.laminar import laminar_plan
from otspec.transport.drafters.laminar_mixture import laminar_mixture
from otspec.transport.drafters.minimum_norm import independent_capacity, minimum_norm_law
from tests.bench.drafters import noisy, unrelated, zipf
from tests.conftest import random_law

ENUMERATED = 1e-12  # at most 5^3 lists, each mass a few eps off


def within_reach(rng, size, k):
    """Drafters, and a target strictly inside their winner laws: the law of random priority orders."""
    drafts = np.array([random_law(rng, size) for _ in range(k)])
    target = np.zeros(size)
    for weight in rng.dirichlet(np.ones(4 * size), 1)[0]:
        order = rng.permutation(size)
        target[order] += weight * np.diff(independent_capacity(drafts)(order))
    return target, drafts


def test_the_law_is_the_enumerated_one_and_reaches_an_optimum_of_one(rng):
    mixed = 0
    for _ in range(60):
        size, k = int(rng.integers(3, 6)), int(rng.integers(2, 4))
        target, drafts = within_reach(rng, size, k)
        mixture = laminar_mixture(target, drafts)
        lists = np.array(list(itertools.product(range(size), repeat=k)))
        given = mixture.conditional(lists)
        assert np.abs(given.sum(axis=1) - 1).max() <= ENUMERATED
        played = np.zeros(size)
        np.add.at(played, lists, drafts[np.arange(k), lists].prod(axis=1)[:, None] * given)
        assert np.abs(played - mixture.law).max() <= ENUMERATED
        assert mixture.value_lower == pytest.approx(np.minimum(played, target).sum(), abs=ENUMERATED)
        assert mixture.value_upper == pytest.approx(1.0, abs=ENUMERATED)
        assert mixture.weights.min() > 0
        assert mixture.weights.sum() == pytest.approx(1.0, abs=ENUMERATED)
        mixed += len(mixture.plans) > 1 and mixture.value_lower >= 1 - 1e-10  # the default width
    assert mixed >= 5


def test_no_more_plans_are_mixed_than_the_width_asks_for():
    target, drafts = next(noisy(8))
    plans = []
    for tol in (1.0, 1e-5, 1e-7, 1e-10):
        mixture = laminar_mixture(target, drafts, tol=tol)
        assert mixture.value_upper - mixture.value_lower <= tol
        assert mixture.value_lower == pytest.approx(np.minimum(mixture.law, target).sum(), abs=1e-13)
        plans.append(len(mixture.plans))
    assert plans[0] == 1 < plans[1] < plans[2] < plans[3]


def test_a_winner_is_picked_by_its_chance(rng):
    target, drafts = within_reach(rng, 4, 3)
    mixture, cells = laminar_mixture(target, drafts), 2000
    lists = np.array(list(itertools.product(range(4), repeat=3)))
    chances = mixture.conditional(lists)
    slots = [mixture.pick(lists, np.full(len(lists), (cell + 0.5) / cells)) for cell in range(cells)]
    for slot in range(3):
        assert np.abs(np.mean(np.array(slots) == slot, axis=0) - chances[:, slot]).max() <= 1.0 / cells
    for uniform in (0.0, np.nextafter(1.0, 0.0)):
        picked = mixture.pick(lists, np.full(len(lists), uniform))
        assert np.take_along_axis(chances, picked[:, None], axis=1).min() > 0.0


@pytest.mark.parametrize("k", [4, 8])
def test_noisy_copies_of_two_thousand_tokens_are_reproduced(k):
    for target, drafts in itertools.islice(noisy(k), 4):
        single, mixture = laminar_plan(target, drafts), laminar_mixture(target, drafts)
        if single.value_upper < 1 - 1e-10:  # outside the winner laws: one plan, and the search goes on
            assert len(mixture.plans) == 1
            found = minimum_norm_law(target, independent_capacity(drafts), first=mixture)
            assert found.value_upper - found.value_lower <= 1e-9  # the certified contract
            continue
        assert single.value_lower < 1 - 1e-5
        assert mixture.value_upper - mixture.value_lower <= 1e-10  # the default width
        assert len(mixture.plans) <= 20


@pytest.mark.parametrize("family", [noisy, unrelated, zipf])
def test_the_law_of_two_thousand_tokens_gives_no_set_less_than_its_capacity(rng, family):
    target, drafts = next(family(4))
    law, capacity = laminar_mixture(target, drafts).law, independent_capacity(drafts)
    assert law.sum() == pytest.approx(1.0, abs=1e-13)  # sums of 2048 numbers
    weights = [rng.dirichlet(np.ones(4)) for _ in range(30)]
    orders = [np.argsort(law / (w @ drafts)) for w in [*np.eye(4), *weights]]  # where a law is likeliest to miss
    orders += [np.argsort(law / target), *(rng.permutation(2048) for _ in range(10))]
    slack = [(np.append(0.0, np.cumsum(law[order])) - capacity(order)).min() for order in orders]
    assert min(slack) >= -1e-13  # likewise
    law = 0.999 * law + 0.001 * np.eye(2048)[drafts.max(axis=0).argmin()]  # drafted less often than that
    order = np.argsort(law / drafts.max(axis=0))
    assert (np.append(0.0, np.cumsum(law[order])) - capacity(order)).min() < -1e-4


def test_aiming_at_the_target_itself_would_not_do(monkeypatch):
    target, drafts = next(noisy(8))
    monkeypatch.setattr(module, "_REACH", 1.0)  # the same plan again and again
    monkeypatch.setattr(module, "_WIDER", 1.0)
    mixture = laminar_mixture(target, drafts)
    assert mixture.value_upper - mixture.value_lower > 1e-6


def test_an_optimum_below_one_needs_one_plan():
    mixture = laminar_mixture(np.array([1.0, 0.0]), np.full((2, 2), 0.5))
    assert len(mixture.plans) == 1
    assert (mixture.value_lower, mixture.value_upper) == (0.75, 0.75)
    with pytest.raises(ShapeMismatch, match=r"drafts: shape \(3,\) is not"):
        laminar_mixture(np.ones(3) / 3, np.ones(3) / 3)
