"""Verdicts on batches of drafted trees by the definition of a rule alone, and what is refused before it."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw
from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.core.tree import SCHEMES, DraftTree
from otspec.core.tree_batches import check_lawful
from otspec.core.tree_verifier import TreeVerifier
from tests.verifiers.tree_batches import Batch

BOUND = {"without_replacement": WithoutReplacement(3), "greedy": Greedy(3)}


class Spread(TreeVerifier):
    """Stops at a node with a chance in proportion to the first mass of its draft law; the target's token follows."""

    schemes = (WithReplacement, WithoutReplacement, Greedy)
    trees = SCHEMES
    adaptive = ("branches",)

    def _joint(self, tree, target, draft):
        weight = draft[:, 0] + 0.25
        return (weight / weight.sum())[:, None] * target


def bound_to(kind):
    return Spread(BOUND.get(kind, WithReplacement(3)))


@pytest.mark.parametrize("library", [np.asarray, torch.asarray, strict.asarray])
@pytest.mark.parametrize("kind", SCHEMES)
def test_a_batch_is_verified_as_each_tree_alone(kind, library):
    given, rule = Batch(kind, 1, size=4, rows=12, family="zeros"), bound_to(kind)
    assert rule.num_tree_uniforms(6) == 2
    coins = given.rng.random((12, 2))
    coins[:2] = [[0.0, 1 - 2.0**-53], [1 - 2.0**-53, 0.0]]
    rows = [library(part) for part in (given.target, given.draft, coins)]
    if kind == "deterministic":
        rows[1] = None
    drafted = DraftedTrees(library(given.tokens), library(given.parents), kind,
                           multiplicity=None if given.drafted.multiplicity is None else library(given.copies))
    node, token = rule.draw_trees(drafted, *rows)
    kept = rule.expected_trees(drafted, *rows)
    for row in range(12):
        tree, nodes, target, draft = given.one(row)
        draft = None if kind == "deterministic" else draft
        law = rule.conditional(tree, target, draft)
        stop = int(draw(law.stop, coins[row, 0]))
        assert int(node[row]) == nodes[stop]
        assert int(token[row]) == int(draw(law.following[stop], coins[row, 1]))
        assert tuple(rule.draw(tree, target, draft, coins[row])) == (stop, int(token[row]))
        assert float(kept[row]) == pytest.approx(rule.expected_accepted(tree, target, draft), abs=1e-15)
    assert type(node) is type(kept) is type(rows[0])
    assert [np.asarray(part).dtype for part in (node, token, kept)] == [np.int64, np.int64, np.float64]


# -- what is refused -----------------------------------------------------------------------------------------------

TOKENS, PARENTS = np.array([[4, 1, -1], [4, 2, 3], [0, 1, 2], [1, 2, 3]]), np.array([[0, 0, 0]] * 3 + [[0, 1, 2]])
ROWS = np.full((4, 4, 5), 0.2)
GOOD = [DraftedTrees(TOKENS, PARENTS, "without_replacement"), ROWS, ROWS, np.full((4, 2), 0.5)]


def with_row(rows, row, node, law):
    rows = rows.copy()
    rows[row, node] = law
    return rows


@pytest.mark.parametrize(("place", "given", "error", "says"), [
    (0, DraftTree([-1], [-1]), BadArgument, "drafted: DraftTree is no DraftedTrees"),
    (0, DraftedTrees(TOKENS[:0], PARENTS[:0]), ShapeMismatch, "drafted: no tree"),
    (0, DraftedTrees(TOKENS + 1, PARENTS), BadArgument, r"tokens\[0, 0\] = 5 is outside the vocabulary of 5"),
    (0, DraftedTrees(torch.tensor(TOKENS), torch.tensor(PARENTS)), ShapeMismatch, "libraries differ"),
    (1, None, ShapeMismatch, r"target_rows: shape None for trees \(4, 3\)"),
    (1, ROWS[0], ShapeMismatch, r"target_rows: shape \(4, 5\) for"),
    (1, ROWS[None], ShapeMismatch, r"target_rows: shape \(1, 4, 4, 5\) for"),
    (2, np.full((4, 4, 5, 1), 1.0), ShapeMismatch, r"draft_rows: shape \(4, 4, 5, 1\) for"),
    (2, ROWS[:3], ShapeMismatch, r"draft_rows: shape \(3, 4, 5\) for"),
    (2, ROWS[:, :3], ShapeMismatch, r"draft_rows: shape \(4, 3, 5\) for"),
    (2, np.full((4, 5, 5), 0.2), ShapeMismatch, r"draft_rows: shape \(4, 5, 5\) for"),
    (2, np.full((4, 4, 2), 0.5), ShapeMismatch, r"float64 \(4, 4, 5\), float64 \(4, 4, 2\)"),
    (2, ROWS.astype(np.float32), ShapeMismatch, r"differ: float64 \(4, 4, 5\), float32"),
    (3, np.full((4, 1), 0.5), ShapeMismatch, "uniforms: shape"),
    (3, np.full((3, 2), 0.5), ShapeMismatch, r"uniforms: batch shape \(3,\) differs from that of the trees, \(4,\)"),
    (3, np.full((4, 1, 2), 0.5), ShapeMismatch, r"uniforms: batch shape \(4, 1\)"),
    (1, with_row(ROWS, 1, 3, 0.3), NotALaw, r"target_rows\[1, 3\] sums to 1.5"),
    (1, with_row(ROWS, 3, 0, np.nan), NotALaw, r"target_rows\[3, 0, 0\] = nan"),
    (2, with_row(ROWS, 3, 2, 0.3), NotALaw, r"draft_rows\[3, 2\] sums to 1.5"),  # one child stands after it
    (2, with_row(ROWS, 1, 0, [0.5, 0, 0, 0, 0.5]), BadArgument,
     r"tokens\[1, 1\] = 2 has probability 0 under the draft row of node 0"),
    (2, with_row(ROWS, 3, 2, [0.5, 0.5, 0, 0, 0]), BadArgument,
     r"tokens\[3, 2\] = 3 has probability 0 under the draft row of node 2"),
    (2, with_row(ROWS, 0, 1, np.nan), None, ""),  # a leaf
    (1, with_row(ROWS, 0, 3, np.nan), None, ""),  # an absent node
    (2, with_row(ROWS, 0, 0, [0, 0.5, 0, 0, 0.5]), None, ""),  # an absent node was not drawn
], ids=str)
def test_arguments_that_do_not_fit_are_named(place, given, error, says):
    rule, arguments = Spread(WithoutReplacement(3)), list(GOOD)
    arguments[place] = given
    for ask in (rule.draw_trees, rule.expected_trees):
        if error is None:
            ask(*arguments)
            continue
        with pytest.raises(error, match=says):
            ask(*arguments)


