"""Batches of drafted trees: helpers against single trees, and errors."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import SCHEMES as TREE_SCHEMES
from otspec.core.tree import DraftTree
from otspec.verifiers import list_verifiers, verifier
from tests.verifiers.tree_batches import SCHEMES, Batch


def leaves_first(tree):
    """Nodes in postorder, the slow way."""
    def below(node):
        for child in tree.children[node]:
            yield from below(child)
        yield node

    return list(below(0))


def line(tree, node):
    return {node} | (line(tree, tree.parents[node]) if node else set())


@pytest.mark.parametrize("library", [np.asarray, torch.asarray, strict.asarray])
@pytest.mark.parametrize("kind", SCHEMES)
def test_helpers_are_those_of_each_tree(kind, library):
    batch = Batch(kind, 3, size=3, rows=20)
    copies = batch.drafted.multiplicity
    drafted = DraftedTrees(library(batch.tokens), library(batch.parents), kind,
                           multiplicity=None if copies is None else library(copies))
    depths, ancestors, postorder, draws = (np.asarray(part) for part in (drafted.depths, drafted.ancestors,
                                                                         drafted.postorder, drafted.draws))
    if library is not strict.asarray:
        assert all(len(drafted.tree(row)) == len(drafted.nodes(row)) for row in range(20))
    for row in range(20):
        tree, nodes = batch.drafted.tree(row), batch.drafted.nodes(row)
        assert np.array_equal(tree.tokens[1:], batch.tokens[row][batch.tokens[row] >= 0])
        assert np.array_equal(depths[row, nodes], tree.depths)
        assert np.array_equal(draws[row, nodes], tree.draws)
        assert np.argsort(postorder[row, nodes]).tolist() == leaves_first(tree)
        for node in range(len(tree)):
            assert set(np.flatnonzero(ancestors[row, nodes[node]][nodes])) == line(tree, node)
    assert sorted(postorder[0]) == list(range(7))


def test_trees_go_into_a_batch_and_back():
    trees = [DraftTree.from_paths([[5, 7], [5, 8]]), DraftTree.from_paths([[5], [5], [2]])]
    drafted = DraftedTrees.stack(trees)
    assert drafted.tokens.tolist() == [[5, 7, 8], [5, 2, -1]]
    assert drafted.parents.tolist() == [[0, 1, 1], [0, 0, 0]]
    assert drafted.multiplicity.tolist() == [[2, 1, 1], [2, 1, 1]]
    assert drafted.copies.tolist() == [[2, 1, 1], [2, 1, 0]]
    for row, tree in enumerate(trees):
        again = drafted.tree(row)
        for part in ("parents", "tokens", "multiplicity"):
            assert np.array_equal(getattr(again, part), getattr(tree, part))
    with pytest.raises(BadArgument, match="trees: 2 kinds"):
        DraftedTrees.stack([trees[0], DraftTree([-1], [-1], scheme="branches")])


SHAPES = [([-1, 0, 1, 1, 0, 0, 4], [-1, 5, 7, 8, 2, 0, 5]), ([-1], [-1]), ([-1, 0, 0], [-1, 0, 3])]


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("scheme", TREE_SCHEMES)
def test_trees_of_every_scheme_are_in_a_batch_what_they_are_alone(scheme, adaptive):
    trees = [DraftTree(*shape, scheme=scheme, adaptive_widths=adaptive) for shape in SHAPES]
    drafted = DraftedTrees.stack(trees)
    drafted.check(9)
    bare = DraftedTrees(drafted.tokens, drafted.parents, scheme, adaptive)  # default copies
    for batch in (drafted, bare):
        for row, tree in enumerate(trees):
            again = batch.tree(row)
            assert repr(again) == repr(tree)
            for part in ("parents", "tokens", "multiplicity"):
                assert np.array_equal(getattr(again, part), getattr(tree, part))
            assert batch.copies[row].tolist() == [*tree.multiplicity[1:], *[0] * (7 - len(tree))]
            assert batch.draws[row].tolist() == [*tree.draws, *[0] * (7 - len(tree))]


def test_a_batch_says_what_it_is():
    tokens = np.array([[5, -1, 8]])
    assert repr(DraftedTrees(tokens, tokens)) == "DraftedTrees(1 trees, 3 columns, without_replacement)"
    assert repr(DraftedTrees(tokens, tokens, "paths", True)) == (
        "DraftedTrees(1 trees, 3 columns, paths, adaptive widths)")
    assert not DraftedTrees(tokens, tokens).adaptive_widths


def test_siblings_are_placed_by_the_rank_given():
    drafted = DraftedTrees(np.array([[5, 7, 8, 2, 4]]), np.array([[0, 0, 1, 1, 2]]))
    assert drafted.postorder.tolist() == [[5, 2, 4, 0, 1, 3]]
    assert drafted.places(np.array([[1, 0, 1, 0, 0]])).tolist() == [[5, 4, 1, 3, 2, 0]]


def test_a_child_of_an_absent_node_is_no_tree():
    with pytest.raises(BadArgument, match=r"parents\[1\] = -1"):
        DraftedTrees(np.array([[-1, 6]]), np.array([[0, 1]])).tree(0)


def test_copies_on_paths_follow_from_the_leaves():
    drafted = DraftedTrees(np.array([[5, 7, 8]]), np.array([[0, 1, 1]]), "paths")
    assert drafted.copies.tolist() == [[2, 1, 1]]
    assert drafted.draws.tolist() == [[2, 2, 0, 0]]


@pytest.mark.parametrize(("tokens", "parents", "given", "match"), [
    ([[5, 6]], [[0, 2]], {}, r"parents\[0, 1\] = 2: a parent is 0"),
    ([[5, 6]], [[-1, 0]], {}, r"parents\[0, 0\] = -1"),
    ([[-1, 6]], [[0, 1]], {}, r"parents\[0, 1\] = 1: that node is absent"),
    ([[5, 5]], [[0, 0]], {}, r"tokens\[0, 1\] = 5: drafted twice"),
    ([[5, 9]], [[0, 0]], {}, r"tokens\[0, 1\] = 9 is outside the vocabulary of 9"),
    ([[5, 6]], [[0, 0]], {"multiplicity": [[1, 0]], "scheme": "branches"}, r"multiplicity\[0, 1\] = 0: smaller"),
    ([[5, 6]], [[0, 0]], {"multiplicity": [[1, 2]]}, r"without replacement drafts have no copies"),
    ([[5, 6]], [[0, 1]], {"multiplicity": [[1, 2]], "scheme": "paths"}, "fewer copies than those of its children"),
    ([[5, 6], [5, 6]], [[0, 1], [0, 0]], {"multiplicity": [[1, 1], [1, 1]], "scheme": "greedy"},
     r"multiplicity\[1, 0\] = 1: of the children of one node several were drawn"),
    ([[5, 6]], [[0, 0]], {"multiplicity": [[0, -1]], "scheme": "greedy"}, r"multiplicity\[0, 1\] = -1: smaller than 0"),
    ([[5, 6], [5, 6]], [[0, 0], [0, 0]], {"multiplicity": [[1, 1], [1, 2]], "scheme": "deterministic"},
     r"multiplicity\[1, 1\] = 2: deterministic drafts have no copies"),
    ([[5, 6, 7], [7, 5, 7]], [[0, 0, 0], [0, 1, 0]], {}, r"tokens\[1, 2\] = 7: drafted twice after one node"),
])
def test_wrong_numbers_are_named(tokens, parents, given, match):
    given = {name: np.array(value) if name == "multiplicity" else value for name, value in given.items()}
    with pytest.raises(BadArgument, match=match):
        DraftedTrees(np.array(tokens), np.array(parents), **given).check(9)


@pytest.mark.parametrize("scheme", TREE_SCHEMES)
def test_absent_nodes_may_have_any_parent_and_any_copies(scheme):
    for copies in (99, -1, 0):
        given = np.array([[1, copies, 1]])
        drafted = DraftedTrees(np.array([[5, -1, 7]]), np.array([[0, 99, 1]]), scheme, multiplicity=given)
        drafted.check(9)
        assert drafted.copies.tolist() == [[1, 0, 1]]
    DraftedTrees(np.array([[5, -1, 7]]), np.array([[0, 99, 1]])).check(9)
    several = DraftedTrees(np.array([[5, 6, 5]]), np.array([[0, 0, 1]]), scheme)  # equal tokens, other parents
    several.check(7)


def test_wrong_shapes_and_types_are_named():
    with pytest.raises(ShapeMismatch, match="tokens: list is not an array"):
        DraftedTrees([[5]], np.array([[0]]))
    with pytest.raises(ShapeMismatch, match="parents: float64"):
        DraftedTrees(np.array([[5]]), np.array([[0.0]]))
    with pytest.raises(ShapeMismatch, match=r"parents: int64 of shape \(1, 2\)"):
        DraftedTrees(np.array([[5]]), np.array([[0, 0]]))
    with pytest.raises(ShapeMismatch, match="libraries differ"):
        DraftedTrees(np.array([[5]]), torch.zeros((1, 1), dtype=torch.int64))
    with pytest.raises(BadArgument, match="scheme: 'heap'"):
        DraftedTrees(np.array([[5]]), np.array([[0]]), "heap")


@pytest.mark.parametrize("size", [3, 9])
def test_the_vocabulary_is_that_of_the_rows_not_their_number(size):
    """Two nodes make three rows: fewer than the tokens, or as many."""
    rows = np.full((1, 3, size), 1 / size)
    drafted = DraftedTrees(np.array([[size - 1, 0]]), np.array([[0, 1]]), "paths")
    rule = verifier("traversal", 1)
    coins = np.full((1, rule.num_tree_uniforms(2)), 0.5)
    node, token = rule.draw_trees(drafted, rows, rows, coins)[:2]
    assert 0 <= int(node[0]) <= 2
    assert 0 <= int(token[0]) < size
    outside = DraftedTrees(np.array([[size, 0]]), np.array([[0, 1]]), "paths")
    with pytest.raises(BadArgument, match=rf"tokens\[0, 0\] = {size} is outside the vocabulary of {size}"):
        rule.draw_trees(outside, rows, rows, coins)


@pytest.mark.parametrize(("scheme", "kind"), [(WithReplacement(2), "paths"),
                                              (WithoutReplacement(2), "without_replacement")], ids=str)
@pytest.mark.parametrize("library", [np.asarray, torch.asarray])
def test_trees_without_a_node_emit_a_token_of_the_target(scheme, kind, library):
    rows = library(np.tile([0.0, 0.25, 0.75], (2, 1, 1)))
    none = library(np.zeros((2, 0), dtype=np.int64))
    for name in list_verifiers(scheme, kind="tree"):
        rule = verifier(name, scheme)
        coins = library(np.stack([np.full(rule.num_tree_uniforms(0), level) for level in (0.1, 0.9)]))
        drafted = DraftedTrees(none, none, kind)
        node, token = rule.draw_trees(drafted, rows, rows, coins)[:2]
        assert (np.asarray(node).tolist(), np.asarray(token).tolist()) == ([0, 0], [1, 2]), name
        assert np.asarray(rule.expected_trees(drafted, rows, rows, coins)).tolist() == [0.0, 0.0], name
