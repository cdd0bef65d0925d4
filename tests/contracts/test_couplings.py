"""Contracts of every coupling in the registry; each claim of an entry switches its tests on."""

import array_api_strict as strict
import numpy as np
import pytest
import torch
from scipy import stats

from otspec.analysis.agreement import agreement_bounds, sampled_agreement
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge
from otspec.core.joint_coupling import JointCoupling
from otspec.core.noise import Noise
from otspec.couplings import coupling, list_couplings
from otspec.transport.bounds import optimal_acceptance

ALONE, JOINT = list(list_couplings("coupling")), list(list_couplings("joint"))
ROUNDING = 1e-13  # sums of at most 9 tokens
SAMPLES = 40_000


def claiming(*claims):
    return [name for name, entry in list_couplings().items() if entry.claims.issuperset(claims)]


def drawn(name, target, draft, noise):
    """Tokens of both parties."""
    rule = coupling(name)
    if isinstance(rule, JointCoupling):
        return rule.couple(target, draft, noise)[:2]
    drafts = rule.select_list(draft, noise, 1)[..., 0] if "list" in list_couplings()[name].claims \
        else rule.select(draft, noise)
    return rule.select(target, noise), drafts


def pairs(family, count=12):
    """Batches of laws, one for each size."""
    rng = np.random.default_rng(17)
    for size in (1, 2, 3, 5, 9):
        drawn = [random_pair(family, size, rng) for _ in range(count)]
        yield tuple(map(np.stack, zip(*drawn, strict=True)))


@pytest.mark.parametrize("name", claiming("lossless"))
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties", "decades"])
def test_each_party_has_its_law(name, family):
    pair = random_pair(family, 6, np.random.default_rng(3))
    for law, tokens in zip(pair, drawn(name, *pair, Noise(1, np.arange(SAMPLES))), strict=True):
        counts = np.bincount(tokens, minlength=6)
        assert np.all(counts[law == 0] == 0)
        common = law * SAMPLES > 5
        rare = SAMPLES - counts[common].sum(), SAMPLES * (1 - law[common].sum())
        if rare[1] > 5:
            counts, expected = np.append(counts[common], rare[0]), np.append(law[common] * SAMPLES, rare[1])
        else:
            assert rare[0] <= 30  # Poisson with mean at most 5
            counts, expected = counts[common], law[common] * counts[common].sum() / law[common].sum()
        if len(counts) > 1:
            assert stats.chisquare(counts, expected).pvalue > 1e-5


@pytest.mark.parametrize("name", ALONE)
def test_same_tokens_on_every_library(name):
    laws = np.random.default_rng(0).dirichlet(np.full(11, 0.5), size=(4, 25))
    noise = Noise(8, np.arange(100).reshape(4, 25))
    rule = coupling(name)
    here = rule.select(laws, noise)
    for asarray in (torch.asarray, strict.asarray):
        # `_select` sees the arrays of the library; `select` may hand over views of them
        for select in (rule.select, lambda law, noise: rule._select(law, noise.like(law))):
            assert np.array_equal(here, np.asarray(select(asarray(laws), noise)))
            assert np.array_equal(rule.select(laws[0, 0], noise), np.asarray(select(asarray(laws[0, 0]), noise)))
    single = rule.select(laws.astype(np.float32), noise)
    assert single.shape == (4, 25)
    assert (single != here).sum() <= 1  # rounding the law moves it by 1e-8


@pytest.mark.parametrize("name", ALONE)
def test_tokens_depend_on_seed_and_position_only(name):
    laws = np.random.default_rng(1).dirichlet(np.ones(7), size=30)
    rule = coupling(name)
    together = rule.select(laws, Noise(5, np.arange(30)))
    alone = [int(rule.select(laws[t], Noise(5, t))) for t in reversed(range(30))]
    assert together.tolist() == alone[::-1]
    assert together.tolist() != rule.select(laws, Noise(6, np.arange(30))).tolist()


@pytest.mark.parametrize("name", claiming("reflexive"))
def test_equal_laws_agree_always(name):
    law = np.random.default_rng(2).dirichlet(np.ones(7))
    assert float(coupling(name).agreement(law, law)) == pytest.approx(1, abs=ROUNDING)


@pytest.mark.parametrize("name", claiming("exact_agreement"))
@pytest.mark.parametrize("family", FAMILIES)
def test_exact_agreement_lies_between_the_bounds_of_its_kind(name, family):
    rule = coupling(name)
    for target, draft in pairs(family):
        value, agreed = rule.agreement(target, draft), rule.agreed_law(target, draft)
        lower, upper = rule.bounds(target, draft)
        assert np.all(lower - ROUNDING <= value)
        assert np.all(value <= upper + ROUNDING)
        assert value == pytest.approx(agreed.sum(axis=-1), abs=ROUNDING)
        assert np.all(agreed <= target + ROUNDING)
        if rule.num_drafts == 1:
            assert np.all(agreed <= np.minimum(target, draft) + ROUNDING)
            assert np.all(value <= agreement_bounds(target, draft)[1] + ROUNDING)


