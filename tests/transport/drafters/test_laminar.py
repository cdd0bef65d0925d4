"""The laminar plan: its stated law against enumeration of every draft list, and its value against brute force."""

import dataclasses
import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import ShapeMismatch
from otspec.transport.drafters.laminar import laminar_plan
from tests.conftest import random_law

ENUMERATED = 1e-12  # at most 6^4 lists, each mass a few eps off


def played(plan, drafts):
    law = np.zeros(drafts.shape[1])
    for tokens in itertools.product(*(np.flatnonzero(row) for row in drafts)):
        chance = np.prod(drafts[np.arange(len(drafts)), list(tokens)])
        np.add.at(law, list(tokens), chance * plan.conditional(np.array(tokens)))
    return law


def instances(rng, number):
    for n in range(number):
        size, k = int(rng.integers(2, 7)), int(rng.integers(1, 5))
        size = min(size, 4) if k == 4 and n % 4 else size  # the largest enumerations less often
        zeros, ties = n % 3 == 1, n % 3 == 2
        yield (random_law(rng, size, zeros=zeros, ties=ties),
               np.array([random_law(rng, size, zeros=zeros, ties=ties) for _ in range(k)]))


def test_the_stated_law_is_the_enumerated_one_and_of_so_few_tokens_optimal(rng):
    for target, drafts in instances(rng, 210):
        plan = laminar_plan(target, drafts)
        assert np.abs(played(plan, drafts) - plan.law).max() <= ENUMERATED
        masks = itertools.product([False, True], repeat=target.size)
        best = min(1 + target[list(h)].sum() - np.prod(drafts[:, list(h)].sum(axis=1)) for h in masks)
        assert plan.value_lower == pytest.approx(best, abs=ENUMERATED)
        assert plan.value_upper == pytest.approx(best, abs=ENUMERATED)


def thirty_tokens(rng):
    for _ in range(200):
        laws = rng.dirichlet(np.full(30, rng.choice([0.3, 1.0, 3.0])), int(rng.integers(3, 6)))
        yield laws[0], laws[1:]


def test_the_winner_lies_in_the_cut_only_where_all_drafts_do(rng):
    """No cell crosses the cut, so that its value is not only a bound."""
    for target, drafts in itertools.chain(instances(rng, 210), thirty_tokens(rng)):
        plan = laminar_plan(target, drafts)
        assert plan.law[plan.subset].sum() == pytest.approx(drafts[:, plan.subset].sum(axis=1).prod(), abs=ENUMERATED)


LED_ASTRAY = {  # sorted by the target over the sum of the drafts, no prefix of the tokens is the best cut
    "two": ([11281, 864, 239, 6917, 645], [[17448, 886, 124, 0, 4], [13041, 152, 172, 5384, 1086]]),
    "three": ([4, 163, 3, 4, 0], [[0, 0, 44, 0, 90], [8, 0, 176, 0, 51], [0, 167, 0, 6, 4]]),
    "four": ([8, 0, 3, 12, 1, 803], [[87, 608, 75, 28, 2, 26], [0, 1, 45, 82, 0, 831], [0, 79, 0, 32, 280, 564],
                                     [0, 483, 0, 5, 149, 366]]),
    "one": ([99988, 2, 16, 4], [[178432, 85, 0, 888], [0, 1518631, 32076, 110], [127783, 5382, 0, 20]]),
}
SHORT = {"two": 0.0, "three": 1e-4, "four": 0.0, "one": 2e-4}  # what the plan lacks


@pytest.mark.parametrize("name", LED_ASTRAY)
def test_the_cut_is_improved_until_it_is_the_best(name):
    target, drafts = (np.array(masses, dtype=np.float64) for masses in LED_ASTRAY[name])
    target, drafts = target / target.sum(), drafts / drafts.sum(axis=1, keepdims=True)
    masks = np.array(list(itertools.product([False, True], repeat=target.size)))
    values = [1 + target[h].sum() - np.prod(drafts[:, h].sum(axis=1)) for h in masks]
    plan = laminar_plan(target, drafts)
    assert plan.value_upper == pytest.approx(min(values), abs=ENUMERATED)
    assert plan.subset.tolist() == masks[np.argmin(values)].tolist()
    assert plan.value_lower >= min(values) - SHORT[name] - ENUMERATED
    assert np.abs(played(plan, drafts) - plan.law).max() <= ENUMERATED


def test_chances_of_any_batch_of_lists_sum_to_one_also_where_nobody_drafts_a_token():
    drafts = np.array([[0.5, 0.3, 0.2, 0.0, 0.0], [0.1, 0.2, 0.7, 0.0, 0.0], [0.0, 0.6, 0.4, 0.0, 0.0]])
    plan = laminar_plan(np.array([0.3, 0.2, 0.1, 0.2, 0.2]), drafts)
    lists = np.array(list(itertools.product(range(5), repeat=3))).reshape(5, 25, 3)
    given = plan.conditional(lists)
    assert given.shape == lists.shape
    assert given.min() >= 0.0
    assert given.sum(axis=-1) == pytest.approx(np.ones((5, 25)), abs=1e-15)
    assert given[4, 18].tolist() == plan.conditional(lists[4, 18]).tolist() == [1.0, 0.0, 0.0]  # tokens 4, 3, 3


def test_drafters_of_one_law_reach_the_optimum(rng):
    """Then cells merge as in the hull of one drafter, and no cut is better."""
    for size, k in ((2, 2), (3, 2), (5, 3), (9, 2), (30, 4), (200, 8)):
        for _ in range(5):
            target, draft = random_law(rng, size), random_law(rng, size)
            plan = laminar_plan(target, np.broadcast_to(draft, (k, size)))
            assert plan.value_lower == pytest.approx(float(ot.optimal_acceptance(target, draft, k)), abs=1e-9)


def test_wrong_odds_and_wrong_life_times_are_seen(rng):
    caught = {"odds": 0, "stop": 0}
    for target, drafts in instances(rng, 30):
        plan = laminar_plan(target, drafts)
        for bug, values in (("odds", 1.0 - plan.odds), ("stop", plan.stop * 0.9)):
            law = played(dataclasses.replace(plan, **{bug: values}), drafts)
            caught[bug] += np.abs(law - plan.law).max() > 1e-6  # far above rounding
    assert min(caught.values()) >= 10


def test_drafts_of_a_wrong_shape_are_named():
    with pytest.raises(ShapeMismatch, match=r"drafts: shape \(3,\) is not"):
        laminar_plan(np.ones(3) / 3, np.ones(3) / 3)
