"""Block efficiency and emitted text: losslessness, order of the rules, K paths by brute force, traces."""

import functools
import itertools

import numpy as np
import pytest

from otspec.analysis.agreement import agreement
from otspec.analysis.blocks import block_efficiency, text_law, trace_block_efficiency
from otspec.analysis.exact import acceptance
from otspec.analysis.instances import FAMILIES, random_models
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch, TooLarge, UnknownName
from otspec.core.markov import MarkovModel
from otspec.core.schemes import WithoutReplacement
from otspec.couplings import coupling
from otspec.verifiers import verifier
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.token_wise import TokenWise
from tests.oracles import block_rules

EXACT = 1e-12  # sums of at most a few thousand products of a dozen factors
CHAIN_RULES = ["token_wise", "block", "single_draft", "gumbel", "minhash"]
SIZES = [(3, 1, 3, 4), (3, 2, 2, 4), (5, 1, 2, 3)]  # vocabulary, order, draft length, text length


def models(family, size=3, order=1, seed=0):
    return random_models(family, size, np.random.default_rng(seed), order=order)


def next_law(model, context):
    """Model of the oracles that starts in ``context``."""
    return lambda text: model.next_law((*context, *text)).tolist()


@pytest.mark.parametrize("rule", CHAIN_RULES)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("size", "order", "draft_length", "length"), SIZES)
def test_text_is_lossless(rule, family, size, order, draft_length, length):
    target, draft = models(family, size, order)
    emitted = text_law(rule, target, draft, length, draft_length=draft_length)
    assert emitted.shape == (size,) * length
    assert np.abs(emitted - target.text_law(length)).max() < EXACT


@pytest.mark.parametrize("rule", ["nss", "naive", "recursive", "k_seq", "optimal"])
@pytest.mark.parametrize("family", ["dirichlet", "zeros", "one_hot_draft"])
def test_text_of_two_paths_is_lossless(rule, family):
    target, draft = models(family)
    emitted = text_law(rule, target, draft, 3, draft_length=2, num_paths=2)
    assert np.abs(emitted - target.text_law(3)).max() < EXACT


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("draft_length", [1, 2, 3])
def test_order_of_the_rules(family, draft_length):
    for seed in range(5):
        pair = models(family, seed=seed)
        token, block, gumbel, minhash, single = (
            block_efficiency(rule, *pair, draft_length).mean
            for rule in ("token_wise", "block", "gumbel", "minhash", "single_draft"))
        assert token <= block + EXACT
        assert minhash <= gumbel + EXACT
        assert gumbel <= token + EXACT
        assert single == pytest.approx(token, abs=EXACT)
        if draft_length == 1 or family == "one_hot_draft":
            assert block == pytest.approx(token, abs=EXACT)


@pytest.mark.parametrize(("name", "slow"), [("block", block_rules.block), ("token_wise", block_rules.token_wise)])
@pytest.mark.parametrize("draft_length", [1, 2, 3])
def test_slow_twin(name, slow, draft_length):
    target, draft = models("dirichlet", seed=3)
    efficiency, text = 1.0, np.zeros((3, 3, 3))
    for context, mass in enumerate(target.initial):
        pair = next_law(target, (context,)), next_law(draft, (context,))
        efficiency += mass * block_rules.expected_accepted(slow, *pair, draft_length)
        for tokens, weight in block_rules.emitted_law(slow, *pair, draft_length, 3).items():
            text[tokens] += mass * weight
    value = block_efficiency(name, target, draft, draft_length)
    assert (value.stderr, value.n) == (0.0, None)
    assert value.mean == pytest.approx(efficiency, abs=EXACT)
    assert np.abs(text_law(name, target, draft, 3, draft_length=draft_length) - text).max() < EXACT


def paths_by_brute_force(rule, target, draft, draft_length, num_paths):
    """E[accepted] + 1 over all tuples of whole paths, the rule applied to the copies still alive."""
    @functools.cache
    def emitted(context, drafts):
        tokens = np.pad(drafts, (0, num_paths - len(drafts)), constant_values=-1)
        return rule.conditional(target.next_law([context]), draft.next_law([context]), tokens)

    def walk(paths, alive, context, depth):
        if depth == draft_length:
            return 0.0
        law = emitted(context, tuple(paths[i][depth] for i in alive))
        return sum(law[y] * (1 + walk(paths, [i for i in alive if paths[i][depth] == y], y, depth + 1))
                   for y in sorted({paths[i][depth] for i in alive}))

    total = 1.0
    texts = list(itertools.product(range(target.vocabulary), repeat=draft_length))
    for context, mass in enumerate(target.initial):
        drafted = [np.prod([draft.rows[c, x] for c, x in zip((context, *text), text, strict=False)]) for text in texts]
        for chosen in itertools.product(range(len(texts)), repeat=num_paths):
            weight = mass * np.prod([drafted[i] for i in chosen])
            if weight > 0:
                total += weight * walk([texts[i] for i in chosen], list(range(num_paths)), context, 0)
    return total


