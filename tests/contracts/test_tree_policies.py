"""Every plan of every tree policy: lossless with each lawful rule, refused with each other, and within its budget."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from otspec.core.errors import SchemeMismatch  # noqa: E402
from otspec.core.schemes import WithoutReplacement  # noqa: E402
from otspec.core.tree import DraftTree  # noqa: E402
from otspec.decode.drafters import best_first, budget_split, drafter, rheo  # noqa: E402
from otspec.decode.method import method  # noqa: E402
from otspec.policies.trees import AcceptanceTable, Calibration, list_tree_policies, tree_policy  # noqa: E402
from otspec.verifiers import list_verifiers, verifier  # noqa: E402
from tests.decode.drafters.whole_law import all_drafts  # noqa: E402
from tests.policies.trees.fixed_trees import fixed_trees  # noqa: E402
from tests.verifiers.tree_draws import Toy  # noqa: E402

EXACT = 1e-12  # sums of a few thousand products of a dozen factors
BINS = Calibration((0.5, 0.9), [[0.4, 0.6, 0.5], [0.1, 0.2, 0.45], [0.02, 0.1, 0.2]], (0.3, 0.6),
                   [[0.2, 0.5, 0.9], [0.1, 0.3, 0.8], [0.05, 0.1, 0.5]])
TABLE = AcceptanceTable([[0.45, 0.3, 0.1]], rule="traversal", observations=500, stderr=[[0.01] * 3], calibration=BINS)
BY_LAWS = {"heap": best_first, "calibrated_heap": best_first, "budget_split": budget_split, "rheo": rheo}
POLICIES = list(list_tree_policies())
DRAWN = [name for name in POLICIES if tree_policy(name).plan(TABLE, 4).drafter]
RULES = list(list_verifiers())
SLOW = {"lp"}  # a linear programme for each node


def plan_of(name, budget, depth):
    return tree_policy(name).plan(TABLE, budget, max_depth=depth)


def trees_of(plan, toy):
    """Every tree that the plan's drafter may draw, with its probability."""
    drafts = drafter(plan.drafter, **plan.parameters)
    if plan.counts is not None:
        return list(fixed_trees(toy, plan.counts))
    return list(all_drafts(drafts, toy, BY_LAWS.get(plan.drafter)))


@pytest.mark.parametrize("name", DRAWN)
@pytest.mark.parametrize(("size", "depth", "budget"), [(5, 2, 3), (3, 3, 4)])
def test_lawful_rules_are_lossless(name, size, depth, budget):
    plan = plan_of(name, budget, depth)
    rules = [rule for rule in RULES if rule not in SLOW and lawful(plan, rule)]
    assert "traversal" in rules
    for seed, family in enumerate(("dirichlet", "zeros")):
        toy = Toy(family, size, depth, seed)
        trees = trees_of(plan, toy)
        for rule in rules:
            assert toy.bias(plan.lawful(rule), trees) < EXACT, rule


def lawful(plan, rule):
    try:
        plan.lawful(rule)
    except SchemeMismatch:
        return False
    return True


@pytest.mark.parametrize("name", DRAWN)
def test_a_plan_and_the_decoder_accept_the_same_rules(name):
    plan = tree_policy(name).plan(TABLE, 6)
    drafts = drafter(plan.drafter, **plan.parameters)
    assert (drafts.num_nodes, drafts.most_draws, drafts.tree, drafts.adaptive_widths) == (
        plan.num_nodes, plan.most_draws, plan.scheme, plan.adaptive_widths)
    assert drafts.depth == plan.depth
    told = {row["rule"]: row for row in plan.rules().rows}
    assert list(told) == RULES
    for rule in RULES:
        if told[rule]["lawful"]:
            method(rule, 1, 1, drafts)
        else:
            assert "Fix" in told[rule]["why"]
            with pytest.raises(SchemeMismatch):
                plan.lawful(rule)
            with pytest.raises(SchemeMismatch):
                method(rule, 1, 1, drafts)


LAWFUL = {"dyspec": {"traversal", "recursive_walk"}, "eagle2": {"traversal"},
          "rheo": {"traversal", "greedy_walk"}}
LAWFUL |= {"calibrated_heap": LAWFUL["dyspec"], "likeliest": LAWFUL["eagle2"], "ppd": LAWFUL["eagle2"]}
FIXED = {"nss", "naive", "recursive_wor", "optimal", "lp", "winner_block", "layer_block", "vertex_block", "traversal",
         "grouped_traversal", "recursive_walk", "optimal_walk"}


@pytest.mark.parametrize("name", POLICIES)
def test_rules_that_are_lawful_for_each_policy(name):
    plan = tree_policy(name).plan(TABLE, 6)
    assert {row["rule"] for row in plan.rules().rows if row["lawful"]} == LAWFUL.get(name, FIXED)
    assert plan.num_nodes <= 6
    assert plan.policy == name


@pytest.mark.parametrize(("rule", "family", "seed", "bias"), [
    ("winner_block", "zeros", 1, 0.12), ("optimal_walk", "zeros", 1, 0.12), ("grouped_traversal", "peaked", 0, 0.01)])
def test_a_heap_verified_by_a_winner_rule_would_be_biased(rule, family, seed, bias):
    """What the refusal prevents: the law of the winner of n drafts is known only if n was, before they were drawn."""
    plan, toy = plan_of("dyspec", 3, 2), Toy(family, 5, 2, seed)
    with pytest.raises(SchemeMismatch, match="must know how many children"):
        plan.lawful(rule)
    hidden = [(chance, DraftTree(tree.parents, tree.tokens, scheme=tree.scheme))
              for chance, tree in trees_of(plan, toy)]
    assert toy.bias(verifier(rule, WithoutReplacement(plan.most_draws)), hidden) > bias
    for exact in ("traversal", "recursive_walk"):
        assert toy.bias(verifier(exact, WithoutReplacement(plan.most_draws)), hidden) < EXACT


def test_widths_chosen_after_the_children_would_be_biased():
    """The planted bug of a budget split: a node drops its last child when it has seen the first."""
    toy, plan = Toy("dirichlet", 5, 2, 1), plan_of("budget_split", 4, 2)
    kept = []
    for chance, tree in trees_of(plan, toy):
        last = tree.children[0][-1]
        leaf = not tree.children[last] and len(tree.children[0]) > 1 and tree.tokens[tree.children[0][0]] < 2
        nodes = [node for node in range(len(tree)) if not (leaf and node == last)]
        place = {node: i for i, node in enumerate(nodes)}
        kept.append((chance, DraftTree([-1, *(place[int(tree.parents[node])] for node in nodes[1:])],
                                       tree.tokens[nodes], scheme=tree.scheme)))
    assert toy.bias(plan.lawful("winner_block"), trees_of(plan, toy)) < EXACT
    assert toy.bias(plan.lawful("winner_block"), kept) > 1e-3


@pytest.mark.parametrize("name", ["eagle2", "likeliest"])
def test_what_a_deterministic_tree_keeps_is_the_target_mass_of_its_nodes(name):
    plan = plan_of(name, 5, 3)
    toy = Toy("dirichlet", 4, 3, 2)
    (chance, tree), = trees_of(plan, toy)
    target = next(iter(toy.rows(tree)))
    way = np.ones(len(tree))
    for node in range(1, len(tree)):
        way[node] = way[tree.parents[node]] * target[tree.parents[node], tree.tokens[node]]
    assert chance == 1
    assert plan.lawful("traversal").expected_accepted(tree, target, None) == pytest.approx(way[1:].sum(), abs=EXACT)
