"""Different drafters: both certified ends against brute force, and the plan played out."""

import dataclasses
import itertools

import numpy as np
import pytest

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.transport.drafters.laminar import laminar_plan
from otspec.transport.drafters.minimum_norm import independent_capacity, minimum_norm_law
from otspec.transport.winner.laws import cumulative, ratio_order, replacement_capacity, universal_law
from otspec.transport.without_replacement.race import race_increments


def softmax(logits):
    law = np.exp(logits - logits.max())
    return law / law.sum()


def instances(size, k, seed):
    """Unrelated drafters, noisy copies of the target, zeros, one dominant token, a one-hot target."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=size)
    target = softmax(logits)
    yield target, rng.dirichlet(np.ones(size), k)
    yield target, np.array([softmax(logits + rng.normal(size=size)) for _ in range(k)])
    drafts = rng.dirichlet(np.ones(size), k)
    drafts[0, 0] = drafts[-1, 1] = 0
    zeros = target.copy()
    zeros[[1, 2]] = 0
    yield zeros / zeros.sum(), drafts / drafts.sum(axis=1, keepdims=True)
    drafts = rng.uniform(1, 5, (k, size)) * 1e-9
    drafts[0, 2] = drafts[1, 0] = 1.0
    yield target, drafts / drafts.sum(axis=1, keepdims=True)
    yield np.eye(size)[1], rng.dirichlet(np.ones(size), k)
    yield target, np.tile(target, (k, 1))


@pytest.mark.parametrize("k", [2, 3, 4])
def test_both_ends_meet_the_optimum_over_all_subsets(k):
    for size in (3, 5, 6):
        masks = np.array(list(itertools.product([False, True], repeat=size)))
        for target, drafts in instances(size, k, size):
            best = min(1 + target[h].sum() - np.prod(drafts[:, h].sum(axis=1)) for h in masks)
            found = minimum_norm_law(target, independent_capacity(drafts))
            assert found.value_upper == pytest.approx(best, abs=1e-12)  # sums of a dozen numbers
            assert found.value_lower == pytest.approx(best, abs=2e-10)  # the default width
            h = found.subset
            value = 1 + target[h].sum() - np.prod(drafts[:, h].sum(axis=1))
            assert value == pytest.approx(found.value_upper, abs=1e-14)  # sums of a dozen numbers
            slack = min(found.law[h].sum() - np.prod(drafts[:, h].sum(axis=1)) for h in masks)
            assert slack >= -1e-14  # a mixture of extreme points is in the core up to rounding


def test_the_plan_played_out_has_the_law():
    for target, drafts in instances(5, 3, 9):
        found = minimum_norm_law(target, independent_capacity(drafts))
        assert found.weights.min() > 0
        assert found.weights.sum() == pytest.approx(1, abs=1e-14)  # a few roundings
        played = np.zeros(5)
        for tokens in itertools.product(range(5), repeat=3):
            chance = np.prod(drafts[np.arange(3), list(tokens)])
            for order, weight in zip(found.orders, found.weights, strict=True):
                rank = np.argsort(order)
                played[max(tokens, key=lambda token: rank[token])] += chance * weight
        assert played == pytest.approx(found.law, abs=1e-13)  # a few hundred terms
        assert np.minimum(played, target).sum() == pytest.approx(found.value_lower, abs=1e-13)  # same


@pytest.mark.parametrize("k", [2, 3])
def test_equal_drafters_give_the_universal_law(k):
    rng = np.random.default_rng(k)
    target, draft = softmax(rng.normal(size=12)), softmax(rng.normal(size=12))
    found = minimum_norm_law(target, independent_capacity(np.tile(draft, (k, 1))), tol=1e-13)
    order = ratio_order(target, draft)
    want = np.empty(12)
    want[order] = universal_law(target[order], replacement_capacity(draft[order], k))
    assert np.minimum(found.law, target).sum() == pytest.approx(np.minimum(want, target).sum(), abs=1e-12)


def test_any_capacity_oracle_will_do():
    rng = np.random.default_rng(3)
    target, draft = rng.dirichlet(np.ones(9)), rng.dirichlet(np.ones(9))
    found = minimum_norm_law(target, lambda order: cumulative(race_increments(draft[order], 3)))
    order = ratio_order(target, draft)
    law = universal_law(target[order], cumulative(race_increments(draft[order], 3)))
    best = np.minimum(law, target[order]).sum()
    assert found.value_lower == pytest.approx(best, abs=2e-10)  # the default width
    assert found.value_upper == pytest.approx(best, abs=1e-12)  # a cut's value has only roundings


@pytest.mark.parametrize("k", [2, 3, 4])
def test_three_hundred_tokens_are_certified(k):
    rng = np.random.default_rng(k)
    logits = 3 * rng.normal(size=300)
    drafts = np.array([softmax((logits + 0.8 * rng.normal(size=300)) / t) for t in (0.5, 0.8, 1, 1.4)[:k]])
    found = minimum_norm_law(softmax(logits), independent_capacity(drafts))
    assert -1e-13 < found.value_upper - found.value_lower <= 1e-9  # rounding below, the contract above


def test_a_first_plan_shares_the_weight_and_changes_no_value():
    shares = []
    for k in (2, 3, 4):
        for target, drafts in instances(6, k, 17):
            capacity = independent_capacity(drafts)
            alone = minimum_norm_law(target, capacity)
            first = laminar_plan(target, drafts)
            found = minimum_norm_law(target, capacity, first=first)
            assert found.value_upper == pytest.approx(alone.value_upper, abs=1e-12)  # sums of a dozen numbers
            assert found.value_lower == pytest.approx(alone.value_lower, abs=2e-10)  # the default width
            assert found.weights.sum() + found.first_weight == pytest.approx(1, abs=1e-14)  # a few roundings
            law = found.first_weight * first.law
            for order, weight in zip(found.orders, found.weights, strict=True):
                law[order] += weight * np.diff(capacity(order))
            assert np.abs(law - found.law).max() <= 1e-14  # the plan's law, summed in another order
            masks = itertools.product([False, True], repeat=6)
            slack = min(found.law[h].sum() - np.prod(drafts[:, h].sum(axis=1)) for h in map(np.array, masks))
            assert slack >= -1e-14  # a mixture of winner laws is in the core up to rounding
            shares.append(found.first_weight)
    assert 0.0 < max(shares) <= 1.0


def test_a_poor_first_plan_is_replaced():
    drafts = np.random.default_rng(5).dirichlet(np.ones(6), 2)
    target = np.random.default_rng(6).dirichlet(np.ones(6))
    capacity = independent_capacity(drafts)
    poor = dataclasses.replace(laminar_plan(target, drafts), law=np.diff(capacity(np.argsort(-target)))[
        np.argsort(np.argsort(-target))], subset=target > 0.1)
    assert np.minimum(poor.law, target).sum() < minimum_norm_law(target, capacity).value_upper - 0.01
    found = minimum_norm_law(target, capacity, first=poor)
    assert found.value_upper - found.value_lower <= 1e-10  # the default width


class Counted:
    """A capacity oracle that counts its calls, and that may not know its gains, as a user's own does not."""

    def __init__(self, capacity, *, gains=True):
        self._capacity, self.calls = capacity, 0
        if gains:
            self.gains = capacity.gains

    def __call__(self, order):
        self.calls += 1
        return self._capacity(order)


