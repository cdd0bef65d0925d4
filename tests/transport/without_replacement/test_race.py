"""Capacities of drafts without replacement against the enumeration of every draft list."""

import itertools
import math

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.transport.without_replacement import race
from otspec.transport.without_replacement.race import race_containment, race_increments, race_lead


def list_probability(draft, tokens):
    """Pr[these drafts in this order]; what is left is summed, never subtracted."""
    chance, left = 1.0, np.ones(draft.size, dtype=bool)
    for token in tokens:
        chance *= draft[token] / draft[left].sum()
        left[token] = False
    return chance


def enumerated(draft, k):
    """Increments of the capacity: the mass of the lists by their last token in the order."""
    support = np.flatnonzero(draft)
    out = np.zeros(draft.size)
    for tokens in itertools.permutations(support, min(k, support.size)):
        out[max(tokens)] += list_probability(draft, tokens)
    return out


def laws():
    rng = np.random.default_rng(11)
    for size in (4, 5, 6, 7):
        for _ in range(4):
            yield rng.dirichlet(np.ones(size))
        zeros = rng.dirichlet(np.ones(size))
        zeros[[0, 2]] = 0
        yield zeros / zeros.sum()
        yield np.full(size, 1 / size)
        for place in (0, size // 2, size - 1):
            dominant = rng.uniform(1, 5, size) * 1e-9
            dominant[place] = 1.0
            yield dominant / dominant.sum()
        decades = 10.0 ** -np.linspace(0, 9, size)
        yield decades / decades.sum()
        yield rng.permutation(decades) / decades.sum()
    yield np.array([1e-40, 1.0, 1e-20, 3e-40, 2e-20])
    yield np.array([1.0, 1e-120, 1e-100, 3e-120, 2e-100])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_increments_equal_enumeration(k):
    for draft in laws():
        got = race_increments(draft, k)
        assert got == pytest.approx(enumerated(draft, k), abs=1e-14)  # quadrature error by design


def test_eight_drafts_equal_the_recursion_on_the_first_draft():
    draft = np.random.default_rng(2).dirichlet(np.ones(10))
    k, last = 8, np.zeros(10)

    def held(subset):  # Pr[all 8 drafts lie in subset] by recursion on the first draft
        memo = {}

        def walk(left, more):
            if more == 0:
                return 1.0
            if (left, more) not in memo:
                total = sum(draft[i] for i in left) + outside
                memo[left, more] = sum(draft[i] / total * walk(left - {i}, more - 1) for i in left)
            return memo[left, more]

        outside = sum(draft[i] for i in range(10) if i not in subset)
        return walk(frozenset(subset), k)

    for size in range(1, 11):
        last[size - 1] = held(range(size))
    assert np.cumsum(race_increments(draft, k)) == pytest.approx(last, abs=1e-14)  # quadrature


def test_few_drafts_use_no_quadrature_yet_agree_with_it():
    draft = np.random.default_rng(4).dirichlet(np.ones(300) * 0.3)
    by_integral = np.empty(300)
    for k in (1, 2):
        race._race_row(draft, k, race._STEP, race.reach(k), by_integral)
        assert race_increments(draft, k) == pytest.approx(by_integral, abs=1e-14)  # quadrature


def test_two_drafts_are_exact_to_the_digit():
    for draft in laws():
        if draft.min() > 1e-12:  # a law without gaps to be narrowed
            assert race_increments(draft, 2) == pytest.approx(enumerated(draft, 2), rel=1e-13, abs=0.0)


def test_sums_behind_each_token_keep_their_digits():
    draft = np.exp(4 * np.random.default_rng(5).normal(size=4000))
    for masses in (draft, np.sort(draft), np.sort(draft)[::-1].copy(), np.full(4000, 0.1)):
        behind = np.empty(4000)
        race._suffix_mass(masses, behind)
        places = [0, 1, *range(50, 4000, 97), 3998, 3999]
        assert behind[places] == pytest.approx([math.fsum(masses[j + 1 :]) for j in places], rel=4e-16, abs=0.0)


def test_the_series_of_light_tokens_is_the_exponential():
    """Counts, integral and decay of one token, by the series and by the exponential at the same points."""
    times, q, s, k = np.geomspace(1e-4, 0.5, 40), 0.02, 0.3, 5
    found = []
    for series_end in (40, 17, 0, -3):
        count = np.random.default_rng(3).dirichlet(np.ones(k + 1), 40).T.copy()
        count[0] = 0.0
        reached, arrival = 1.0 - count.sum(axis=0), np.empty(40)
        decay, settled, before = np.exp(-times * (s + q)), (-np.expm1(-times)) ** k, count.copy()
        total = race._advance(count, times, settled, decay, reached, arrival, q, s, series_end, 40, k)
        assert arrival == pytest.approx(-np.expm1(-q * times), rel=3e-15, abs=0.0)
        assert decay == pytest.approx(np.exp(-s * times), rel=3e-15, abs=0.0)
        assert count[1:] == pytest.approx(before[1:] + arrival * (before[:-1] - before[1:]), rel=1e-14)
        assert reached == pytest.approx(1.0 - before.sum(axis=0) + arrival * before[k], rel=1e-14)
        found.append(total)
    assert found == pytest.approx([found[0]] * 4, rel=1e-14)


def test_finer_steps_change_nothing():
    rng = np.random.default_rng(9)
    for k in (3, 4, 8):
        draft = np.exp(3 * rng.normal(size=3000))
        draft /= draft.sum()
        fine = np.empty(3000)
        race._race_row(draft, k, race._STEP / 2, race.reach(k), fine)
        got = race_increments(draft, k)
        assert np.abs(np.cumsum(got) - np.cumsum(fine)).max() < 1e-13  # 3000 roundings
        assert fine.sum() == pytest.approx(1, abs=1e-13)  # the integral itself ends at 1


def test_many_tokens_do_not_add_up_their_rounding():
    draft = np.random.default_rng(0).dirichlet(np.full(20_000, 5.0))
    by_integral = np.empty(draft.size)
    race._race_row(draft, 2, race._STEP, race.reach(2), by_integral)
    assert np.abs(by_integral - race_increments(draft, 2)).max() < 6e-17  # ten times that if they did


@pytest.mark.parametrize("k", [2, 3, 4])
def test_increments_are_convex_along_the_order(k):
    draft = np.random.default_rng(6).dirichlet(np.ones(400))
    slopes = race_increments(draft, k) / draft
    assert np.all(np.diff(slopes) >= -1e-11)  # increments exact to 1e-16 over tokens of 1e-5


def test_as_many_drafts_as_tokens_complete_at_the_last_one():
    draft = np.array([0.25, 0.0, 0.5, 0.25, 0.0])
    for k in (3, 4, 9):
        assert race_increments(draft, k).tolist() == [0, 0, 0, 1, 0]
    assert race_increments([0.0, 1.0], 2).tolist() == [0, 1]


def test_low_temperature_terminates_and_sums_to_one():
    rng = np.random.default_rng(8)
    logits = rng.normal(size=2048) * 40
    for scale in (0.1, 0.02):
        draft = np.exp((logits - logits.max()) / scale)
        draft /= draft.sum()
        for k in (2, 3, 4):
            got = race_increments(draft, k)
            assert np.all(np.isfinite(got))
            assert math.fsum(got) == pytest.approx(1, abs=1e-13)  # 2048 roundings
            assert got.min() >= 0


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_containment_of_any_subset(k):
    draft = np.random.default_rng(12).dirichlet(np.ones(6))
    masks = np.array(list(itertools.product([False, True], repeat=6)))
    lists = [(t, list_probability(draft, t)) for t in itertools.permutations(range(6), k)]
    want = [math.fsum(w for t, w in lists if mask[list(t)].all()) for mask in masks]
    got = race_containment(np.broadcast_to(draft, masks.shape), masks, k)
    assert got == pytest.approx(np.array(want), abs=1e-14)  # quadrature


def test_lead_counts_the_inside_tokens_before_the_first_outside_one():
    inside, outside = np.array([0.2, 0.3, 0.1]), np.array([0.25, 0.15])
    rates, want = np.concatenate([inside, outside]), np.zeros(3)
    for tokens in itertools.permutations(range(5)):
        lead = min(place for place, token in enumerate(tokens) if token >= 3)
        want[min(lead, 2)] += list_probability(rates, tokens)
    assert race_lead(inside, outside, 2) == pytest.approx(want, abs=1e-14)  # 120 list probabilities
    assert race_lead(inside, np.zeros(0), 2).tolist() == [0, 0, 1]
    assert race_lead(np.zeros(2), outside, 2).tolist() == [1, 0, 0]


def test_batches_equal_their_rows():
    draft = np.random.default_rng(13).dirichlet(np.ones(9), (2, 2))
    for k in (1, 2, 3):
        whole = race_increments(draft, k)
        for i in np.ndindex(2, 2):
            assert np.array_equal(whole[i], race_increments(draft[i], k))


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_bad_k_is_named(k):
    with pytest.raises(BadArgument, match="k is"):
        race_increments([0.5, 0.5], k)


@pytest.mark.parametrize("k", [3, 4])
def test_tokens_that_are_never_drafted_do_not_count_among_the_first(k):
    """The k-th token that can be drafted is the first that all k drafts may lie before, whatever zeros stand there."""
    draft = np.array([0.0, 0.3, 0.0, 0.0, 0.2, 0.0, 0.1, 0.15, 0.05, 0.2])
    increments = race_increments(draft, k)
    places = np.flatnonzero(draft)
    assert (increments[: places[k - 1]] == 0.0).all()
    assert (increments[places[k - 1:]] > 0.0).all()
    assert increments[places] == pytest.approx(race_increments(draft[places], k), abs=1e-13)
