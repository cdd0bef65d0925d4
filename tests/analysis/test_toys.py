"""Small models: reproducible by name, every rule there, optima and differences what their columns say."""

import numpy as np
import pytest

from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.analysis.toys import FAMILIES, SHAPES, compare_toys, toys
from otspec.core.errors import BadArgument
from otspec.verifiers import list_verifiers


@pytest.fixture(scope="module")
def table():
    return compare_toys(4)


def test_toys_go_through_every_family_and_shape_before_the_next_seed():
    named = toys(11, seed=7)
    assert {(toy.family, toy.vocabulary, toy.length) for toy in named[:10]} == {
        (family, *shape) for family in FAMILIES for shape in SHAPES}
    assert [toy.seed for toy in named] == [7] * 10 + [8]
    again, other = toys(1)[0].models(), random_models("dirichlet", 2, np.random.default_rng(0))
    assert all((one.transition == two.transition).all() for one, two in zip(again, other, strict=True))


def test_every_rule_is_there_at_equal_target_tokens(table):
    first = table.where(family="dirichlet", vocabulary=2)
    assert set(first.where(paths=1).column("rule")) == set(list_verifiers(1, kind="block"))
    assert set(first.where(paths=2).column("rule")) == set(list_verifiers(2, kind="tree"))
    assert {(row["paths"], row["draft_length"]) for row in first.rows} == {(1, 6), (2, 3)}
    assert set(first.column("target_tokens")) == {6}


def test_columns_are_what_they_say(table):
    target, draft = random_models("close", 3, np.random.default_rng(0))
    row = table.where(family="close", vocabulary=3, rule="vertex_block").rows[0]

    def value(rule, length=2, paths=2):
        return block_efficiency(rule, target, draft, length, num_paths=paths).mean

    best = block_optimum(target, draft, 2, num_paths=2).upper
    one_call = block_optimum(target, draft, 2, num_paths=2, kind="one_call").upper
    expected = {"efficiency": value("vertex_block"), "optimum": best, "one_call": one_call,
                "gap_percent": 100 * (1 - value("vertex_block") / best),
                "to_traversal": value("vertex_block") - value("traversal"),
                "to_token_wise": value("vertex_block") - value("optimal_walk"),
                "to_chain": value("vertex_block") - value("block", 4, 1)}
    assert {name: row[name] for name in expected} == pytest.approx(expected, abs=1e-12)  # the same sums in order
    assert row["to_traversal"] < -0.1  # a rule that loses stays in the table


def test_no_rule_is_above_its_optimum_and_block_is_the_best_of_one_path(table):
    limit = 1e-9  # of the linear programmes' certificates
    assert max(table.column("certificate")) <= limit
    assert all(row["efficiency"] <= row["optimum"] + limit <= row["one_call"] + 2 * limit for row in table.rows)
    # both reach theirs: of the stateless rules, and of the first blocks under rules with a state
    for rule in ("block", "greedy_block"):
        assert all(row["gap_percent"] == pytest.approx(0, abs=1e-7) for row in table.where(rule=rule).rows)  # percent
    assert max(table.where(rule="greedy_block").column("to_chain")) > 0.01
    assert all(row["to_traversal"] <= limit for row in table.where(rule="token_wise").rows)
    assert min(table.where(rule="token_wise").column("to_traversal")) < -0.01


def test_progress_is_told_toy_by_toy():
    told = []
    compare_toys(2, tick=told.append)
    assert told == [0.5, 0.5]


@pytest.mark.parametrize(("count", "num_paths", "words"), [(0, 2, "count"), (1, 1, "num_paths: 1"),
                                                           (1, 0, "num_paths")])
def test_bad_sizes_are_refused(count, num_paths, words):
    with pytest.raises(BadArgument, match=words):
        compare_toys(count, num_paths=num_paths)
