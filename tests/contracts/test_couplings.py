"""Contracts of every coupling in the registry; each claim of an entry switches its tests on."""

import array_api_strict as strict
import numpy as np
import pytest
import torch
from scipy import stats

from otspec.analysis.agreement import agreement_bounds
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge
from otspec.core.noise import Noise
from otspec.couplings import coupling, list_couplings

NAMES = list(list_couplings())
ROUNDING = 1e-13  # sums of at most 9 tokens
SAMPLES = 40_000


def claiming(claim):
    return [name for name, entry in list_couplings().items() if claim in entry.claims]


def pairs(family, count=12):
    rng = np.random.default_rng(17)
    return [random_pair(family, size, rng) for size in (1, 2, 3, 5, 9) for _ in range(count)]


@pytest.mark.parametrize("name", claiming("lossless"))
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties", "decades"])
def test_each_party_has_its_law(name, family):
    law = random_pair(family, 6, np.random.default_rng(3))[0]
    tokens = coupling(name).select(law, Noise(1, np.arange(SAMPLES)))
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


@pytest.mark.parametrize("name", NAMES)
def test_same_tokens_on_every_library(name):
    laws = np.random.default_rng(0).dirichlet(np.full(11, 0.5), size=(4, 25))
    noise = Noise(8, np.arange(100).reshape(4, 25))
    here = coupling(name).select(laws, noise)
    for asarray in (torch.asarray, strict.asarray):
        assert np.array_equal(here, np.asarray(coupling(name).select(asarray(laws), noise)))
        assert np.array_equal(coupling(name).select(laws[0, 0], noise),
                              np.asarray(coupling(name).select(asarray(laws[0, 0]), noise)))
    single = coupling(name).select(laws.astype(np.float32), noise)
    assert single.shape == (4, 25)
    assert (single != here).sum() <= 1  # rounding the law moves it by 1e-8


@pytest.mark.parametrize("name", NAMES)
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
def test_exact_agreement_lies_between_the_bounds_and_is_symmetric(name, family):
    rule = coupling(name)
    for target, draft in pairs(family):
        value = float(rule.agreement(target, draft))
        lower, upper = agreement_bounds(target, draft)
        assert lower - ROUNDING <= value <= upper + ROUNDING
        assert value == pytest.approx(float(rule.agreement(draft, target)), abs=ROUNDING)
        order = np.random.default_rng(0).permutation(len(target))
        assert value == pytest.approx(float(rule.agreement(target[order], draft[order])), abs=ROUNDING)
        assert np.all(rule.agreed_law(target, draft) <= np.minimum(target, draft) + ROUNDING)


@pytest.mark.parametrize("name", claiming("exact_joint"))
@pytest.mark.parametrize("family", FAMILIES)
def test_joint_law_has_both_marginals_and_the_agreement_on_its_diagonal(name, family):
    rule = coupling(name)
    for target, draft in pairs(family):
        joint = rule.joint(target, draft)
        assert np.all(joint >= 0)
        assert np.abs(joint.sum(axis=-1) - target).max() < ROUNDING
        assert np.abs(joint.sum(axis=-2) - draft).max() < ROUNDING
        assert np.abs(np.diagonal(joint) - rule.agreed_law(target, draft)).max() < ROUNDING


@pytest.mark.parametrize("name", claiming("exact_joint"))
def test_joint_law_is_what_select_does(name):
    target, draft = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.25, 0.05])
    rule, noise = coupling(name), Noise(21, np.arange(SAMPLES))
    cell = 4 * rule.select(target, noise) + rule.select(draft, noise)
    joint = rule.joint(target, draft).ravel()
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


@pytest.mark.parametrize("name", NAMES)
def test_refusals(name):
    rule = coupling(name)
    with pytest.raises(NotALaw, match="law"):
        rule.select([0.5, 0.6], Noise(0, 0))
    with pytest.raises(ShapeMismatch, match="position"):
        rule.select(np.full((2, 2), 0.5), Noise(0, np.arange(3)))
    with pytest.raises(TooLarge, match="agreement"):
        rule.joint(np.full(2**14, 2.0**-14), np.full(2**14, 2.0**-14))
    if "list" not in list_couplings()[name].claims:
        with pytest.raises(BadArgument, match="not a list"):
            rule.select_list([0.5, 0.5], Noise(0, 0), 2)
    assert coupling(rule) is rule
