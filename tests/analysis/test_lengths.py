"""Blocks of traces and toys, and the table that compares length policies."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.policies.length.blocks import Blocks
from tests.policies.length.test_thresholds import sample

ROWS = sample(30)


@pytest.mark.parametrize("rule", ["token_wise", "block", "single_draft"])
def test_blocks_of_a_trace_are_those_of_its_rows(rule, monkeypatch):
    target, draft, tokens = ROWS
    stored = {"target_rows": np.log(target), "draft_rows": np.log(draft), "tokens": tokens.astype(np.int32)}
    trace = ot.Trace([stored], {})
    whole = ot.drafted_blocks(ROWS, rule=rule)
    monkeypatch.setattr("otspec.analysis.lengths.ENTRIES", 4 * 11 * 6)  # four contexts at a time
    found = ot.drafted_blocks(trace, rule=rule)
    for name in ("kept", "passed", "chances", "confidence", "top", "entropy"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), atol=1e-12)
    estimate = ot.trace_block_efficiency(rule, *ROWS)
    assert 1 + whole.profile.sum() == pytest.approx(estimate.mean, abs=1e-12)
    assert repr(found) == f"Blocks(30 blocks of 5, {rule})"


@pytest.mark.parametrize("rule", ["token_wise", "block"])
def test_a_toy_is_enumerated_with_its_contexts(rule):
    rng = np.random.default_rng(1)
    target = ot.MarkovModel(rng.dirichlet(np.ones(3), (3, 3)))
    draft = ot.MarkovModel(rng.dirichlet(np.ones(3), 3))  # of a lower order
    blocks = ot.toy_blocks(target, draft, 2, rule=rule)
    assert blocks.weights.sum() == pytest.approx(1)
    assert 1 + blocks.profile.sum() == pytest.approx(ot.block_efficiency(rule, target, draft, 2).mean, abs=1e-12)


def test_the_table_judges_policies_on_contexts_they_were_not_fitted_on():
    blocks = ot.drafted_blocks(sample(200, seed=1))
    table = ot.compare_lengths(blocks, draft_cost=0.2)
    assert (table.metadata["contexts"], table.metadata["calibration_contexts"]) == (100, 100)
    _, held_out = blocks.halves()
    rows = {(row["policy"], row["parameters"]): row for row in table.rows}
    assert ("best", "default") not in rows
    assert {"default", "fitted"} == {kind for name, kind in rows if name == "confidence"}
    fixed = ot.length_policy("fixed", length=4).predict(held_out, draft_cost=0.2)
    assert rows["fixed", "default"]["cost_per_token"] == fixed.cost_per_token.mean
    assert rows["clairvoyant", "default"]["regret"] == pytest.approx(0, abs=1e-12)
    assert all(row["regret"] >= -1e-12 for row in table.rows)
    assert rows["fixed", "default"]["formula"] == pytest.approx(fixed.formula)


def test_of_an_enumeration_all_is_exact():
    rng = np.random.default_rng(2)
    models = [ot.MarkovModel(rng.dirichlet(np.ones(3), 3)) for _ in range(2)]
    table = ot.compare_lengths(ot.toy_blocks(*models, 3), draft_cost=0.1, policies=("fixed", "best", "clairvoyant"))
    assert {row["cost_per_token_stderr"] for row in table.rows} == {0.0}


def test_the_costs_decide():
    blocks = ot.drafted_blocks(sample(60, seed=3))
    lengths = [ot.length_policy("best", max_length=5).fitted(blocks, draft_cost=cost).length
               for cost in (1e-6, 0.1, 0.5, 5.0)]
    assert lengths == sorted(lengths, reverse=True)
    assert (lengths[0], lengths[-1]) == (5, 0)


def test_bad_arguments():
    with pytest.raises(BadArgument, match="draft_length"):
        ot.drafted_blocks(ot.load_trace("pocket"))
    with pytest.raises(BadArgument, match="drawn before"):
        ot.drafted_blocks(ot.Trace([{"target_rows": np.log(ROWS[0]), "draft_rows": np.log(ROWS[1]),
                                     "tokens": ROWS[2]}], {}).with_temperature(0.5))
    with pytest.raises(BadArgument, match="no trace"):
        ot.drafted_blocks("pocket")
    with pytest.raises(BadArgument, match="at least 2 each"):
        ot.compare_lengths(tuple(array[:3] for array in ROWS), draft_cost=0.1)
    with pytest.raises(BadArgument, match="draft_cost"):
        ot.compare_lengths(ROWS, draft_cost=float("nan"))
    with pytest.raises(BadArgument, match="verify_cost"):
        ot.compare_lengths(ROWS, draft_cost=0.1, verify_cost=-1)
    with pytest.raises(BadArgument, match="max_length=9"):
        ot.compare_lengths(ROWS, draft_cost=0.1, max_length=9)
    with pytest.raises(TooLarge, match="draft_length"):
        ot.toy_blocks(ot.MarkovModel.memoryless(np.full(50, 0.02)), ot.MarkovModel.memoryless(np.full(50, 0.02)), 6)
    with pytest.raises(ShapeMismatch, match="at least one block"):
        Blocks(*(np.ones((0, 2)),) * 6)
    one = ot.drafted_blocks(ROWS).part(slice(0, 1))
    with pytest.raises(BadArgument, match="at least 2 contexts"):
        ot.length_policy("fixed", length=2).predict(one, draft_cost=0.1)
