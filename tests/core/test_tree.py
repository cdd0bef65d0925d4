"""Drafted trees: what they hold, and what they refuse."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import list_verifiers, verifier


def test_paths_merge_in_drawing_order():
    tree = DraftTree.from_paths([[3, 1, 1], [2, 0, 0], [3, 1, 4], [3, 1, 1]])
    assert tree.parents.tolist() == [-1, 0, 1, 2, 0, 4, 5, 2]
    assert tree.tokens.tolist() == [-1, 3, 1, 1, 2, 0, 0, 4]
    assert tree.multiplicity.tolist() == [4, 3, 3, 2, 1, 1, 1, 1]
    assert tree.depths.tolist() == [0, 1, 2, 3, 1, 2, 3, 3]
    assert tree.draws.tolist() == [4, 3, 3, 0, 1, 1, 0, 0]
    assert tree.children[2] == (3, 7)


def test_chains_name_every_copy_once():
    tree = DraftTree.from_paths([[0, 1], [0, 1], [2, 2]])
    assert sorted(tree.chains) == [(0, 1, 2), (0, 1, 2), (0, 3, 4)]
    assert DraftTree([-1], [-1]).chains == [(0,)]


def test_a_delayed_tree_has_one_draw_along_its_trunk():
    tree = DraftTree.delayed([7, 7], [[1, 2], [1, 3], [0, 0]])
    assert tree.draws.tolist() == [1, 1, 3, 2, 0, 0, 1, 0]
    assert tree.multiplicity.tolist() == [1, 1, 1, 2, 1, 1, 1, 1]
    assert tree.scheme == "branches"
    bare = DraftTree.delayed([], [[1, 2], [1, 3]])
    assert (bare.scheme, bare.multiplicity.tolist()) == ("paths", [2, 2, 1, 1])
    trunk = DraftTree.delayed([4, 5], np.zeros((3, 0), dtype=int))
    assert (trunk.draws.tolist(), trunk.multiplicity.tolist()) == ([1, 1, 0], [1, 1, 1])


def test_default_multiplicities():
    assert DraftTree([-1, 0, 0, 1, 1], [-1, 2, 3, 2, 3]).multiplicity.tolist() == [3, 2, 1, 1, 1]
    wide = DraftTree([-1, 0, 0], [-1, 2, 3], scheme="without_replacement")
    assert wide.multiplicity.tolist() == [1, 1, 1]
    one = DraftTree([-1, 0, 0, 1, 1, 0], [-1, 2, 3, 2, 3, 0], scheme="greedy")  # the last child of a node was drawn
    assert one.multiplicity.tolist() == [1, 0, 0, 0, 1, 1]


@pytest.mark.parametrize(("parents", "tokens", "copies", "scheme", "error", "match"), [
    ([], [], None, "paths", BadArgument, "node 0 must be the root"),
    ([0, 0], [-1, 1], None, "paths", BadArgument, "node 0 must be the root"),
    ([-1, 2, 1], [-1, 1, 1], None, "paths", BadArgument, r"parents\[1\] = 2.*no cycles"),
    ([-1, 1], [-1, 1], None, "paths", BadArgument, r"parents\[1\] = 1"),
    ([-1, -1], [-1, 1], None, "paths", BadArgument, r"parents\[1\] = -1"),
    ([-1, 0], [-1, 1, 2], None, "paths", ShapeMismatch, "one for each node"),
    ([-1, 0], [-1, -1], None, "paths", BadArgument, r"tokens\[1\] = -1"),
    ([-1, 0], [3, 1], None, "paths", BadArgument, r"tokens\[0\] = 3"),
    ([-1, 0], [-1, 1.5], None, "paths", ShapeMismatch, "whole numbers"),
    ([-1, 0, 0], [-1, 1, 1], None, "paths", BadArgument, r"^tokens\[2\] = 1 is drafted twice after node 0"),
    ([-1, 0, 1, 0, 1], [-1, 1, 1, 2, 1], None, "paths", BadArgument, r"^tokens\[4\] = 1 is drafted twice after node 1"),
    ([-1, 0, 0], [-1, 1, 2], [1, 1, 1], "paths", BadArgument, "hold 2 copies, the node itself 1"),
    ([-1, 0], [-1, 1], [1, 0], "paths", BadArgument, r"multiplicity\[1\] = 0"),
    ([-1, 0], [-1, 1], [1], "paths", ShapeMismatch, "one for each node"),
    ([-1, 0, 0], [-1, 1, 2], [1, 2, 1], "without_replacement", BadArgument,
     r"multiplicity\[1\] = 2: without replacement drafts have no copies"),
    ([-1, 0, 0], [-1, 1, 2], [1, 1, 2], "deterministic", BadArgument, r"multiplicity\[2\] = 2: deterministic drafts"),
    ([-1, 0, 1, 1], [-1, 1, 2, 3], [1, 0, 1, 1], "greedy", BadArgument, "2 draws among the children of node 1"),
    ([-1, 0, 0], [-1, 1, 2], [1, 1, -1], "greedy", BadArgument, r"multiplicity\[2\] = -1 is smaller than 0"),
    ([-1, 0, 1, 1], [-1, 1, 2, 3], [2, 1, 1, 1], "paths", BadArgument, "of node 1 hold 2 copies, the node itself 1"),
    ([[-1]], [-1], None, "paths", ShapeMismatch, r"parents: int64 of shape \(1, 1\)"),
    ([-1, 0], [[-1], [0, 1]], None, "paths", ShapeMismatch, "tokens: lists of different length"),
    ([-1], [], None, "paths", BadArgument, "node 0 must be the root"),
    ([-1, 0, 1], [-1, 1, -2], None, "paths", BadArgument, r"tokens\[2\] = -2"),
    ([-1, 0], [-1, 1], None, "beam", BadArgument, "none of paths"),
])
def test_wrong_trees_are_refused(parents, tokens, copies, scheme, error, match):
    with pytest.raises(error, match=match):
        DraftTree(parents, tokens, copies, scheme=scheme)


@pytest.mark.parametrize(("copies", "scheme"), [
    ([1, 0, 0], "greedy"), ([1, 0, 1], "greedy"), ([5, 9, 9], "branches"), ([5, 2, 3], "paths"), ([2, 1, 1], "paths"),
    ([7, 1, 1], "deterministic"), ([7, 1, 1], "without_replacement")])
def test_lawful_copies_are_kept(copies, scheme):
    tree = DraftTree([-1, 0, 0], [-1, 1, 2], copies, scheme=scheme)
    assert tree.multiplicity.tolist() == copies
    assert tree.draws.tolist() == [sum(copies[1:]), 0, 0]
    assert not tree.adaptive_widths


def test_arrays_of_any_whole_numbers_become_those_of_a_tree():
    tree = DraftTree(np.array([-1, 0], dtype=np.int8), np.array([-1, 7], dtype=np.int32), np.array([3, 2], dtype="u1"))
    assert {part.dtype for part in (tree.parents, tree.tokens, tree.multiplicity)} == {np.dtype(np.int64)}
    for wrong in (np.array([-1.0, 0.0]), np.array([True, False])):
        with pytest.raises(ShapeMismatch, match=r"parents: .* of shape \(2,\)\. Fix: whole numbers with 1 axes"):
            DraftTree(wrong, [-1, 7])


def test_wrong_paths_are_refused():
    with pytest.raises(BadArgument, match="-1 found"):
        DraftTree.from_paths([[0, -1]])
    with pytest.raises(ShapeMismatch, match="2 axes"):
        DraftTree.from_paths([0, 1])
    with pytest.raises(ShapeMismatch, match="no path"):
        DraftTree.from_paths(np.zeros((0, 2), dtype=int))


def rows(nodes, size=3):
    return np.full((nodes, size), 1 / size)


@pytest.mark.parametrize(("tree", "target", "draft", "error", "match"), [
    (DraftTree([-1, 0], [-1, 1]), rows(1), rows(2), ShapeMismatch, "one row after every node"),
    (DraftTree([-1, 0], [-1, 1]), rows(2), rows(3), ShapeMismatch, "tree of 2 nodes"),
    (DraftTree([-1, 0], [-1, 1]), rows(2), rows(2, 4), ShapeMismatch, "vocabularies differ"),
    (DraftTree([-1, 0], [-1, 5]), rows(2), rows(2), BadArgument, "outside the vocabulary of 3"),
    (DraftTree([-1, 0], [-1, 1]), rows(2) / 2, rows(2), NotALaw, "sums to 0.5"),
    (DraftTree([-1, 0, 0], [-1, 1, 2]), rows(3), np.eye(3), BadArgument, "probability 0 under the draft row"),
    (DraftTree([-1, 0, 0], [-1, 1, 2], scheme="without_replacement"), rows(3), rows(3), SchemeMismatch, "bind the"),
    (DraftTree.from_paths([[0], [1], [2]]), rows(4), rows(4), SchemeMismatch, "3 draws"),
    ([[0]], rows(1), rows(1), BadArgument, "no DraftTree"),
])
def test_rows_and_trees_that_do_not_fit_are_refused(tree, target, draft, error, match):
    with pytest.raises(error, match=match):
        verifier("traversal", 2).conditional(tree, target, draft)


def test_paths_that_do_not_fit_are_refused():
    rule, uniforms = verifier("traversal", 2), np.zeros(5)
    target, draft, tokens = np.full((2, 3, 3), 1 / 3), np.full((2, 2, 3), 1 / 3), np.zeros((2, 2), dtype=int)
    assert rule.draw_paths(target, draft, tokens, uniforms).accepted == 2
    for arguments, error, match in [
            ((target[:, :2], draft, tokens, uniforms), ShapeMismatch, "3 target rows|2 draft rows"),
            ((target, draft, tokens[:, :1], uniforms), ShapeMismatch, "1 draft rows"),
            ((target[:1], draft[:1], tokens[:1], uniforms), SchemeMismatch, "1 paths for a rule bound to 2"),
            ((target, draft, tokens - 1, uniforms), BadArgument, "-1 found"),
            ((target, draft, tokens, uniforms[:4]), ShapeMismatch, "5 numbers needed"),
            ((target, draft, tokens, np.zeros((3, 5))), ShapeMismatch, "one row of uniforms"),
            ((target[0], draft[0], tokens[0], uniforms), ShapeMismatch, r"\[\*batch K L\]")]:
        with pytest.raises(error, match=match):
            rule.draw_paths(*arguments)
    with pytest.raises(SchemeMismatch, match="paths are independent draws"):
        verifier("traversal", WithoutReplacement(2)).draw_paths(target, draft, tokens, uniforms)
    with pytest.raises(SchemeMismatch, match="proved for"):
        verifier("spectr_paths", WithoutReplacement(2))


def test_a_tree_says_what_it_is():
    assert repr(DraftTree.from_paths([[0, 1], [0, 0]])) == "DraftTree(4 nodes, paths, depth 2)"
    tree = DraftTree((-1, 0), (-1, 1), scheme="without_replacement", adaptive_widths=True)
    assert repr(tree) == "DraftTree(2 nodes, without_replacement, depth 1, adaptive widths)"


def test_one_draw_of_a_tree():
    tree = DraftTree.from_paths([[0, 1], [0, 0]])
    rule = verifier("winner_block", 2)
    law = rule.conditional(tree, rows(4), rows(4))
    assert law.stop[[2, 3]].sum() == pytest.approx(1)
    verdict = rule.draw(tree, rows(4), rows(4), [0.999, 0.5])
    assert verdict.node == max(np.flatnonzero(law.stop > 0))
    assert verdict.token == 1


@pytest.mark.parametrize("name", [name for name, entry in list_verifiers(2).items() if entry.kind != "token"])
def test_paths_of_no_tokens_leave_the_target(name):
    tree = DraftTree.from_paths(np.zeros((2, 0), dtype=int))
    assert tree.chains == [(0,), (0,)]
    law = verifier(name, 2).conditional(tree, [[0.25, 0.75]], [[0.5, 0.5]])
    assert law.stop.tolist() == [1.0]
    assert law.following.tolist() == [[0.25, 0.75]]