@pytest.mark.parametrize("name", ["naive", "recursive", "k_seq"])
@pytest.mark.parametrize(("size", "draft_length", "num_paths"), [(3, 2, 2), (3, 1, 3), (2, 3, 2)])
def test_surviving_copies_by_brute_force(name, size, draft_length, num_paths):
    pair = models("dirichlet", size, seed=6)
    found = block_efficiency(name, *pair, draft_length, num_paths=num_paths).mean
    assert found == pytest.approx(paths_by_brute_force(verifier(name, num_paths), *pair, draft_length, num_paths),
                                  abs=EXACT)


def test_one_position_is_the_acceptance_of_the_rule():
    target, draft = [0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]
    pair = MarkovModel.memoryless(target), MarkovModel.memoryless(draft)
    for name in ("recursive", "k_seq", "nss"):
        expected = 1 + float(acceptance(name, target, draft, 2))
        assert block_efficiency(name, *pair, 1, num_paths=2).mean == pytest.approx(expected, abs=EXACT)
    rule = verifier("recursive_wor", WithoutReplacement(2))
    expected = 1 + float(acceptance(rule, target, draft, WithoutReplacement(2)))
    assert block_efficiency(rule, *pair, 1, num_paths=2).mean == pytest.approx(expected, abs=EXACT)
    for name in ("gumbel", "minhash"):
        expected = 1 + float(agreement(name, target, draft))
        assert block_efficiency(name, *pair, 1).mean == pytest.approx(expected, abs=EXACT)


def test_orders_may_differ():
    target, draft = models("dirichlet", order=1, seed=1)[0], models("dirichlet", order=2, seed=2)[1]
    stationary = MarkovModel(target.transition)
    emitted = text_law("block", stationary, draft, 3, draft_length=2)
    assert np.abs(emitted - stationary.text_law(3)).max() < EXACT
    with pytest.raises(BadArgument, match="given initial law"):
        text_law("block", target, draft, 3, draft_length=2)
    longer = models("dirichlet", order=2, seed=2)[0]
    emitted = text_law("block", longer, models("dirichlet", seed=1)[1], 3, draft_length=2)
    assert np.abs(emitted - longer.text_law(3)).max() < EXACT


def drawn_paths(target, draft, length, n, seed):
    """Rows and tokens of n paths drawn from the draft model."""
    rng = np.random.default_rng(seed)
    context = rng.choice(target.vocabulary, size=n, p=target.initial)
    contexts, tokens = [context], []
    for _ in range(length):
        context = (rng.random(n)[:, None] > np.cumsum(draft.rows[context], axis=1)).sum(axis=1)
        contexts.append(context)
        tokens.append(context)
    contexts = np.stack(contexts, axis=1)
    return target.rows[contexts], draft.rows[contexts[:, :-1]], np.stack(tokens, axis=1)


@pytest.mark.parametrize("rule", [*CHAIN_RULES, "nss"])
def test_trace_estimate_covers_the_exact_value(rule):
    target, draft = models("dirichlet", 5, seed=2)
    rows = drawn_paths(target, draft, 4, 3000, seed=1)
    estimate = trace_block_efficiency(rule, *rows)
    assert estimate.n == 3000
    assert estimate.covers(block_efficiency(rule, target, draft, 4).mean, z=5)


@pytest.mark.parametrize("rule", [Block(), TokenWise()], ids=repr)
def test_integrating_the_last_draft_out_keeps_the_mean_and_lowers_the_error(rule):
    rows = drawn_paths(*models("dirichlet", 5, seed=2), 4, 3000, seed=3)
    estimate = trace_block_efficiency(rule, *rows)
    weights = rule.expected_accepted(*rows) + 1
    assert abs(weights.mean() - estimate.mean) < 5 * weights.std() / np.sqrt(3000)
    assert estimate.stderr < weights.std() / np.sqrt(3000)