def test_one_node_with_too_many_draws_is_enough():
    with pytest.raises(SchemeMismatch, match=r"a node of the tree has 3 draws\. Fix: bind the rule to 3 drafts"):
        Spread(WithoutReplacement(2)).draw_trees(*GOOD)


def test_what_was_chosen_without_chance_may_have_no_mass():
    rows = np.broadcast_to([1.0, 0.0], (1, 3, 2))
    for copies, refused in (([1, 0], False), ([0, 0], False), ([0, 1], True)):
        drafted = DraftedTrees(np.array([[0, 1]]), np.array([[0, 0]]), "greedy", multiplicity=np.array([copies]))
        if refused:
            with pytest.raises(BadArgument, match=r"tokens\[0, 1\] = 1 has probability 0"):
                Spread(Greedy(2)).draw_trees(drafted, rows, rows, np.full((1, 2), 0.5))
        else:
            assert Spread(Greedy(2)).draw_trees(drafted, rows, rows, np.full((1, 2), 0.5)).token.tolist() == [0]


def test_a_rule_with_a_state_has_no_verdicts_on_trees_of_many_texts():
    class Stateful(Spread):
        stateful = True

    with pytest.raises(SchemeMismatch, match="carries a state, which trees of many texts have no place for"):
        Stateful(WithoutReplacement(3)).draw_trees(*GOOD)


@pytest.mark.parametrize("kind", SCHEMES)
def test_a_rule_verifies_trees_of_its_own_scheme(kind):
    wide, chain = (DraftTree(parents, [-1, 0, 1], scheme=kind) for parents in ([-1, 0, 0], [-1, 0, 1]))
    right = {"without_replacement": WithoutReplacement(3), "greedy": Greedy(3)}.get(kind, WithReplacement(3))
    for scheme in (WithReplacement(3), WithoutReplacement(3), Greedy(3)):
        rule = Spread(scheme)
        for most in (0, 1):  # a chain is a tree of every scheme
            check_lawful(rule, chain, most)
        for most in (2, 3):
            if scheme == right or kind == "deterministic":
                check_lawful(rule, wide, most)
            else:
                with pytest.raises(SchemeMismatch, match=rf"does not verify DraftTree\(3 nodes, {kind}.* bind the"):
                    check_lawful(rule, wide, most)
    if kind == "deterministic":  # nothing is drawn
        check_lawful(bound_to(kind), wide, 9)
    else:
        with pytest.raises(SchemeMismatch, match=r"a node of the tree has 4 draws\. Fix: bind the rule to 4 drafts"):
            check_lawful(bound_to(kind), wide, 4)

    class Others(Spread):
        trees = tuple(set(SCHEMES) - {kind})

    with pytest.raises(SchemeMismatch, match="does not verify"):
        check_lawful(Others(right), chain, 1)


@pytest.mark.parametrize("kind", SCHEMES)
def test_widths_that_depend_on_the_drafts_are_for_rules_that_say_so(kind):
    rule, drafted = bound_to(kind), DraftedTrees(TOKENS, PARENTS, kind, True)
    if kind in rule.adaptive:
        check_lawful(rule, drafted, 3)
    else:
        with pytest.raises(SchemeMismatch, match="Spread would be biased on DraftedTrees"):
            check_lawful(rule, drafted, 3)
