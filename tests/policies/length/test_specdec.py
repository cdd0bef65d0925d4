"""The fitted predictor, its weighted loss, and regret against the clairvoyant length."""

import numpy as np
import pytest
from scipy.optimize import minimize

import otspec as ot
from otspec.core.errors import BadArgument
from otspec.policies.length import Clairvoyant, FixedLength, SpecDecPlusPlus, TrueThreshold, regret
from otspec.policies.length.predictor import RIDGE, AcceptancePredictor
from tests.policies.length.test_thresholds import sample

BLOCKS = ot.drafted_blocks(sample(200), rule="token_wise")


@pytest.mark.parametrize("weight", [1.0, 6.0])
def test_the_predictor_minimises_the_weighted_cross_entropy(weight):
    found = AcceptancePredictor.fit(BLOCKS, weight=weight)
    inputs = np.stack([np.ones(BLOCKS.kept.size), np.log(BLOCKS.confidence).ravel(), BLOCKS.top.ravel(),
                       BLOCKS.entropy.ravel()], axis=1)
    scale = np.abs(inputs).max(axis=0)
    label = BLOCKS.chances.ravel()

    def loss(beta):
        logits = (inputs / scale) @ beta
        each = label * np.logaddexp(0, -logits) + weight * (1 - label) * np.logaddexp(0, logits)
        return each.mean() + 0.5 * RIDGE * beta @ beta

    own = np.array(found.coefficients) * scale
    slow = minimize(loss, np.zeros(4), method="BFGS", options={"gtol": 1e-9})
    assert loss(own) <= slow.fun + 1e-9
    assert np.linalg.norm([(loss(own + step) - loss(own - step)) / 2e-5 for step in 1e-5 * np.eye(4)]) < 1e-7


def test_with_one_kind_of_token_the_prediction_is_the_shifted_rate():
    rows = np.full((6, 3, 4), 0.25)
    target = np.array([[[0.5, 0.5, 0.0, 0.0]] * 3] * 6)
    blocks = ot.drafted_blocks((target, rows[:, :2], np.arange(12).reshape(6, 2) % 3))
    rate = blocks.chances.mean()
    for weight in (1.0, 6.0):
        odds = rate / (weight * (1 - rate))
        predicted = AcceptancePredictor.fit(blocks, weight=weight)(blocks)
        np.testing.assert_allclose(predicted, odds / (1 + odds), atol=1e-4)  # the ridge pulls at the rest


def test_the_rule_multiplies_predictions():
    policy = SpecDecPlusPlus(0.6, 5, predictor=AcceptancePredictor.fit(BLOCKS))
    chances = policy.predictor(BLOCKS)
    for row, length in enumerate(policy.lengths(BLOCKS)):
        product, stop = 1.0, 5
        for drafted, chance in enumerate(chances[row]):
            if 1 - product > 0.6:
                stop = drafted
                break
            product *= chance
        assert length == stop


def test_true_chances_beat_predicted_ones_and_the_clairvoyant_beats_all():
    cost = {"draft_cost": 0.2}
    fitted = SpecDecPlusPlus(max_length=5).fitted(BLOCKS, **cost)
    true = TrueThreshold(max_length=5).fitted(BLOCKS, **cost)
    numbers = [policy.predict(BLOCKS, **cost).cost_per_token.mean
               for policy in (Clairvoyant(5), true, fitted, FixedLength(5))]
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[1]


def test_regret_and_its_standard_error():
    policy, cost = FixedLength(3), {"draft_cost": 0.2, "verify_cost": 1.5}
    found = regret(policy, BLOCKS, max_length=5, **cost)
    own, best = (one.predict(BLOCKS, **cost).cost_per_token.mean for one in (policy, Clairvoyant(5)))
    assert found.mean == pytest.approx(own / best - 1, rel=1e-12)
    parts = np.array_split(np.random.default_rng(0).permutation(200), 20)
    left_out = [regret(policy, BLOCKS.part(np.setdiff1d(np.arange(200), part)), max_length=5, **cost).mean
                for part in parts]
    jackknife = np.sqrt(19 / 20 * np.square(left_out - np.mean(left_out)).sum())
    assert found.stderr == pytest.approx(jackknife, rel=0.5)
    assert regret(Clairvoyant(5), BLOCKS, **cost).mean == pytest.approx(0, abs=1e-12)


def test_bad_arguments():
    with pytest.raises(BadArgument, match="not been fitted"):
        SpecDecPlusPlus(max_length=5).lengths(BLOCKS)
    with pytest.raises(BadArgument, match="weight"):
        SpecDecPlusPlus(weight=0)
    with pytest.raises(BadArgument, match="no policy of a drafter"):
        Clairvoyant(5).lengths(BLOCKS)
    with pytest.raises(BadArgument, match="at least 2 contexts"):
        regret(FixedLength(2), BLOCKS.part(slice(0, 1)), draft_cost=0.1)
    with pytest.raises(BadArgument, match="draft_cost"):
        regret(FixedLength(2), BLOCKS, draft_cost=0)
    coin = ot.MarkovModel.memoryless([0.5, 0.5])
    with pytest.raises(BadArgument, match="no parts"):
        ot.toy_blocks(coin, coin, 1).halves()
