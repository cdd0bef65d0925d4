"""Contracts of every token-level rule: registry x schemes x instances x array libraries."""

import array_api_strict
import numpy as np
import pytest
import torch

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.estimate import Estimate
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.verifier import TokenVerifier
from otspec.verifiers import list_verifiers
from tests.contracts.token_cases import (
    CLOSED_FORM,
    ENUMERATED,
    INSTANCES,
    ONE_DRAFT,
    PAIRS,
    SCHEMES,
    TIE_RULE,
    TOKEN_RULES,
    acceptance_on,
    accepted,
    all_rows,
    allowed_deviation,
    claims,
    conditional_on,
    conditional_on_all,
    draft_for,
    emitted,
    enumerated,
    first_law,
    has_ties,
    made,
    optimum_on,
    relabelled,
    rows,
)

FLOAT32 = 64 * 5 * float(np.finfo(np.float32).eps)  # five tokens, a few roundings of each mass
pairs = pytest.mark.parametrize(("rule", "key"), PAIRS)
instances = pytest.mark.parametrize("name", INSTANCES)
rules = pytest.mark.parametrize("rule", TOKEN_RULES)
PORTABLE = [pair for pair in PAIRS if "numpy_only" not in claims(pair[0])]
SURVIVORS = [rule for rule in TOKEN_RULES if rule in list_verifiers(WithReplacement(3))]


def convert(backend, array, dtype=None):
    if backend == "torch":
        return torch.tensor(np.array(array), dtype=None if dtype is None else getattr(torch, dtype))
    return array_api_strict.asarray(np.array(array, dtype=dtype))


def back(array):
    return np.asarray(array) if isinstance(array, torch.Tensor) else np.from_dlpack(array)


@pairs
@instances
def test_conditional_is_a_law_and_mixes_to_the_target(rule, key, name):
    target, _, _, law = enumerated(key, name)
    given = conditional_on(rule, key, name)
    assert given.shape == (len(law), len(target))
    assert given.min() >= 0
    assert np.abs(given.sum(axis=-1) - 1).max() <= ENUMERATED
    miss = np.abs(emitted(law, given) - target)
    if "lossless" in claims(rule):
        assert miss.max() <= ENUMERATED
    assert miss.sum() <= allowed_deviation(rule, key) + len(target) * ENUMERATED


@rules
def test_only_declared_rules_deviate(rule):
    worst = max(np.abs(emitted(enumerated(key, name)[3], conditional_on(rule, key, name)) - INSTANCES[name][0]).max()
                for other, key in PAIRS if other == rule for name in INSTANCES)
    assert ("lossless" in claims(rule)) == (worst <= ENUMERATED)


@pairs
@instances
def test_acceptance_is_exact_and_below_the_optimum(rule, key, name):
    target, draft, _, _ = enumerated(key, name)
    value, optimum = acceptance_on(rule, key, name), optimum_on(key, name)
    formula = made(rule, key).acceptance(target, draft)
    if formula is not None:
        assert abs(float(formula) - value) <= CLOSED_FORM
    # a law that is off by some total variation has an optimum that is off by at most as much
    assert value <= optimum + allowed_deviation(rule, key) / 2 + ENUMERATED
    if "optimal" in claims(rule):
        assert value >= optimum - CLOSED_FORM


@pytest.mark.parametrize("rule", [rule for rule in TOKEN_RULES if "lossless" in claims(rule)])
def test_a_rule_that_does_not_claim_optimality_falls_short_somewhere(rule):
    gaps = [optimum_on(key, name) - acceptance_on(rule, key, name)
            for other, key in PAIRS if other == rule for name in INSTANCES]
    assert ("optimal" in claims(rule)) == (max(gaps) < 1e-3)


@rules
def test_one_draft_is_tight_exactly_when_claimed(rule):
    gaps = [abs(acceptance_on(rule, key, name) - np.minimum(*INSTANCES[name]).sum())
            for other, key in PAIRS if other == rule and key in ONE_DRAFT for name in INSTANCES]
    assert ("tight_at_one" in claims(rule)) == (bool(gaps) and max(gaps) <= ENUMERATED)


@rules
def test_equal_laws_are_always_accepted_exactly_when_claimed(rule):
    values = []
    for key in (key for other, key in PAIRS if other == rule):
        scheme = SCHEMES[key]
        for _, draft in INSTANCES.values():
            tokens, law = scheme.lists(draft_for(scheme, draft))
            target = first_law(scheme, draft_for(scheme, draft))
            given = made(rule, key).conditional(*rows(target, draft_for(scheme, draft), tokens))
            values.append(accepted(tokens, law, given))
    assert ("reflexive" in claims(rule)) == (min(values) >= 1 - ENUMERATED)


