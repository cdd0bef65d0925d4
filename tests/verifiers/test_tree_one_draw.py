"""Trees of chosen tokens and one draw: rules against oracles in the papers' letters, and the bugs that a test must see.

The oracle of UniVer and of the walk is `tests.oracles.greedy_trees`; batched forms are compared with the definitions.
"""

import array_api_strict as strict
import numpy as np
import pytest
import torch
from scipy.optimize import linprog

from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import Greedy, WithReplacement
from otspec.core.tree import DraftTree
from otspec.transport.bounds import optimal_acceptance
from otspec.verifiers import verifier
from otspec.verifiers.tree.univer import UniVer
from tests.oracles.greedy_trees import flat_walk, local_plan, univer
from tests.verifiers.tree_batches import Batch
from tests.verifiers.tree_draws import Toy, fixed, prefix_of, shaped_trees, toys

RULES = {"univer": univer, "traversal": lambda *tree: univer(*tree, draw_first=False), "greedy_walk": flat_walk}
EXACT = 1e-12  # sums of a few thousand products of a dozen factors
SAMPLES = 20_000


def nested(tree):
    """Tree in the oracle's form."""
    found = {}
    for node in range(1, len(tree)):
        found.setdefault(prefix_of(tree, int(tree.parents[node])), []).append(
            (int(tree.tokens[node]), bool(tree.multiplicity[node])))
    return found


def by_prefix(tree, rows):
    """Laws after every node, as a function of its prefix."""
    laws = {prefix_of(tree, node): rows[node].tolist() for node in range(len(tree))}
    return laws.__getitem__


@pytest.mark.parametrize("name", RULES)
def test_rules_are_their_oracles(name):
    """Draws in any place among the chosen tokens, nodes in any order."""
    for seed, family in enumerate(("dirichlet", "peaked", "zeros", "ties")):
        batch = Batch("greedy", seed, family=family, rows=12)
        for row in range(12):
            tree, _, target, draft = batch.one(row)
            law = verifier(name, Greedy(3)).conditional(tree, target, draft)
            expected = RULES[name](nested(tree), by_prefix(tree, target), by_prefix(tree, draft))
            for node in range(len(tree)):
                mine = law.stop[node] * law.following[node]
                theirs = [expected.get((prefix_of(tree, node), y), 0.0) for y in range(5)]
                np.testing.assert_allclose(mine, theirs, atol=EXACT)


@pytest.mark.parametrize("alpha", [1.0, 0.7, 0.2])
def test_the_local_plan_is_optimal_for_the_scaled_target(alpha):
    """The programme over (draw, child): a draw's list takes at most its mass, a child at most alpha p."""
    for seed in range(6):
        toy = Toy("dirichlet", 5, 0, seed)
        p, q = toy.target[0][0], toy.draft[0][0]
        lists, chances = Greedy(3).lists(q)
        cells = [(n, y) for n, drafts in enumerate(lists) for y in drafts.tolist()]
        rows = [[float(n == m) for n, _ in cells] for m in range(len(lists))]
        rows += [[float(y == x) for _, y in cells] for x in range(5)]
        best = -linprog(-np.ones(len(cells)), rows, [*chances, *(alpha * p)]).fun
        taken = 0.0
        for drafts, chance in zip(lists.tolist(), chances, strict=True):
            left = 1.0
            for _, weight in local_plan([(y, y == drafts[-1]) for y in drafts], alpha, p, q, True)[0]:
                taken += chance * left * weight
                left *= 1.0 - weight
        assert taken == pytest.approx(best, abs=1e-9)  # the solver's tolerance