def test_refusals():
    pair = models("dirichlet")
    with pytest.raises(UnknownName, match="verifier"):
        block_efficiency("blok", *pair, 2)
    with pytest.raises(SchemeMismatch, match="1 path"):
        block_efficiency("block", *pair, 2, num_paths=2)
    with pytest.raises(SchemeMismatch, match="one path"):
        block_efficiency(coupling("gumbel"), *pair, 2, num_paths=2)
    with pytest.raises(SchemeMismatch, match="num_paths=2"):
        block_efficiency(verifier("recursive", 2), *pair, 2)
    with pytest.raises(SchemeMismatch, match="draft_length 1"):
        block_efficiency(verifier("recursive_wor", WithoutReplacement(2)), *pair, 2, num_paths=2)
    with pytest.raises(ShapeMismatch, match="vocabularies"):
        block_efficiency("block", pair[0], MarkovModel.memoryless([0.5, 0.5]), 2)
    with pytest.raises(BadArgument, match="target_model"):
        block_efficiency("block", [0.5, 0.5], pair[1], 2)
    with pytest.raises(BadArgument, match="draft_length"):
        block_efficiency("block", *pair, 0)
    with pytest.raises(BadArgument, match="no rule"):
        block_efficiency(3.5, *pair, 1)
    for call in (lambda: block_efficiency("block", *pair, 30), lambda: block_efficiency("gumbel", *pair, 30),
                 lambda: text_law("block", *pair, 30, draft_length=2),
                 lambda: block_efficiency("nss", *models("dirichlet", 40), 1, num_paths=5)):
        with pytest.raises(TooLarge) as refused:
            call()
        assert refused.value.estimate > 1e8
    rows = drawn_paths(*pair, 2, 1, seed=0)
    with pytest.raises(ShapeMismatch, match="recorded path"):
        trace_block_efficiency("block", *(array[0] for array in rows))


@pytest.mark.parametrize("rule", ["traversal", "winner_block", "lookahead_block", "recursive", "spectr_paths"])
def test_trace_estimate_on_two_paths_covers_the_exact_value(rule):
    target, draft = models("dirichlet", 3, seed=2)
    rng = np.random.default_rng(5)
    context = rng.choice(3, size=(4000, 1), p=target.initial).repeat(2, axis=1)
    contexts = [context]
    for _ in range(2):
        law = np.cumsum(draft.rows[contexts[-1]], axis=-1)
        contexts.append(np.minimum((rng.random((4000, 2, 1)) > law).sum(axis=-1), 2))
    at = np.stack(contexts, axis=-1)
    estimate = trace_block_efficiency(rule, target.rows[at], draft.rows[at[..., :-1]], at[..., 1:], seed=3)
    assert estimate.n == 4000
    assert estimate.covers(block_efficiency(rule, target, draft, 2, num_paths=2).mean, z=5)
    one = trace_block_efficiency(rule, *drawn_paths(target, draft, 2, 4000, seed=1))
    assert one.covers(block_efficiency(rule, target, draft, 2).mean, z=5)


def test_coins_of_a_trace_estimate_are_not_those_that_drew_the_paths():
    """Paths drawn by the first numbers of default_rng(seed), as the coins of that seed would be."""
    law, seen = np.array([0.3, 0.7]), []

    class Reads(type(verifier("winner_block", 2))):
        def _expected_paths(self, target_rows, draft_rows, tokens, uniforms):
            seen.append(uniforms)
            return super()._expected_paths(target_rows, draft_rows, tokens, uniforms)

    uniforms = np.random.default_rng(0).random((50, 2))
    tokens = (uniforms >= law[0]).astype(np.int64)[:, :, None]
    trace_block_efficiency(Reads(2), np.full((50, 2, 2, 2), 0.5), np.broadcast_to(law, (50, 2, 1, 2)), tokens)
    assert not np.isin(seen[0], uniforms).any()
    with pytest.raises(BadArgument, match="seed: -1"):
        trace_block_efficiency(Reads(2), np.full((50, 2, 2, 2), 0.5), np.broadcast_to(law, (50, 2, 1, 2)), tokens,
                               seed=-1)


def test_trees_that_are_too_many_are_refused():
    with pytest.raises(TooLarge) as refused:
        block_efficiency("traversal", *models("dirichlet", 5), 3, num_paths=3)
    assert refused.value.estimate == 5.0**9