@pairs
@pytest.mark.parametrize("name", ["golden_H", "random", "zeros", "ties", "ratio_ties", "tiny_draft", "short_support"])
def test_acceptance_does_not_depend_on_token_names(rule, key, name):
    if key in TIE_RULE and has_ties(INSTANCES[name][1]):
        # here the ids decide which tokens are drafted for certain; the rule must still agree with its scheme
        assert acceptance_on(rule, key, name) <= optimum_on(key, name) + ENUMERATED
        return
    target, draft, _, _ = enumerated(key, name)
    scheme, target, draft = relabelled(SCHEMES[key], target, draft, np.array([3, 0, 4, 2, 1]))
    draft = scheme.check(draft)
    tokens, law = scheme.lists(draft)
    given = made(rule, scheme).conditional(*rows(target, draft, tokens))
    # a solver stops elsewhere within its tolerance when its numbers differ in the last digit
    assert abs(accepted(tokens, law, given) - acceptance_on(rule, key, name)) <= max(CLOSED_FORM,
                                                                                    allowed_deviation(rule, key))


@pytest.mark.parametrize(("rule", "key"), PORTABLE)
@pytest.mark.parametrize("backend", ["strict", "torch"])
def test_array_libraries_agree(rule, key, backend):
    some = slice(None, None, 3)  # lists of all instances, mixed
    batch = [array[some] for array in all_rows(key)]
    bound = made(rule, key)
    given = bound.conditional(*(convert(backend, array) for array in batch))
    assert np.abs(back(given) - conditional_on_all(rule, key)[some]).max() <= 1e-14  # five terms in another order
    exact = bound.acceptance(*batch[:2])
    portable = bound.acceptance(*(convert(backend, array) for array in batch[:2]))
    assert (exact is None) == (portable is None)
    if exact is not None:
        assert np.abs(back(portable) - exact).max() <= 1e-14  # likewise


@rules
def test_only_declared_rules_need_numpy(rule):
    key = next(key for other, key in PAIRS if other == rule)
    target, draft, tokens, _ = enumerated(key, "golden_H")
    batch = [convert("torch", array) for array in rows(target, draft, tokens)]
    if "numpy_only" in claims(rule):
        with pytest.raises(BadArgument, match="NumPy"):
            made(rule, key).conditional(*batch)
    else:
        assert isinstance(made(rule, key).conditional(*batch), torch.Tensor)