def test_one_level_is_the_optimum_of_greedy_drafts_and_one_path_is_a_block():
    for toy in toys(5, 1, 5):
        trees = list(shaped_trees(toy, fixed(Greedy, 3), "greedy"))
        for name in ("univer", "greedy_walk"):
            kept = sum(chance * verifier(name, Greedy(3)).expected_accepted(t, *toy.rows(t)) for chance, t in trees)
            assert kept == pytest.approx(float(optimal_acceptance(toy.target[0][0], toy.draft[0][0], Greedy(3))))
    batch = Batch("greedy", 3, rows=1)
    chain = DraftTree([-1, 0, 1, 2], [-1, 3, 1, 4], scheme="greedy")
    rows = batch.target[0, :4], np.abs(batch.target[0, [1, 2, 3, 0]])
    block = verifier("block").conditional(DraftTree.from_paths([[3, 1, 4]]), *rows)
    for part, other in zip(verifier("univer", Greedy(1)).conditional(chain, *rows), block, strict=True):
        np.testing.assert_allclose(part, other, atol=EXACT)


class HeadsForgotten(UniVer):
    """Planted: the draw is verified against the whole draft law, although it was drawn without the top tokens."""

    def _winner(self, tree, group, goal, left):
        if tree.multiplicity[group[0]]:
            return left / left.sum(), np.ones(1)
        return super()._winner(tree, group, goal, left)


class ChosenAsDrawn(UniVer):
    """Planted: chosen tokens are verified as if they had been drawn."""

    def _winner(self, tree, group, goal, left):
        return left / left.sum(), np.ones(1)


@pytest.mark.parametrize("mutant", [HeadsForgotten, ChosenAsDrawn])
def test_mutants_are_biased(mutant):
    toy = Toy("dirichlet", 5, 2, 1)
    trees = list(shaped_trees(toy, fixed(Greedy, 2, 2), "greedy"))
    assert toy.bias(UniVer(Greedy(2)), trees) < EXACT
    assert toy.bias(mutant(Greedy(2)), trees) > 1e-2


@pytest.mark.parametrize("name", RULES)
def test_draws_have_the_law_of_each_tree(name):
    batch, rule = Batch("greedy", 0, rows=3), verifier(name, Greedy(3))
    exact = batch.exact(rule)
    for row in range(3):
        arguments = batch.repeated(row, SAMPLES)
        uniforms = batch.rng.random((SAMPLES, rule.num_tree_uniforms(6)))
        verdict = rule.draw_trees(*arguments, uniforms)
        seen = np.zeros_like(exact[row])
        np.add.at(seen, verdict, 1 / SAMPLES)
        error = np.sqrt(exact[row] * (1 - exact[row]) / SAMPLES)
        assert (np.abs(seen - exact[row]) <= 5 * error + 1e-9).all()


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("widths", [(3, 2), (2, 2)])
def test_estimates_are_unbiased(name, widths):
    for seed, family in enumerate(("dirichlet", "peaked", "zeros")):
        toy, rule = Toy(family, 4, 2, seed), verifier(name, Greedy(3))
        exact = estimate = 0.0
        for chance, tree in shaped_trees(toy, fixed(Greedy, *widths), "greedy"):
            rows = list(toy.rows(tree))
            exact += chance * rule.expected_accepted(tree, *rows)
            drafted = DraftedTrees.stack([tree])
            coins = np.zeros((1, rule.num_tree_uniforms(drafted.num_nodes)))
            estimate += chance * float(rule.expected_trees(drafted, *(part[None] for part in rows), coins)[0])
        assert estimate == pytest.approx(exact, abs=EXACT)


@pytest.mark.parametrize("name", RULES)
def test_columns_that_trees_leave_empty_change_no_estimate(name):
    batch, rule = Batch("greedy", 3, rows=20), verifier(name, Greedy(3))
    parts = zip((batch.tokens, batch.parents, batch.copies), (-1, 0, 1), strict=True)
    tokens, parents, copies = (np.pad(part, ((0, 0), (0, 2)), constant_values=filled) for part, filled in parts)
    wide = DraftedTrees(tokens, parents, "greedy", False, copies)
    rows = [np.pad(part, ((0, 0), (0, 2), (0, 0)), constant_values=np.nan) for part in (batch.target, batch.draft)]
    found = [rule.expected_trees(drafted, *laws, np.zeros((20, rule.num_tree_uniforms(drafted.num_nodes)))) for
             drafted, laws in ((wide, rows), (batch.drafted, (batch.target, batch.draft)))]
    np.testing.assert_allclose(*found, atol=EXACT)


