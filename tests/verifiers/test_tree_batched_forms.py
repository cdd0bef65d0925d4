"""Batched verdicts on drafted trees: the same on every library, without waiting or copies; bad arguments."""

import tracemalloc

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core import batched_walk
from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.schemes import WithoutReplacement
from otspec.verifiers import verifier
from otspec.verifiers.block import batched_choice
from otspec.verifiers.token import optimal
from otspec.verifiers.tree import batched_traversal, copies
from otspec.verifiers.tree.batched_traversal import draw_in_columns, node_masses
from otspec.verifiers.tree.copies import walk_copies_in_columns
from otspec.verifiers.tree.refusals import REJECTION, TRAVERSAL
from tests.oracles.waiting import NoWaiting
from tests.verifiers.tree_batches import FAST, MOST, SCHEMES, WITHOUT, Batch, scheme_of

LIBRARIES = {"torch": torch.asarray, "strict": strict.asarray}


def moved(array, library):
    return LIBRARIES[library](array) if array is not None else None


def there(drafted, library):
    return DraftedTrees(moved(drafted.tokens, library), moved(drafted.parents, library), drafted.scheme,
                        drafted.adaptive_widths, moved(drafted.multiplicity, library))


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_both_forms_of_the_work_horses_agree_token_by_token(library, kind, dtype):
    rules = [("traversal", TRAVERSAL)] + [("recursive_walk", REJECTION)] * (kind != "deterministic")
    for seed, family in enumerate(("dirichlet", "zeros", "close")):
        batch = Batch(kind, seed, rows=300, family=family)
        rows = [part.astype(dtype) for part in (batch.target, batch.draft)]
        for name, weighted in rules:
            rule = verifier(name, scheme_of(kind))
            uniforms = batch.rng.random((300, rule.num_tree_uniforms(batch.drafted.num_nodes)))
            mine = rule._draw_trees(batch.drafted, *rows, uniforms)
            placed = (there(batch.drafted, library), *(moved(part, library) for part in (*rows, uniforms)))
            if name == "recursive_walk" and kind != "without_replacement":
                *theirs, mean = walk_copies_in_columns(*placed, MOST)
                assert np.allclose(rule._expected_trees(batch.drafted, *rows, uniforms), np.asarray(mean), atol=1e-6)
            else:
                theirs = draw_in_columns(*placed, weighted)
            for left, right in zip(mine, theirs, strict=True):
                assert np.array_equal(left, np.asarray(right))


@pytest.mark.parametrize(("name", "kind", "weighted"), [("traversal", kind, TRAVERSAL) for kind in SCHEMES]
                         + [("recursive_walk", "without_replacement", REJECTION)])
def test_both_forms_keep_as_much_node_by_node(name, kind, weighted, monkeypatch):
    """Also where a token would be kept for certain: the mean over the drafted token counts those that would not."""
    for seed, family in enumerate(("dirichlet", "zeros", "close")):
        batch = Batch(kind, seed, rows=100, family=family)
        given = batch.drafted, batch.target, batch.draft
        rule = verifier(name, scheme_of(kind))
        uniforms = batch.rng.random((100, rule.num_tree_uniforms(batch.drafted.num_nodes)))
        mine = *node_masses(*given, weighted), rule._expected_trees(*given, uniforms)
        with monkeypatch.context() as device:
            device.setattr(batched_traversal, "on_host", lambda array: False)
            theirs = *node_masses(*given, weighted), rule._expected_trees(*given, uniforms)
        for left, right in zip(mine, theirs, strict=True):
            assert left == pytest.approx(right, abs=1e-12)
        if kind == "deterministic":  # nothing is drawn, so that draft rows are not read
            alone = node_masses(batch.drafted, batch.target, None, weighted)
            assert [part.tolist() for part in alone] == [part.tolist() for part in mine[:2]]


