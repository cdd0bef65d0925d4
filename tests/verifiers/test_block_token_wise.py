"""Token-wise verification against its slow twin and its formula."""

import itertools

import numpy as np
import pytest

from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.core.markov import MarkovModel
from otspec.verifiers.block.token_wise import TokenWise
from tests.oracles import block_rules, golden

EXACT = 1e-12  # sums of at most a few hundred products of a dozen factors


@pytest.mark.parametrize("family", ["dirichlet", "zeros", "ties", "one_hot_draft"])
def test_conditional_is_the_slow_twin(family):
    target, draft = random_models(family, 3, np.random.default_rng(3))
    for tokens in itertools.product(range(3), repeat=3):
        past = [(0, *tokens[:i]) for i in range(4)]
        rows = [model.next_law([[c[-1]] for c in past]) for model in (target, draft)]
        if any(rows[1][i, x] == 0 for i, x in enumerate(tokens)):
            continue
        law = TokenWise().conditional(rows[0], rows[1][:3], np.array(tokens))
        slow = block_rules.token_wise(lambda c: target.next_law(c).tolist(), lambda c: draft.next_law(c).tolist(),
                                      (0,), tokens)
        for weight, kept, following in slow:
            assert law.stop[kept] == pytest.approx(weight, abs=EXACT)
            if weight > 0:
                assert np.allclose(law.following[kept], following, atol=EXACT)


@pytest.mark.parametrize("draft_length", golden.BLOCK_TOY)
def test_toy_values(draft_length):
    models = [MarkovModel.memoryless(law) for law in golden.BLOCK_TOY_LAWS]
    value = block_efficiency("token_wise", *models, draft_length).mean - 1
    assert value == pytest.approx(golden.BLOCK_TOY[draft_length][0], abs=5.1e-7)  # printed to six decimals


def test_the_first_refusal_ends_the_block():
    target, draft = np.tile([0.25, 0.75], (4, 1)), np.tile([0.5, 0.5], (3, 1))
    tokens = np.zeros(3, dtype=np.int64)
    uniforms = np.array([[0.4, 0.6, 0.0, 0.9], [0.6, 0.0, 0.0, 0.9], [0.4, 0.4, 0.4, 0.1]])
    verdict = TokenWise().draw(np.tile(target, (3, 1, 1)), np.tile(draft, (3, 1, 1)), np.tile(tokens, (3, 1)), uniforms)
    assert verdict.accepted.tolist() == [1, 0, 3]
    assert verdict.token.tolist() == [1, 1, 0]