@pairs
def test_a_batch_equals_its_rows(rule, key):
    target, draft, tokens = (array[::5] for array in all_rows(key))
    given = conditional_on_all(rule, key)[::5]
    bound = made(rule, key)
    mixed = bound.conditional(target[None], draft[None], tokens[None])
    assert mixed.shape == (1, *given.shape)
    assert np.abs(mixed[0] - given).max() <= 1e-15  # one rounding: NumPy may sum a row in another order
    for row in range(0, len(tokens), max(1, len(tokens) // 12)):
        alone = bound.conditional(target[row], draft[row], tokens[row])
        assert alone.shape == given[row].shape
        assert np.abs(alone - given[row]).max() <= 1e-15  # likewise


@pytest.mark.parametrize(("rule", "key", "backend"), [(*pair, "numpy") for pair in PAIRS]
                         + [(*pair, backend) for pair in PORTABLE for backend in ("strict", "torch")])
def test_float32_runs_and_stays_float32(rule, key, backend):
    target, draft, tokens, law = enumerated(key, "golden_H")
    laws = [np.array(array, dtype=np.float32) for array in rows(target, draft, tokens)[:2]]
    if backend != "numpy":
        laws, tokens = [convert(backend, array, "float32") for array in laws], convert(backend, tokens)
    given = made(rule, key).conditional(*laws, tokens)
    given = given if backend == "numpy" else back(given)
    assert given.dtype == np.float32
    miss = np.abs(emitted(law, given.astype(np.float64)) - target)
    assert miss.max() <= FLOAT32 + allowed_deviation(rule, key)


@rules
def test_other_schemes_are_refused_when_the_rule_is_made(rule):
    refused = [key for key in SCHEMES if (rule, key) not in PAIRS]
    for key in refused:
        with pytest.raises(SchemeMismatch, match=type(made(rule, _home(rule))).__name__):
            made(rule, key)


def _home(rule):
    return next(key for other, key in PAIRS if other == rule)


@pytest.mark.parametrize("rule", SURVIVORS)
@instances
def test_absent_drafts_count_as_fewer_drafts(rule, name):
    target, draft = INSTANCES[name]
    for k in (1, 2):
        tokens, _ = WithReplacement(k).lists(draft)
        padded = np.concatenate([tokens, np.full((len(tokens), 3 - k), -1)], axis=1)
        survivors = made(rule, WithReplacement(3)).conditional(*rows(target, draft, padded))
        fewer = made(rule, WithReplacement(k)).conditional(*rows(target, draft, tokens))
        assert np.abs(survivors - fewer).max() <= 1e-15  # the same arithmetic, with a term of zero
    none = made(rule, WithReplacement(3)).conditional(target, draft, np.array([-1, -1, -1]))
    assert np.abs(none - target).max() <= 1e-15  # likewise


@pytest.mark.parametrize("batch", [(), (3,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("scheme", [WithReplacement(1), WithReplacement(3), WithoutReplacement(1), Independent(3),
                                    Joint(np.ones((1, 1)))], ids=str)
def test_one_token_leaves_nothing_to_choose(scheme, batch):
    target = np.ones((*batch, 1))
    draft = np.ones((*batch, 3, 1)) if isinstance(scheme, Independent) else target
    tokens = np.zeros((*batch, scheme.num_drafts), dtype=np.int64)
    for name in list_verifiers(scheme, kind="token"):
        rule = made(name, scheme)
        assert np.array_equal(rule.conditional(target, draft, tokens), target)
        value = rule.acceptance(target, draft)
        assert value is None or (np.shape(value) == batch and np.allclose(value, 1, rtol=0, atol=ENUMERATED))
        verdict = rule.draw(target, draft, tokens, np.zeros((*batch, rule.num_uniforms)))
        assert verdict.token.shape == verdict.slot.shape == batch
        assert not verdict.token.any()
        assert not verdict.slot.any()


def overrides(rule, key):
    return type(made(rule, key))._draw is not TokenVerifier._draw


@pytest.mark.parametrize(("rule", "key"), [pair for pair in PAIRS if not overrides(*pair)])
@pytest.mark.parametrize("name", ["golden_H", "zeros", "one_hot_target", "short_support", "tiny_draft"])
def test_derived_draw_is_the_quantile_of_the_conditional(rule, key, name):
    target, draft, tokens, _ = enumerated(key, name)
    tokens, given = tokens[:8], conditional_on(rule, key, name)[:8]
    n = 500
    grid = np.broadcast_to(((np.arange(n) + 0.5) / n)[:, None], (n, len(tokens)))[..., None]
    batch = [np.broadcast_to(array, (n, *array.shape)) for array in rows(target, draft, tokens)]
    verdict = made(rule, key).draw(*batch, grid)
    frequency = (verdict.token[..., None] == np.arange(len(target))).mean(axis=0)
    assert np.abs(frequency - given).max() <= 1 / n + ENUMERATED  # a cell of the grid at each end of an interval
    assert np.all(frequency[given == 0] == 0)
    held = (tokens[None] == verdict.token[..., None]).any(axis=-1)
    assert np.array_equal(held, verdict.slot >= 0)


@pytest.mark.parametrize(("rule", "key"), [pair for pair in PAIRS if overrides(*pair)])
@pytest.mark.parametrize("name", ["golden_H", "random", "zeros", "ties", "short_support", "one_hot_draft"])
def test_overridden_draw_agrees_with_the_conditional(rule, key, name):
    target, draft, tokens, _ = enumerated(key, name)
    chosen = np.unique(np.linspace(0, len(tokens) - 1, 6).astype(int))
    tokens, given = tokens[chosen], conditional_on(rule, key, name)[chosen]
    n = 4000  # a wrong mass of 0.04 shows at five standard errors
    bound = made(rule, key)
    uniforms = np.random.default_rng(11).random((n, len(tokens), bound.num_uniforms))
    batch = [np.broadcast_to(array, (n, *array.shape)) for array in rows(target, draft, tokens)]
    token = bound.draw(*batch, uniforms).token
    for column, row in zip(token.T, given, strict=True):
        for y, exact in enumerate(row):
            seen = float((column == y).mean())
            assert Estimate(seen, float(np.sqrt(max(exact * (1 - exact), 0.0) / n)), n).covers(exact, z=5)