@pytest.mark.parametrize("name", claiming("exact_agreement"))
def test_agreement_is_what_sampling_finds(name):
    rng, tried = np.random.default_rng(6), 0
    while tried < 3:
        target, draft = random_pair(("dirichlet", "zeros", "close")[tried], 5, rng)
        exact = float(coupling(name).agreement(target, draft))
        if not 0.01 < exact < 0.999:  # nothing to see
            continue
        tried += 1
        assert sampled_agreement(name, target, draft, n=SAMPLES, seed=7).covers(exact, z=5)


@pytest.mark.parametrize("name", claiming("exact_agreement", "symmetric"))
@pytest.mark.parametrize("family", FAMILIES)
def test_parties_may_change_places(name, family):
    for pair in pairs(family):
        there, back = (coupling(name).agreement(*laws) for laws in (pair, pair[::-1]))
        assert there == pytest.approx(back, abs=ROUNDING)


@pytest.mark.parametrize("name", claiming("exact_agreement", "invariant"))
@pytest.mark.parametrize("family", FAMILIES)
def test_the_numbering_of_the_tokens_does_not_matter(name, family):
    for target, draft in pairs(family):
        order = np.random.default_rng(0).permutation(target.shape[-1])
        here, there = (coupling(name).agreement(target[:, at], draft[:, at]) for at in (slice(None), order))
        assert here == pytest.approx(there, abs=ROUNDING)


@pytest.mark.parametrize("name", claiming("exact_joint"))
@pytest.mark.parametrize("family", FAMILIES)
def test_joint_law_has_both_marginals_and_the_agreement_on_its_diagonal(name, family):
    rule = coupling(name)
    for target, draft in pairs(family):
        joint = rule.joint(target, draft)
        assert np.all(joint >= 0)
        assert np.abs(joint.sum(axis=-1) - target).max() < ROUNDING
        assert np.abs(joint.sum(axis=-2) - draft).max() < ROUNDING
        assert np.abs(np.diagonal(joint, axis1=-2, axis2=-1) - rule.agreed_law(target, draft)).max() < ROUNDING


@pytest.mark.parametrize("name", claiming("exact_joint"))
def test_joint_law_is_what_select_does(name):
    target, draft = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.25, 0.05])
    tokens = drawn(name, target, draft, Noise(21, np.arange(SAMPLES)))
    cell = 4 * tokens[0] + tokens[1]
    joint = coupling(name).joint(target, draft).ravel()
    counts = np.bincount(cell, minlength=16)
    assert np.all(counts[joint == 0] == 0)
    assert stats.chisquare(counts[joint > 0], joint[joint > 0] / joint.sum() * SAMPLES).pvalue > 1e-5


@pytest.mark.parametrize("name", claiming("exact_joint"))
def test_exact_forms_are_batched_on_every_library(name):
    rng = np.random.default_rng(4)
    target, draft = rng.dirichlet(np.ones(6), size=(2, 3)), rng.dirichlet(np.ones(6), size=(2, 3))
    rule = coupling(name)
    for what in (rule.agreement, rule.joint):
        here = what(target, draft)
        for asarray in (torch.asarray, strict.asarray):
            assert np.allclose(here, np.asarray(what(asarray(target), asarray(draft))), atol=ROUNDING)
        assert np.allclose(here[1, 2], what(target[1, 2], draft[1, 2]), atol=ROUNDING)


@pytest.mark.parametrize("name", JOINT)
def test_joint_draws_do_not_depend_on_their_batch_or_library(name):
    rng = np.random.default_rng(5)
    target, draft = rng.dirichlet(np.ones(6), size=20), rng.dirichlet(np.ones(6), size=20)
    rule = coupling(name)
    here = rule.couple(target, draft, Noise(3, np.arange(20)))
    alone = [rule.couple(target[i], draft[i], Noise(3, i)) for i in range(20)]
    assert here.target.tolist() == [int(one.target) for one in alone]
    assert here.draft.tolist() == [int(one.draft) for one in alone]
    for asarray in (torch.asarray, strict.asarray):
        there = rule.couple(asarray(target), asarray(draft), Noise(3, np.arange(20)))
        assert np.array_equal(np.asarray(there.target), here.target)
        assert np.array_equal(np.asarray(there.draft), here.draft)