@pytest.mark.parametrize("name", RULES)
def test_given_the_tree_adaptive_estimates_are_exact(name):
    if name == "univer":
        return  # refused, see below
    batch, rule = Batch("greedy", 5, adaptive=True), verifier(name, Greedy(3))
    found = rule.expected_trees(batch.drafted, batch.target, batch.draft, np.zeros((8, 7)))
    exact = (batch.exact(rule).sum(axis=-1) * batch.drafted.depths).sum(axis=-1)
    np.testing.assert_allclose(found, exact, atol=EXACT)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("library", [strict.asarray, torch.asarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_numbers_on_every_library(name, library, dtype):
    batch, rule = Batch("greedy", 7, rows=30), verifier(name, Greedy(3))
    drafted = DraftedTrees(*map(library, (batch.tokens, batch.parents)), "greedy", False, library(batch.copies))
    rows = [part.astype(dtype) for part in (batch.target, batch.draft)]
    coins = batch.rng.random((30, rule.num_tree_uniforms(6)))
    there = [library(part) for part in (*rows, coins)]
    for mine, theirs in zip(rule.draw_trees(batch.drafted, *rows, coins), rule.draw_trees(drafted, *there),
                            strict=True):
        assert np.array_equal(mine, np.asarray(theirs))
    np.testing.assert_allclose(rule.expected_trees(batch.drafted, *rows, coins),
                               np.asarray(rule.expected_trees(drafted, *there)), atol=1e-9)


def test_trees_of_one_draw_are_checked():
    assert DraftTree([-1, 0, 0, 1], [-1, 0, 1, 0], scheme="greedy").multiplicity.tolist() == [1, 0, 1, 1]
    with pytest.raises(BadArgument, match="2 draws among the children of node 0"):
        DraftTree([-1, 0, 0], [-1, 0, 1], [1, 1, 1], scheme="greedy")
    with pytest.raises(BadArgument, match="smaller than 0"):
        DraftTree([-1, 0, 0], [-1, 0, 1], [1, -1, 1], scheme="greedy")
    with pytest.raises(BadArgument, match="several were drawn"):
        DraftedTrees(np.array([[0, 1]]), np.array([[0, 0]]), "greedy", multiplicity=np.array([[1, 1]])).check(2)
    assert DraftedTrees(np.array([[0, 1, 0]]), np.array([[0, 0, 1]]), "greedy").copies.tolist() == [[0, 1, 1]]
    tree = DraftTree([-1, 0, 0], [-1, 0, 1], scheme="greedy", adaptive_widths=True)
    with pytest.raises(SchemeMismatch, match="before they are drawn"):
        verifier("univer", Greedy(2)).conditional(tree, [[0.5, 0.5]] * 3, [[0.5, 0.5]] * 3)
    with pytest.raises(SchemeMismatch, match="does not verify"):
        verifier("winner_block", WithReplacement(2)).conditional(tree, [[0.5, 0.5]] * 3, [[0.5, 0.5]] * 3)


@pytest.mark.parametrize("name", RULES)
def test_no_verdict_waits_for_a_device(name):
    """On a device without numbers every question to them would fail."""
    rule, rows = verifier(name, Greedy(3)), torch.empty(4, 7, 5, device="meta")
    nodes = torch.empty(4, 6, dtype=torch.int64, device="meta")
    coins = torch.empty(4, rule.num_tree_uniforms(6), dtype=torch.float64, device="meta")
    for copies in (nodes, None):
        trees = DraftedTrees(nodes, nodes, "greedy", multiplicity=copies)
        assert [part.shape for part in rule._draw_trees(trees, rows, rows, coins)] == [(4,), (4,)]
        assert rule._expected_trees(trees, rows, rows, coins).shape == (4,)
