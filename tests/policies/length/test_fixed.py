"""Fixed lengths: what they keep by enumeration, and the formula where it is right and where it is not."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument
from otspec.policies.length.fixed import BestLength, FixedLength, best_by_formula, geometric_tokens


def pair(seed, size=4):
    rng = np.random.default_rng(seed)
    return tuple(ot.MarkovModel(rng.dirichlet(np.full(size, 0.6), size)) for _ in range(2))


@pytest.mark.parametrize("rule", ["token_wise", "block"])
def test_tokens_per_call_are_those_of_the_rule_by_enumeration(rule):
    target, draft = pair(1)
    blocks = ot.toy_blocks(target, draft, 3, rule=rule)
    for length in range(4):
        found = FixedLength(length).predict(blocks, draft_cost=0.1)
        exact = 1.0 if length == 0 else ot.block_efficiency(rule, target, draft, length).mean
        assert found.tokens_per_call.mean == pytest.approx(exact, abs=1e-12)
        assert found.tokens_per_call.stderr == 0
        assert found.drafts_per_call.mean == pytest.approx(length)
        assert found.cost_per_token.mean == pytest.approx((1 + 0.1 * length) / exact, abs=1e-12)
        assert found.speedup.mean == pytest.approx(1 / found.cost_per_token.mean)
        assert found.draft_calls_per_token == pytest.approx(length * found.target_calls_per_token)


def test_the_formula_is_exact_where_acceptances_are_independent():
    rng = np.random.default_rng(2)
    target, draft = (ot.MarkovModel.memoryless(rng.dirichlet(np.ones(4))) for _ in range(2))
    found = FixedLength(3).predict(ot.toy_blocks(target, draft, 3, rule="token_wise"), draft_cost=0.1)
    assert found.formula == pytest.approx(found.tokens_per_call.mean, abs=1e-12)


def test_the_formula_is_too_low_where_good_contexts_follow_each_other():
    # two halves of the vocabulary: in one the models agree, in the other they do not, and texts stay in their half
    same, other = [0.45, 0.45, 0.05, 0.05], [0.05, 0.05, 0.9, 0.0]
    target = ot.MarkovModel([same, same, other, [0.05, 0.05, 0.9, 0.0]])
    draft = ot.MarkovModel([same, same, [0.05, 0.05, 0.0, 0.9], [0.05, 0.05, 0.0, 0.9]])
    blocks = ot.toy_blocks(target, draft, 4, rule="token_wise")
    found = FixedLength(4).predict(blocks, draft_cost=0.1)
    assert found.formula < found.tokens_per_call.mean - 0.1
    for row in ot.formula_table(blocks).rows:
        exact = ot.block_efficiency("token_wise", target, draft, row["length"]).mean
        assert row["measured"] == pytest.approx(exact, abs=1e-12)
        kept = exact - 1
        tested = 1 + (ot.block_efficiency("token_wise", target, draft, row["length"] - 1).mean - 1
                      if row["length"] > 1 else 0)
        assert row["by_log"] == pytest.approx(sum((kept / tested) ** j for j in range(row["length"] + 1)))
        # no formula is wrong on one draft; on more, the two err on different sides here
        assert row["by_first"] <= exact + 1e-12
        assert row["by_log"] >= exact - 1e-12
    assert row["by_log"] > exact + 0.01


def test_geometric_sum_and_its_edge():
    for rate in (0.0, 0.3, 0.999999):
        assert float(geometric_tokens(rate, 5)) == pytest.approx(sum(rate**j for j in range(6)))
    assert geometric_tokens(1.0, 5) == 6
    assert best_by_formula(1.0, draft_cost=0.5, max_length=9) == 9
    costs = [(1 + 0.2 * n) / sum(0.7**j for j in range(n + 1)) for n in range(33)]
    assert best_by_formula(0.7, draft_cost=0.2) == int(np.argmin(costs))


def test_the_best_length_is_the_best_of_all():
    target, draft = pair(3)
    blocks = ot.toy_blocks(target, draft, 4)
    for cost in (0.01, 0.2, 0.6, 2.0):
        best = BestLength(max_length=4).fitted(blocks, draft_cost=cost)
        costs = [FixedLength(n).predict(blocks, draft_cost=cost).cost_per_token.mean for n in range(5)]
        assert best.length == int(np.argmin(costs))
    assert best.length == 0  # a draft that costs two target calls


def test_bad_arguments():
    for settings in ({"length": -1}, {"length": 1.5}, {"length": True}):
        with pytest.raises(BadArgument, match="Fix"):
            FixedLength(**settings)
    with pytest.raises(BadArgument, match="larger than max_length"):
        BestLength(4, length=5)
    blocks = ot.toy_blocks(*pair(1), 2)
    with pytest.raises(BadArgument, match="not been fitted"):
        BestLength(2).predict(blocks, draft_cost=0.1)
    with pytest.raises(BadArgument, match=r"drafted_blocks\(trace"):
        FixedLength(1).predict(ot.load_trace("pocket"), draft_cost=0.1)
    with pytest.raises(BadArgument, match="draft_length=3"):
        FixedLength(3).predict(blocks, draft_cost=0.1)
    with pytest.raises(BadArgument, match="acceptance"):
        best_by_formula(1.2, draft_cost=0.1)
    for name in ("draft_cost", "verify_cost"):
        for value in (0, -1.0, float("nan"), float("inf"), "0.1", None):
            with pytest.raises(BadArgument, match=name):
                FixedLength(1).predict(blocks, **{"draft_cost": 0.1, name: value})
