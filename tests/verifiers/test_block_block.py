"""Block verification: golden values, the slow twin, and the planted bugs, each killed by its bias."""

import itertools

import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency, text_law
from otspec.analysis.chunks import chunk_laws
from otspec.analysis.instances import random_models
from otspec.core.block import BlockLaw, path_masses, residual_laws
from otspec.core.markov import MarkovModel
from otspec.verifiers.block.block import Block
from tests.oracles import block_mutants, block_rules, golden

EXACT = 1e-12  # sums of at most a few hundred products of a dozen factors
H = [MarkovModel.memoryless(law) for law in golden.INSTANCES["H"]]


class StopAtFirstRejection(Block):
    def _stops(self, success, failure):
        reached = np.cumprod(np.concatenate([np.ones_like(success[..., :1]), success], axis=-1), axis=-1)
        return np.concatenate([reached[..., :-1] * failure, reached[..., -1:]], axis=-1)


class WeightAsChance(Block):
    def _chances(self, target_rows, draft_rows, weights):
        return weights[..., 1:], 1 - weights[..., 1:]


class NoClamp(Block):
    def _weights(self, target_rows, draft_rows, tokens):
        q = path_masses(draft_rows, tokens)
        ratio = path_masses(target_rows, tokens) / np.where(q > 0, q, 1.0)
        return np.cumprod(np.concatenate([np.ones_like(q[..., :1]), ratio], axis=-1), axis=-1)

    def _chances(self, target_rows, draft_rows, weights):
        inner = weights[..., 1:-1]
        excess = np.maximum(inner[..., None] * target_rows[..., 1:-1, :] - draft_rows[..., 1:, :], 0).sum(axis=-1)
        below = excess + 1 - inner
        chance = np.where(below > 0, np.minimum(excess / np.where(below > 0, below, 1.0), 1.0), 1.0)
        chance = np.concatenate([chance, np.minimum(weights[..., -1:], 1.0)], axis=-1)
        return chance, 1 - chance


class OneSharedUniform(Block):
    def _stops(self, success, failure):
        later = np.zeros_like(success[..., 0])
        stops = []
        for i in reversed(range(success.shape[-1])):
            stops.append(np.maximum(success[..., i] - later, 0))
            later = np.maximum(later, success[..., i])
        return np.stack([1 - later, *reversed(stops)], axis=-1)


class TokenResidual(Block):
    def _conditional(self, target_rows, draft_rows, tokens):
        law = super()._conditional(target_rows, draft_rows, tokens)
        return BlockLaw(law.stop, residual_laws(target_rows, draft_rows, np.ones_like(law.stop)))


class RowBefore(Block):
    def _chances(self, target_rows, draft_rows, weights):
        shifted = [np.concatenate([rows[..., :1, :], rows[..., :-1, :]], axis=-2) for rows in (target_rows, draft_rows)]
        return super()._chances(*shifted, weights)


PRINTED_BIAS = [(StopAtFirstRejection, 0.224), (WeightAsChance, 0.190), (NoClamp, 0.079), (OneSharedUniform, 0.059),
                (TokenResidual, 0.022)]


def completed_bias(rule, target, draft, draft_length):
    """TV between the target's law of L + 1 tokens and one block completed by the target itself."""
    length = draft_length + 1
    law = np.zeros(target.vocabulary**length)
    for kept, chunk in enumerate(chunk_laws(rule, target, draft, draft_length)):
        weights = (target.initial[:, None, None] * chunk).reshape(len(target.rows), -1)
        for _ in range(length - kept - 1):
            after = target.rows[target.contexts_after(weights.shape[1])]
            weights = (weights[:, :, None] * after).reshape(len(target.rows), -1)
        law += weights.sum(axis=0)
    return 0.5 * np.abs(law - target.text_law(length).ravel()).sum()


def started(table):
    """Model of an oracle's table whose first row starts the text; here token 0 stands for that start."""
    rows = np.zeros((4, 4))
    rows[:, 1:] = table
    return MarkovModel(rows, np.eye(4)[0])


