"""Zero rejection in both forms, and the divergence that it allows."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import otspec as ot
from otspec.analysis.ceiling import kl, kl_ceiling, stop_loss_gap, zero_rejection
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.transport.programme.cut import minimum_cut

TIGHT = 1e-12  # sums of at most a few dozen rounded terms


def reachable_pair(rng, size, k):
    """A pair with zero rejection: the target is a winner law of the draft law, mixed with easier targets."""
    draft = rng.dirichlet(np.full(size, 10 ** rng.uniform(-1, 1)))
    order = rng.permutation(size)
    target = np.empty(size)
    target[order] = np.diff(np.concatenate([[0.0], np.cumsum(draft[order])]) ** k)
    share = rng.choice([0.0, rng.random()])
    target = np.maximum((1 - share) * target + share * draft, 0.0)
    return target / target.sum(), draft


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_prefixes_stop_loss_and_optimum_say_the_same(family, k, rng):
    for size in (4, 9, 30):
        target, draft = random_pair(family, size, rng)
        verdict = zero_rejection(target, draft, k)
        optimum = float(ot.optimal_acceptance(target, draft, k))
        assert bool(verdict.possible) == (optimum >= 1 - 1e-11)
        assert 1 + min(float(verdict.margin), 0.0) == pytest.approx(optimum, abs=TIGHT)
        assert float(np.min(stop_loss_gap(target, draft, k))) == pytest.approx(optimum - 1, abs=TIGHT)
        # at any other threshold the gap is no smaller
        others = stop_loss_gap(target, draft, k, rng.uniform(0, 2 * k, 50))
        assert others.min() >= optimum - 1 - TIGHT


def test_the_binding_subset_attains_the_margin_over_all_sets(rng):
    for _ in range(50):
        target, draft = random_pair("zeros", 5, rng)
        verdict = zero_rejection(target, draft, 3)
        subset = verdict.binding
        assert target[subset].sum() - draft[subset].sum() ** 3 == pytest.approx(float(verdict.margin), abs=TIGHT)
        best = float(minimum_cut(ot.MembershipProblem(target, draft, 3)).value)
        assert 1 + min(float(verdict.margin), 0.0) == pytest.approx(best, abs=TIGHT)


def test_winner_laws_stand_exactly_on_the_border(rng):
    for _ in range(50):
        size, k = int(rng.integers(4, 40)), int(rng.integers(2, 5))
        draft = rng.dirichlet(np.ones(size))
        target = np.diff(np.concatenate([[0.0], np.cumsum(draft)]) ** k)
        target /= target.sum()
        verdict = zero_rejection(target, draft, k)
        assert bool(verdict.possible)
        assert abs(float(verdict.margin)) < TIGHT
        # one step beyond: more mass on the token that the drafter offers last
        beyond = 0.99 * target + 0.01 * np.eye(size)[-1]
        assert not bool(zero_rejection(beyond, draft, k).possible)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 16), st.integers(0, 200))
def test_zero_rejection_forces_the_divergence_under_the_ceiling(seed, k, extra):
    target, draft = reachable_pair(np.random.default_rng(seed), k + extra, k)
    assert bool(zero_rejection(target, draft, k).possible)
    assert float(kl(target, draft)) <= kl_ceiling(k) + TIGHT


@pytest.mark.parametrize("k", [2, 4, 16])
def test_the_ceiling_is_approached_by_fine_laws(k):
    draft = np.full(20_000, 1 / 20_000)
    target = np.diff(np.linspace(0, 1, 20_001) ** k)
    assert float(kl(target, draft)) == pytest.approx(kl_ceiling(k), rel=1e-3)  # the discretisation of U
    assert bool(zero_rejection(target, draft, k).possible)


def test_golden_ceilings():
    assert kl_ceiling(2) == pytest.approx(math.log(2) - 0.5, abs=1e-15)
    assert kl_ceiling(4) == pytest.approx(math.log(4) - 0.75, abs=1e-15)
    assert [kl_ceiling(k) < kl_ceiling(k + 1) for k in range(1, 20)] == [True] * 19


def test_slack_is_reported_where_zero_rejection_is_easy():
    verdict = zero_rejection([0.5, 0.5], [0.5, 0.5], 2)
    assert bool(verdict.possible)
    assert float(verdict.margin) == 0.25
    assert verdict.binding.sum() == 1
    alone = zero_rejection([1.0, 0.0], [1.0, 0.0], 2)
    assert (bool(alone.possible), float(alone.margin), int(alone.binding.sum())) == (True, 0.0, 0)


def test_batches_and_array_libraries_agree(convert, rng):
    pairs = [random_pair(family, 12, rng) for family in FAMILIES]
    target, draft = (np.stack(laws) for laws in zip(*pairs, strict=True))
    single = [zero_rejection(p, q, 3) for p, q in pairs]
    batch = zero_rejection(convert(target), convert(draft), 3)
    assert np.asarray(batch.possible).tolist() == [bool(one.possible) for one in single]
    np.testing.assert_allclose(np.asarray(batch.margin), [float(one.margin) for one in single], atol=TIGHT)
    np.testing.assert_allclose(np.asarray(kl(convert(target), convert(draft))), [kl(p, q) for p, q in pairs],
                               rtol=1e-12, atol=TIGHT)
    gaps = np.asarray(stop_loss_gap(convert(target), convert(draft), 3))
    np.testing.assert_allclose(gaps.min(axis=-1), np.minimum(np.asarray(batch.margin), 0), atol=TIGHT)


def test_a_divergence_survives_extreme_masses():
    tiny = 1e-300
    assert float(kl([1 - tiny, tiny], [tiny, 1 - tiny])) == pytest.approx(300 * math.log(10), rel=1e-12)
    assert bool(zero_rejection([1 - tiny, tiny], [1.0, 0.0], 2).possible)


def test_bad_arguments_are_named():
    with pytest.raises(ot.BadArgument, match="k"):
        kl_ceiling(0)
    assert zero_rejection([0.5, 0.5], [0.5, 0.5], 3)  # more draws with replacement than tokens are lawful
    with pytest.raises(ot.BadArgument, match="thresholds"):
        stop_loss_gap([0.5, 0.5], [0.5, 0.5], 2, [-1.0])
    with pytest.raises(ot.NotALaw, match="half-precision"):
        zero_rejection(torch.tensor([0.5, 0.5], dtype=torch.float16), torch.tensor([0.5, 0.5]), 2)
    with pytest.raises(ot.NotALaw, match="draft"):
        kl([0.5, 0.5], [0.5, 0.6])