def related(size, temperatures=(0.5, 1, 1.4)):
    rng = np.random.default_rng(3)
    logits = 3 * rng.normal(size=size)
    drafts = [softmax((logits + 0.8 * rng.normal(size=size)) / t) for t in temperatures]
    return softmax(logits), np.array(drafts)


@pytest.mark.parametrize("started", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 5, 20, 520])
def test_no_more_rules_are_tried_than_the_limit(limit, started):
    """A width below zero is never reached, so that only the limit ends the search."""
    target, drafts = related(40)
    best = minimum_norm_law(target, independent_capacity(drafts))
    first = laminar_plan(target, drafts) if started else None
    for gains in (False, True):
        capacity = Counted(independent_capacity(drafts), gains=gains)
        found = minimum_norm_law(target, capacity, first=first, tol=-1.0, max_iterations=limit)
        assert 4 * limit <= capacity.calls <= 10 * limit + 10  # chosen among four, and sorted
        assert len(found.orders) <= limit + 1  # the first order of all is not counted
        assert found.value_lower <= best.value_upper + 1e-13
        assert found.value_upper >= best.value_lower - 1e-13
        assert found.value_upper - found.value_lower <= 2e-2  # one rule does that much
        assert found.weights.sum() + found.first_weight == pytest.approx(1, abs=1e-14)
        assert found.law.sum() == pytest.approx(1, abs=1e-14)
        assert np.minimum(found.law, target).sum() == pytest.approx(found.value_lower, abs=1e-14)


def test_searches_that_are_not_stuck_take_longer_turns_after_the_first_ones():
    target, drafts = next(instances(4, 2, 1))
    calls = []
    for limit in (480, 600, 900):  # four ways of 120 rules, and of 240
        capacity = Counted(independent_capacity(drafts))
        minimum_norm_law(target, capacity, tol=-1.0, max_iterations=limit)
        calls.append(capacity.calls)
    assert calls[1] - calls[0] >= 2 * 120
    assert calls[2] - calls[1] >= 2 * 300


def test_a_wide_interval_is_reached_with_fewer_calls():
    target, drafts = related(60)
    calls = []
    for tol in (1.0, 1e-3, 1e-5, 1e-10):
        capacity = Counted(independent_capacity(drafts))
        found = minimum_norm_law(target, capacity, tol=tol)
        assert found.value_upper - found.value_lower <= tol
        calls.append(capacity.calls)
    assert calls[0] < calls[1] < calls[2] < calls[3] < 100


def test_a_target_among_the_winner_laws_has_the_empty_cut(rng):
    drafts = rng.dirichlet(np.ones(6), 3)
    capacity, target = independent_capacity(drafts), np.zeros(6)
    for weight in rng.dirichlet(np.ones(20)):
        order = rng.permutation(6)
        target[order] += weight * np.diff(capacity(order))
    found = minimum_norm_law(target, capacity)
    assert found.value_upper == pytest.approx(1.0, abs=1e-14)
    assert not found.subset.any() or found.subset.all()
    assert found.value_lower >= 1.0 - 2e-10  # the default width


