"""Rules on the drafts of a pair: right means, paired with the reference, and honest about what has no number."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.analysis.blocks import block_efficiency
from otspec.core.errors import BadArgument, SchemeMismatch, TooLarge
from otspec.core.markov import MarkovModel
from otspec.decode.streams import streams
from otspec.recording.path_bound import path_bounds
from otspec.recording.sequence import COINS, compare_sequences
from otspec.verifiers import list_verifiers
from otspec.verifiers.tree.traversal import Traversal
from tests.decode import tiny

PROMPTS = [[1, 2, 3], [1], [2, 4], [2, 3, 4, 0]]


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=5, scale=2.0)


def test_one_row_per_rule_and_shape(pair):
    table = compare_sequences(pair, PROMPTS, num_paths=(2, 3), draft_lengths=(1, 2), progress=False)
    rules = {name for name, entry in list_verifiers(2, kind="tree").items() if "small_vocabulary" not in entry.claims}
    assert {row["rule"] for row in table.rows if row["paths"] == 3} == rules
    assert {row["rule"] for row in table.rows if row["paths"] == 1} == set(list_verifiers(1, kind="block"))
    assert all(1 <= row["efficiency"] <= row["draft_length"] + 1 for row in table.rows)
    for row in table.where(rule="traversal").rows + table.where(rule="block").rows:
        assert (row["difference"], row["ratio"]) == (0, 1)


def test_means_are_those_of_enumeration(pair):
    context = [3]
    # one level of drafts after one context: its laws are all that counts
    target, draft = (MarkovModel.memoryless(tiny.law(model, context)) for model in (pair.target, pair.draft))
    table = compare_sequences(pair, [context, context], num_paths=(2,), draft_lengths=(1,), sets=4000, seed=2,
                              progress=False)
    for row in table.rows:
        exact = block_efficiency(row["rule"], target, draft, 1, num_paths=row["paths"]).mean
        # 8000 sets of numbers in [0, 1]: five standard errors of at most .5 / sqrt(8000)
        assert abs(row["efficiency"] - exact) <= 5 * 0.5 / np.sqrt(8000), row


def test_every_context_has_coins_of_its_own_apart_from_its_drafts():
    numbers = np.concatenate([[stream.random() for stream in streams(3, first, 50)] for first in (0, COINS)])
    assert np.unique(numbers).size == 100


def test_numbers_do_not_depend_on_batches(pair):
    tables = [compare_sequences(pair, PROMPTS, rules=["winner_block", "recursive_walk"], num_paths=(2,),
                                draft_lengths=(2,), batch_size=size, progress=False) for size in (1, 4)]
    np.testing.assert_allclose(*(table.column("efficiency") for table in tables), rtol=1e-9)  # laws to rounding


def test_a_rule_that_refuses_says_so(pair, monkeypatch):
    def refuse(*arguments):
        raise TooLarge("V: too many tokens.", 1.0)

    monkeypatch.setattr(Traversal, "_expected_paths", refuse)
    rows = compare_sequences(pair, PROMPTS, rules=["traversal", "vertex_block"], num_paths=(2,), draft_lengths=(2,),
                             progress=False).rows
    assert rows[0]["method"] == "refused: V: too many tokens."
    assert rows[0]["efficiency"] is None
    assert rows[1]["efficiency"] > 1
    assert rows[1]["ratio"] is None


def test_a_rule_without_patience_says_so(pair):
    rows = compare_sequences(pair, PROMPTS, rules="block", num_paths=(1,), draft_lengths=(2,), batch_size=1,
                             patience=0.0, progress=False).rows
    assert rows[0]["method"].startswith("too slow")
    assert rows[0]["efficiency"] is None


def test_bound_stands_beside_the_rules(pair):
    given = path_bounds(pair, PROMPTS, [(1, 2), (2, 2)], samples=64, seed=3)
    table = compare_sequences(pair, PROMPTS, rules=["block", "greedy_block", "traversal"], num_paths=(2,),
                              draft_lengths=(2,), bound=given, progress=False)
    for row in table.rows:
        bound = given[row["paths"], 2]
        assert (row["bound"], row["bound_monte_carlo"]) == (bound.tokens.mean, bound.monte_carlo)
        assert row["bound_contexts"] == len(PROMPTS)
        expected = None if row["rule"] == "greedy_block" else 100 * (row["bound"] / row["efficiency"] - 1)
        assert row["room_percent"] == (expected and pytest.approx(expected))
    plain = compare_sequences(pair, PROMPTS, rules=["block"], draft_lengths=(2,), bound=None, progress=False)
    assert plain.rows[0]["bound"] is None
    computed = compare_sequences(pair, PROMPTS, rules=["block"], draft_lengths=(2,), bound_samples=64, seed=3,
                                 progress=False)
    assert computed.rows[0]["bound"] == pytest.approx(path_bounds(pair, PROMPTS, [(1, 2)], samples=64,
                                                                  seed=3)[1, 2].tokens.mean)


def test_bad_arguments(pair):
    with pytest.raises(SchemeMismatch, match="'optimal' is a token rule"):
        compare_sequences(pair, PROMPTS, rules="optimal")
    with pytest.raises(SchemeMismatch, match="no independent paths"):
        compare_sequences(pair, PROMPTS, rules="grouped_traversal")
    with pytest.raises(BadArgument, match="empty"):
        compare_sequences(pair, PROMPTS, num_paths=())
    with pytest.raises(BadArgument, match="standard error"):
        compare_sequences(pair, PROMPTS, rules="block", contexts=1, draft_lengths=(1,), progress=False)
