"""Caterpillars, delayed trees, shapes, and how policies are asked for."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument, SchemeMismatch, UnknownName
from otspec.policies.trees import AcceptanceTable, Calibration, TreePlan, list_tree_policies, tree_policy
from otspec.policies.trees.shapes import counts_of, numbered, shape_of, text_of
from tests.oracles.trees import all_shapes, tokens

EXACT = 1e-12
RATES = [[0.5, 0.3, 0.1], [0.7, 0.1, 0.1], [0.6, 0.2, 0.0]]


def rate(depth, width, rank):
    return RATES[min(depth, 2)][rank]


def is_caterpillar(shape):
    return not shape or (not any(shape[1:]) and is_caterpillar(shape[0]))


def is_chain(shape):
    return not shape or (len(shape) == 1 and is_chain(shape[0]))


def depth_of(shape):
    return 1 + max(map(depth_of, shape)) if shape else 0


def is_delayed(shape):
    if len(shape) == 1 and not is_chain(shape):
        return is_delayed(shape[0])
    return all(map(is_chain, shape)) and len({depth_of(child) for child in shape}) <= 1


@pytest.mark.parametrize(("name", "belongs"), [("caterpillar", is_caterpillar), ("delayed", is_delayed)])
@pytest.mark.parametrize(("budget", "depth", "children"), [(7, 7, 3), (8, 3, 3), (6, 6, 2), (1, 1, 1), (3, 1, 3)])
def test_no_tree_of_the_kind_is_better(name, belongs, budget, depth, children):
    plan = tree_policy(name).plan(RATES, budget, max_depth=depth, max_children=children)
    every = [shape for size in range(1, budget + 1) for shape in all_shapes(size, depth, children)]
    of_kind = [shape for shape in every if belongs(shape)]
    assert len(of_kind) < len(every) or budget == 1 or depth == 1
    assert plan.tokens.mean == pytest.approx(max(tokens(shape, rate) for shape in of_kind), abs=EXACT)
    assert belongs(plan.shape)
    assert plan.depth <= depth
    assert max(plan.counts) <= children


def test_winner_rules_want_other_trees():
    rates = np.zeros((1, 3, 3))
    rates[0, 0, :1], rates[0, 1, :2], rates[0, 2] = 0.6, (0.42, 0.33), (0.33, 0.28, 0.25)
    plans = [tree_policy(name).plan(rates, 8) for name in ("caterpillar", "fitted")]
    assert plans[0].tokens.mean <= plans[1].tokens.mean + EXACT
    assert plans[1].counts[0] > 1


@pytest.mark.parametrize("nodes", range(1, 6))
def test_shapes_and_counts_are_one(nodes):
    for shape in all_shapes(nodes, nodes, nodes):
        counts = counts_of(shape)
        assert shape_of(counts) == shape
        assert sum(counts) == nodes
        parents, depths, ranks = numbered(counts)
        assert np.bincount(parents[1:], minlength=len(parents))[: len(counts)].tolist() == list(counts)
        assert all(depths[node] == depths[parents[node]] + 1 for node in range(1, len(parents)))
        assert all(ranks[node] == (parents[1:node] == parents[node]).sum() for node in range(1, len(parents)))


def test_shapes_in_short():
    assert text_of(shape_of((1,) * 5)) == "5"
    assert text_of(shape_of((2, 3, 2, 1))) == "((1 . .) (. .))"
    for counts in ((-1,), (1.5,), (True,), (1, 0, 0)):
        with pytest.raises(BadArgument, match="counts: "):
            numbered(counts)


def test_the_registry():
    assert list(list_tree_policies())[:2] == ["sequoia", "fitted"]
    with pytest.raises(UnknownName, match="sequoia"):
        tree_policy("sequoias")
    with pytest.raises(BadArgument, match=r"width: no parameter of 'sequoia'\. Fix: it takes none"):
        tree_policy("sequoia", width=3)
    with pytest.raises(BadArgument, match="made already"):
        tree_policy(tree_policy("sequoia"), width=3)
    with pytest.raises(BadArgument, match="neither"):
        tree_policy(3)
    policy = tree_policy("eagle2", width=4)
    assert tree_policy(policy) is policy
    assert policy.plan(None, 3).parameters == {"nodes": 3, "width": 3, "max_depth": 3}


BINS = Calibration((), [[0.5], [0.1]], (), [[0.5], [0.1]])
WIDE = Calibration((), [[[0.5], [0.0]], [[0.3], [0.3]]], (), [[[0.5], [0.0]], [[0.3], [0.3]]])


@pytest.mark.parametrize(("name", "table", "budget", "settings", "says"), [
    ("fitted", [0.5], 0, {}, "budget: 0"), ("fitted", [0.5], 1.5, {}, "budget: 1.5"),
    ("fitted", [0.5], 4, {"max_depth": 0}, "max_depth: 0"),
    ("fitted", [0.5], 4, {"max_children": 2}, "max_children: 2"),
    ("fitted", None, 4, {}, "table: None"), ("calibrated_heap", None, 4, {}, "table: None"),
    ("calibrated_heap", [0.5], 4, {}, "no calibration"), ("budget_split", [0.5], 4, {}, "no calibration"),
    ("dyspec", None, 4, {"max_children": 2}, "max_children: 2"), ("fitted", [0.9, 0.9], 4, {}, "rates")])
def test_bad_arguments_are_refused(name, table, budget, settings, says):
    with pytest.raises(BadArgument, match=f"{says}.*Fix"):
        tree_policy(name).plan(table, budget, **settings)


def test_a_heap_knows_no_widths_and_a_split_does():
    table = AcceptanceTable([0.5, 0.1], calibration=WIDE)
    with pytest.raises(SchemeMismatch, match="which a heap does not know"):
        tree_policy("calibrated_heap").plan(table, 4)
    assert tree_policy("budget_split").plan(table, 4).most_draws == 2


def test_objects_are_bound_as_names_are():
    from otspec.core.schemes import WithoutReplacement
    from otspec.verifiers import verifier

    plan = tree_policy("fitted").plan([0.5, 0.2], 6)
    rule = verifier("traversal", WithoutReplacement(2))
    assert plan.lawful(rule) is rule
    for wrong in (verifier("block"), verifier("traversal", 2), verifier("traversal", WithoutReplacement(1)), 3):
        with pytest.raises(SchemeMismatch, match="Fix"):
            plan.lawful(wrong)
    with pytest.raises(UnknownName):
        plan.lawful("traversals")
    assert "fitted, 6 nodes" in repr(plan)
    assert len(repr(TreePlan("mine", "tree", {}, 300, 3, counts=(3,) * 100))) < 100