@pytest.mark.parametrize("tol", [1e-10, -1.0])
def test_searches_that_can_go_no_further_end(tol):
    target, drafts = np.array([0.1, 0.2, 0.7]), np.full((2, 3), 1 / 3)
    capacity = Counted(independent_capacity(drafts))
    found = minimum_norm_law(target, capacity, tol=tol)
    assert found.value_lower == pytest.approx(found.value_upper, abs=1e-15)
    assert found.first_weight == 0.0
    assert capacity.calls < 200


def test_a_first_plan_that_is_optimal_ends_the_search_before_it_begins():
    target, drafts = np.array([0.5, 0.3, 0.2]), np.array([[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]])
    capacity, first = Counted(independent_capacity(drafts)), laminar_plan(target, drafts)
    found = minimum_norm_law(target, capacity, first=first)
    assert (capacity.calls, found.first_weight) == (1, 1.0)
    assert (found.orders.shape, found.weights.shape) == ((0, 3), (0,))
    assert found.law.tolist() == first.law.tolist()
    assert found.value_upper == pytest.approx(first.value_upper, abs=1e-15)


def test_capacities_run_from_zero_to_one_whatever_the_drafts_sum_to():
    drafts = np.random.default_rng(1).dirichlet(np.ones(7), 3)
    order = np.array([3, 1, 6, 0, 5, 2, 4])
    for scale in (1.0, 0.25, 3.0):
        got = independent_capacity(scale * drafts)(order)
        assert (got[0], got[-1]) == (0.0, 1.0)
        assert got[1:] == pytest.approx(np.cumsum(drafts[:, order], axis=1).prod(axis=0), abs=1e-15)


FAMILIES = {
    "warmer and colder": lambda logits, noise: [softmax(logits / t) for t in (0.6, 1.4)],
    "one unrelated": lambda logits, noise: [softmax(logits + noise[0]), softmax(noise[1])],
    "four temperatures": lambda logits, noise: [softmax((logits + 0.8 * n) / t)
                                                for t, n in zip((0.5, 0.8, 1, 1.4), noise, strict=True)],
    "four relatives": lambda logits, noise: [softmax(logits + n) for n in noise],
    "one drafter twice": lambda logits, noise: [softmax(logits + n) for n in noise[[0, 0, 1, 2]]],
}


@pytest.mark.parametrize("family", FAMILIES)
def test_two_thousand_tokens_are_certified(family):
    rng = np.random.default_rng(7)
    logits = (-1.1 * np.log1p(np.arange(2048)))[rng.permutation(2048)] + rng.normal(size=2048)
    target, drafts = softmax(logits), np.array(FAMILIES[family](logits, rng.normal(size=(4, 2048))))
    found = minimum_norm_law(target, independent_capacity(drafts), tol=9e-10)
    assert found.value_upper - found.value_lower <= 1e-9  # the certified contract
    h = found.subset
    value = 1 + target[h].sum() - np.prod(drafts[:, h].sum(axis=1))
    assert value == pytest.approx(found.value_upper, abs=1e-13)  # sums of 2048 numbers
    law = np.zeros(2048)
    for order, weight in zip(found.orders, found.weights, strict=True):
        law[order] += weight * np.diff(np.prod(np.cumsum(drafts[:, order], axis=1), axis=0), prepend=0.0)
    assert np.abs(law - found.law).max() < 1e-14  # the plan's law, summed in another order
    assert found.law.min() >= 0
    assert np.minimum(law, target).sum() == pytest.approx(found.value_lower, abs=1e-13)  # sums of 2048 numbers


def test_tokens_that_nobody_drafts_and_targets_of_zero():
    target = np.array([0.4, 0.35, 0.0, 0.25, 0.0])
    drafts = np.array([[0.5, 0.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5, 0.0]])
    found = minimum_norm_law(target, independent_capacity(drafts))
    # token 0 or 3 is drafted with probability .75, and each at most with its target mass
    assert found.value_upper == pytest.approx(0.65, abs=1e-15)
    assert found.value_lower == pytest.approx(0.65, abs=1e-15)


def test_two_thousand_tokens_keep_a_valid_interval():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=2048)
    drafts = np.array([softmax(logits + rng.normal(size=2048)), softmax(rng.normal(size=2048))])
    found = minimum_norm_law(softmax(logits), independent_capacity(drafts), max_iterations=4)
    assert -1e-12 < found.value_upper - found.value_lower < 1e-2  # stopped early on purpose
    assert len(found.orders) == len(found.weights)


def test_bad_arguments_are_named():
    with pytest.raises(ShapeMismatch, match=r"drafts has shape \(3,\)"):
        independent_capacity(np.ones(3) / 3)
    with pytest.raises(BadArgument, match="max_iterations is 0"):
        minimum_norm_law(np.array([0.5, 0.5]), independent_capacity(np.full((2, 2), 0.5)), max_iterations=0)
