"""Contracts of every block rule in the registry that verifies one path."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.analysis.blocks import block_efficiency, text_law
from otspec.analysis.instances import FAMILIES, random_models, random_pair
from otspec.core.estimate import Estimate
from otspec.verifiers import list_verifiers, verifier

RULES = [name for name, entry in list_verifiers(kind="block").items() if "one_draft" in entry.claims]
LIBRARIES = {"strict": strict.asarray, "torch": torch.asarray}
ROUNDING = 1e-12  # chances are quotients of sums over 7 tokens
SAMPLES = 20_000


def blocks(n, length, size, seed, family="dirichlet"):
    """Rows and tokens drawn from the draft rows, and uniforms."""
    rng = np.random.default_rng(seed)
    pairs = [random_pair(family, size, rng) for _ in range(n * (length + 1))]
    target, draft = (np.stack(laws).reshape(n, length + 1, size) for laws in zip(*pairs, strict=True))
    draft = draft[:, :length]
    drawn = (rng.random((n, length, 1)) > np.cumsum(draft, axis=-1)).sum(axis=-1)
    return target, draft, np.minimum(drawn, size - 1), rng.random((n, length + 1))


def drawn(rule, *given):
    """Verdicts of `draw`; a rule with a state returns that too."""
    return rule.draw(*given)[0] if rule.stateful else rule.draw(*given)


def test_the_registry_lists_the_rules():
    assert {"token_wise", "block", "greedy_block"} <= set(RULES)
    assert {name for name in RULES if verifier(name).stateful} == {
        name for name in RULES if "carries_state" in list_verifiers()[name].claims} == {"greedy_block"}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("family", FAMILIES)
def test_conditional_is_a_law(name, family):
    target, draft, tokens, _ = blocks(50, 4, 7, 1, family)
    law = verifier(name).conditional(target, draft, tokens)
    assert law.stop.shape == (50, 5)
    assert law.following.shape == (50, 5, 7)
    for part in law:
        assert np.all(part >= 0)
        assert np.allclose(part.sum(axis=-1), 1, atol=ROUNDING)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_numbers_on_every_library(name, library, dtype):
    target, draft, tokens, uniforms = blocks(200, 4, 7, 2)
    target, draft = target.astype(dtype), draft.astype(dtype)
    there = [LIBRARIES[library](array) for array in (target, draft, tokens, uniforms)]
    rule = verifier(name)
    for mine, theirs in zip(rule.conditional(target, draft, tokens), rule.conditional(*there[:3]), strict=True):
        assert np.allclose(mine, np.asarray(theirs), atol=ROUNDING)
    for mine, theirs in zip(drawn(rule, target, draft, tokens, uniforms), drawn(rule, *there), strict=True):
        assert np.array_equal(mine, np.asarray(theirs))
    for read in (rule._kept, rule._passed):
        assert np.allclose(read(target, draft, tokens), np.asarray(read(*there[:3])),
                           atol=ROUNDING if dtype == np.float64 else 1e-6)  # float32 rows are summed in any order


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "close"])
def test_draw_agrees_with_conditional(name, family):
    target, draft, tokens, _ = (array[:1] for array in blocks(1, 3, 5, 3, family))
    rule = verifier(name)
    law = rule.conditional(target, draft, tokens)
    exact = (law.stop[..., None] * law.following)[0]
    many = [np.repeat(array, SAMPLES, axis=0) for array in (target, draft, tokens)]
    uniforms = np.random.default_rng(9).random((SAMPLES, rule.num_uniforms(3)))
    verdict = rule._draw(*many, uniforms, *rule._memory(None))
    for node in range(4):
        for token in range(5):
            hits = (verdict.accepted == node) & (verdict.token == token)
            assert Estimate(hits.mean(), np.sqrt(exact[node, token] * (1 - exact[node, token]) / SAMPLES), SAMPLES
                            ).covers(exact[node, token], z=5)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("family", "length", "size"), [("dirichlet", 3, 5), ("zeros", 2, 4), ("ties", 1, 3),
                                                        ("equal", 2, 1)])
def test_batches_are_rows(name, family, length, size):
    given = blocks(6, length, size, 4, family)
    rule, boxed = verifier(name), [array.reshape(2, 3, *array.shape[1:]) for array in given]

    def read(target, draft, tokens, uniforms):
        rows = target, draft, tokens
        return (*drawn(rule, *rows, uniforms), *rule.conditional(*rows), rule.expected_accepted(*rows),
                rule._kept(*rows), rule._passed(*rows))

    for whole, shaped, *each in zip(read(*given), read(*boxed), *(read(*row) for row in zip(*given, strict=True)),
                                    strict=True):
        assert np.array_equal(whole.reshape(shaped.shape), shaped)
        assert np.allclose(whole, np.stack(each), atol=ROUNDING, rtol=0)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "decades"])
def test_chances_of_prefixes_are_those_of_the_law(name, family):
    """Of each prefix given its tokens, and given all but the last of them; both sum over the tokens below."""
    rng, rule, size, length = np.random.default_rng(6), verifier(name), 3, 3
    target, draft = random_models(family, size, rng)
    paths = np.array(list(itertools.product(range(size), repeat=length)))
    contexts = np.concatenate([np.ones_like(paths[:, :1]), paths], axis=1)
    rows = target.rows[contexts], draft.rows[contexts[:, :-1]], paths
    mass = np.take_along_axis(rows[1], paths[..., None], axis=-1)[..., 0]
    kept, passed, stop = rule._kept(*rows), rule._passed(*rows), rule._conditional(*rows).stop
    for i in range(length):
        below = size ** (length - 1 - i)
        reached = (mass.prod(axis=1) * stop[:, i + 1:].sum(axis=1)).reshape(-1, below).sum(axis=1)
        drafted = mass[::below, : i + 1].prod(axis=1)
        assert np.allclose(drafted * kept[::below, i], reached, atol=ROUNDING)
        before = mass[::below, :i].prod(axis=1).reshape(-1, size)[:, 0]
        assert np.allclose(before * passed[:: below * size, i], reached.reshape(-1, size).sum(axis=1), atol=ROUNDING)


def models():
    """Lossless rules and seeds of models; states make texts slow, so a rule that carries one gets every fifth."""
    for name in RULES:
        claims = list_verifiers()[name].claims
        if "lossless" in claims:
            yield from ((name, seed) for seed in range(0, 20, 5 if "carries_state" in claims else 1))


@pytest.mark.parametrize(("name", "seed"), list(models()))
def test_lossless_on_context_dependent_models(name, seed):
    rng = np.random.default_rng(seed)
    family = list(FAMILIES)[seed % len(FAMILIES)]
    for size, draft_length, length in ((3, 3, 4), (5, 2, 3)):
        target, draft = random_models(family, size, rng)
        emitted = text_law(name, target, draft, length, draft_length=draft_length)
        assert np.abs(emitted - target.text_law(length)).max() < ROUNDING


@pytest.mark.parametrize("name", RULES)
def test_equal_models_keep_everything(name):
    target, _ = random_models("dirichlet", 4, np.random.default_rng(0))
    assert block_efficiency(name, target, target, 3).mean == pytest.approx(4, abs=ROUNDING)


@pytest.mark.parametrize("name", RULES)
def test_means_of_the_weights_are_the_exact_mean(name):
    target, draft = random_models("dirichlet", 3, np.random.default_rng(5))
    rule, total, length = verifier(name), np.zeros(2), 3
    for context in range(3):
        for code in range(3**length):
            tokens = np.array([code // 9, code // 3 % 3, code % 3])
            contexts = np.array([context, *tokens])
            rows = target.rows[contexts], draft.rows[contexts[:-1]]
            mass = target.initial[context] * np.prod(rows[1][np.arange(length), tokens])
            total += mass * np.array([rule._passed(*rows, tokens).sum(), rule.expected_accepted(*rows, tokens)])
    assert total == pytest.approx([block_efficiency(rule, target, draft, length).mean - 1] * 2, abs=ROUNDING)