@pytest.mark.parametrize(("mutant", "printed"), PRINTED_BIAS)
def test_planted_bugs_show_their_printed_bias(mutant, printed):
    bias = completed_bias(mutant(), *H, 3)
    assert bias == pytest.approx(printed, abs=5.1e-4)  # printed to three decimals
    emitted = text_law(mutant(), *H, 4, draft_length=3)
    assert 0.5 * np.abs(emitted - H[0].text_law(4)).sum() > bias
    assert completed_bias(Block(), *H, 3) < EXACT


def test_the_wrong_row_shows_only_where_the_context_matters():
    assert completed_bias(RowBefore(), *H, 3) < EXACT
    models = started(block_mutants.MARKOV_TARGET), started(block_mutants.MARKOV_DRAFT)
    bias = completed_bias(RowBefore(), *models, 3)
    assert bias == pytest.approx(block_mutants.ROW_BEFORE_BIAS, abs=5.1e-5)  # printed to four decimals
    assert completed_bias(Block(), *models, 3) < EXACT


@pytest.mark.parametrize("draft_length", golden.BLOCK_TOY)
def test_toy_values(draft_length):
    models = [MarkovModel.memoryless(law) for law in golden.BLOCK_TOY_LAWS]
    value = block_efficiency("block", *models, draft_length).mean - 1
    assert value == pytest.approx(golden.BLOCK_TOY[draft_length][1], abs=5.1e-7)  # printed to six decimals


@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties", "close", "equal", "one_hot_draft"])
def test_conditional_is_the_slow_twin(family):
    target, draft = random_models(family, 3, np.random.default_rng(4))
    for tokens in itertools.product(range(3), repeat=3):
        rows = [model.next_law([[c[-1]] for c in [(0, *tokens[:i]) for i in range(4)]]) for model in (target, draft)]
        if any(rows[1][i, x] == 0 for i, x in enumerate(tokens)):
            continue
        law = Block().conditional(rows[0], rows[1][:3], np.array(tokens))
        slow = block_rules.block(lambda c: target.next_law(c).tolist(), lambda c: draft.next_law(c).tolist(),
                                 (0,), tokens)
        if family == "equal":  # 0/0 decided by rounding: only the weight of nothing left may differ
            assert law.stop[-1] == pytest.approx(1, abs=EXACT)
            continue
        for weight, kept, following in slow:
            assert law.stop[kept] == pytest.approx(weight, abs=EXACT)
            if weight > EXACT:
                assert np.allclose(law.following[kept], following, atol=EXACT)


def test_weights_are_the_chances_of_passing_each_prefix():
    target, draft = random_models("dirichlet", 3, np.random.default_rng(8))
    rule, length = Block(), 3
    reached, drafted = {}, {}
    for tokens in itertools.product(range(3), repeat=length):
        contexts = [[c] for c in (1, *tokens)]
        rows = target.next_law(contexts), draft.next_law(contexts[:-1])
        mass = np.prod([rows[1][i, x] for i, x in enumerate(tokens)])
        stop = rule.conditional(*rows, np.array(tokens)).stop
        kept = rule._kept(*rows, np.array(tokens))
        for i in range(1, length + 1):
            reached[tokens[:i]] = reached.get(tokens[:i], 0) + mass * stop[i:].sum()
            drafted[tokens[:i]] = drafted.get(tokens[:i], 0) + mass * kept[i - 1]
    for prefix, mass in reached.items():
        assert drafted[prefix] == pytest.approx(mass, abs=EXACT)


def test_a_later_success_overrides_earlier_failures():
    target, draft = np.tile([1 / 3, 2 / 3], (3, 1)), np.tile([2 / 3, 1 / 3], (2, 1))
    # path AA has weights 1/2 and 1/4, and h_1 = 0: only the last coin can succeed
    verdict = Block().draw(np.tile(target, (2, 1, 1)), np.tile(draft, (2, 1, 1)), np.zeros((2, 2), dtype=np.int64),
                           np.array([[0.0, 0.2, 0.9], [0.0, 0.3, 0.9]]))
    assert verdict.accepted.tolist() == [2, 0]
    assert verdict.token.tolist() == [1, 1]