@pytest.mark.parametrize("name", JOINT)
def test_joint_couplings_refuse_to_select_alone_or_to_repeat_themselves(name):
    rule = coupling(name)
    with pytest.raises(BadArgument, match="both at hand"):
        rule.select([0.5, 0.5], Noise(0, 0))
    laws = np.full((3, 2), 0.5)
    for noise in (Noise(0, 0), Noise(0, np.array([1, 2, 1]))):
        with pytest.raises(BadArgument, match="depend on each other"):
            rule.couple(laws, laws, noise)
    with pytest.raises(ShapeMismatch, match="vocabularies"):
        rule.couple([0.5, 0.5], [1.0], Noise(0, 0))


@pytest.mark.parametrize("name", claiming("list"))
def test_lists_have_the_law_of_their_scheme(name):
    draft = np.array([0.4, 0.3, 0.2, 0.1, 0.0])
    rule, k = coupling(name), 3
    lists = rule.select_list(draft, Noise(9, np.arange(SAMPLES)), k)
    possible, law = rule.list_scheme(k).lists(draft)
    index = {tuple(one): place for place, one in enumerate(possible.tolist())}
    counts = np.bincount([index[tuple(one)] for one in lists.tolist()], minlength=len(law))
    assert stats.chisquare(counts, law * SAMPLES).pvalue > 1e-5
    for asarray in (torch.asarray, strict.asarray):
        there = rule._select_list(asarray(draft), Noise(9, np.arange(500)).like(asarray(draft)), k)
        assert np.array_equal(np.asarray(there), lists[:500])


@pytest.mark.parametrize("name", claiming("list"))
def test_lists_of_a_drafter_begin_alike(name):
    laws = np.random.default_rng(1).dirichlet(np.ones(6), size=50)
    rule, noise = coupling(name), Noise(1, np.arange(50))
    longest = rule.select_list(laws, noise, 4)
    for k in (1, 2, 3):
        assert np.array_equal(rule.select_list(laws, noise, k), longest[:, :k])


@pytest.mark.parametrize("name", claiming("list"))
@pytest.mark.parametrize("k", [1, 2, 4])
def test_agreement_of_lists_is_what_sampling_finds(name, k):
    rule = coupling(name)
    for family in ("dirichlet", "zeros", "one_hot_draft"):
        target, draft = random_pair(family, 6, np.random.default_rng(16))
        exact = float(rule.list_agreement(target, draft, k))
        assert sampled_agreement(name, target, draft, k=k, n=SAMPLES, seed=8).covers(exact, z=5)
        scheme = rule.list_scheme(k)
        assert exact <= float(optimal_acceptance(target, draft, scheme)) + ROUNDING


@pytest.mark.parametrize("name", [*ALONE, *JOINT])
def test_refusals(name):
    rule = coupling(name)
    with pytest.raises(ShapeMismatch, match="vocabularies"):
        rule.agreement([0.5, 0.5], [0.5, 0.25, 0.25])
    for k in (0, -1, 1.5, True):
        with pytest.raises(BadArgument, match="k:"):
            rule.list_agreement([0.5, 0.5], [0.5, 0.5], k)
    if "list" not in list_couplings()[name].claims:
        with pytest.raises(BadArgument, match="not a list"):
            rule.select_list([0.5, 0.5], Noise(0, 0), 2)
    assert coupling(rule) is rule
    with pytest.raises(BadArgument, match="sheets: "):
        coupling(rule, sheets=1)
    with pytest.raises(BadArgument, match="sheets: "):
        coupling(name, sheets=1)


@pytest.mark.parametrize("name", claiming("exact_joint"))
def test_a_joint_law_that_would_not_fit_is_refused(name):
    with pytest.raises(TooLarge, match="agreement"):
        coupling(name).joint(np.full(2**14, 2.0**-14), np.full(2**14, 2.0**-14))


@pytest.mark.parametrize("name", ALONE)
def test_refusals_of_one_party(name):
    rule = coupling(name)
    with pytest.raises(NotALaw, match="law"):
        rule.select([0.5, 0.6], Noise(0, 0))
    with pytest.raises(ShapeMismatch, match="position"):
        rule.select(np.full((2, 2), 0.5), Noise(0, np.arange(3)))


@pytest.mark.parametrize("name", ALONE)
def test_rows_that_share_a_position_are_read_with_the_same_noise(name):
    # what a scalar position is for: two parties, or one party under several laws
    law = np.random.default_rng(3).dirichlet(np.ones(9))
    same = coupling(name).select(np.stack([law] * 5), Noise(2, 7))
    assert len(set(same.tolist())) == 1
    assert coupling(name).select(law, Noise(2, np.array([7, 7]))).tolist() == same[:2].tolist()