@pytest.mark.parametrize("name", ["spectr_paths", "optimal_walk", "winner_block", "vertex_block"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_level_by_level_rules_agree_on_every_library(name, library):
    kind = "branches"
    rule, batch = verifier(name, scheme_of(kind)), Batch(kind, 3, rows=100)
    uniforms = batch.rng.random((100, rule.num_tree_uniforms(batch.drafted.num_nodes)))
    mine = rule._draw_trees(batch.drafted, batch.target, batch.draft, uniforms)
    theirs = rule._draw_trees(there(batch.drafted, library),
                              *(moved(part, library) for part in (batch.target, batch.draft, uniforms)))
    for left, right in zip(mine, theirs, strict=True):
        assert np.array_equal(left, np.asarray(right))


@pytest.mark.parametrize("name", ["optimal_walk", "winner_block"])
@pytest.mark.parametrize("library", LIBRARIES)
def test_winners_without_replacement_agree_on_every_library(name, library):
    rule, batch = verifier(name, WithoutReplacement(MOST)), Batch("without_replacement", 3, rows=40)
    uniforms = batch.rng.random((40, rule.num_tree_uniforms(batch.drafted.num_nodes)))
    mine = rule._draw_trees(batch.drafted, batch.target, batch.draft, uniforms)
    theirs = rule._draw_trees(there(batch.drafted, library),
                              *(moved(part, library) for part in (batch.target, batch.draft, uniforms)))
    for left, right in zip(mine, theirs, strict=True):
        assert np.array_equal(left, np.asarray(right))


@pytest.mark.parametrize(("name", "kind"), FAST)
def test_no_draw_waits_for_a_device(name, kind, monkeypatch):
    """The form for devices runs on the CPU here, with every operation refused that would wait."""
    for module in (batched_traversal, copies, optimal):
        monkeypatch.setattr(module, "on_host", lambda array: False)
    for module in (batched_walk, batched_choice):
        monkeypatch.setattr(module, "in_place", lambda *given: given)
    rule, batch = verifier(name, scheme_of(kind)), Batch(kind, 5, rows=20)
    uniforms = batch.rng.random((20, rule.num_tree_uniforms(batch.drafted.num_nodes)))
    drafted, *rest = there(batch.drafted, "torch"), *map(torch.asarray, (batch.target, batch.draft, uniforms))
    with NoWaiting():
        node, token = rule._draw_trees(drafted, *rest)
        rule._expected_trees(drafted, *rest)
    monkeypatch.undo()
    for mine, theirs in zip(rule._draw_trees(batch.drafted, batch.target, batch.draft, uniforms), (node, token),
                            strict=True):
        assert np.array_equal(mine, theirs.numpy())


@pytest.mark.parametrize("name", ["traversal", "recursive_walk"])
def test_a_compiled_draw_copies_no_row(name):
    rule, batch = verifier(name, WithoutReplacement(MOST)), Batch("without_replacement", 1, size=20_000, rows=2)
    uniforms = batch.rng.random((2, rule.num_tree_uniforms(6)))
    rule._draw_trees(batch.drafted, batch.target, batch.draft, uniforms)
    tracemalloc.start()
    try:
        rule._draw_trees(batch.drafted, batch.target, batch.draft, uniforms)
        assert tracemalloc.get_traced_memory()[1] < batch.target[0, 0].nbytes
    finally:
        tracemalloc.stop()


def test_empty_trees_are_drawn_from_the_target():
    drafted = DraftedTrees(np.full((2, 3), -1), np.zeros((2, 3), dtype=np.int64))
    rows = np.full((2, 4, 3), np.nan)
    rows[:, 0] = [0.0, 1.0, 0.0]
    for name in WITHOUT:
        rule = verifier(name, WithoutReplacement(2))
        uniforms = np.full((2, rule.num_tree_uniforms(3)), 0.9)
        node, token = rule.draw_trees(drafted, rows, np.full_like(rows, np.nan), uniforms)
        assert (node.tolist(), token.tolist()) == ([0, 0], [1, 1])
        assert rule.expected_trees(drafted, rows, rows, uniforms).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("library", ["numpy", *LIBRARIES])
@pytest.mark.parametrize(("name", "kind"), FAST)
def test_trees_without_a_column_are_drawn_from_the_target(name, kind, library):
    place = LIBRARIES.get(library, np.asarray)
    none = place(np.zeros((2, 0), dtype=np.int64))
    drafted = DraftedTrees(none, none, Batch(kind, 0).drafted.scheme, multiplicity=none)
    rule = verifier(name, scheme_of(kind))
    rows = place(np.array([[[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]))
    uniforms = place(np.full((2, rule.num_tree_uniforms(0)), 0.9))
    forms = [rule._draw_trees(drafted, rows, rows, uniforms)]
    if name == "recursive_walk" and kind != "without_replacement":
        forms.append(walk_copies_in_columns(drafted, rows, rows, uniforms, MOST)[:2])
    for node, token in forms:
        assert (np.asarray(node).tolist(), np.asarray(token).tolist()) == ([0, 0], [1, 2])


def test_bad_arguments_are_named():
    rule, batch = verifier("traversal", WithoutReplacement(MOST)), Batch("without_replacement", 0)
    good = [batch.drafted, batch.target, batch.draft, np.zeros((8, 7))]
    rule.draw_trees(*good)

    def bad(place, value, error, match):
        arguments = list(good)
        arguments[place] = value
        with pytest.raises(error, match=match):
            rule.draw_trees(*arguments)

    bad(0, batch.one(0)[0], BadArgument, "DraftTree is no DraftedTrees")
    bad(1, batch.target[:, :-1], ShapeMismatch, "target_rows: shape")
    bad(2, batch.draft[..., :-1], ShapeMismatch, "target_rows and draft_rows differ")
    bad(2, None, ShapeMismatch, "draft_rows: shape None")
    bad(3, np.zeros((8, 6)), ShapeMismatch, "uniforms: shape")
    bad(3, np.zeros((7, 7)), ShapeMismatch, "uniforms: batch shape")
    bad(1, 2 * batch.target, NotALaw, "target_rows")
    zero = batch.draft.copy()
    row, column = np.argwhere(batch.tokens >= 0)[0]
    zero[row, batch.parents[row, column]] = np.eye(5)[(batch.tokens[row, column] + 1) % 5]
    bad(2, zero, BadArgument, rf"tokens\[{row}, {column}\] = .* has probability 0")
    with pytest.raises(SchemeMismatch, match="bind the rule to the scheme"):
        verifier("traversal", 3).draw_trees(*good)
    with pytest.raises(SchemeMismatch, match="a node of the tree has 3 draws"):
        verifier("traversal", WithoutReplacement(2)).draw_trees(*good)
