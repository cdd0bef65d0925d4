"""Two ways to one verdict on drafted trees: forms of one rule in every number, and rules that must agree."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.analysis.instances import random_pair
from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.tree import batched_traversal, copies, copies_compiled, refusals_compiled
from otspec.verifiers.tree.batched_traversal import draw_in_columns, draw_nodes, expected_depth, node_masses
from otspec.verifiers.tree.copies import walk_copies_in_columns
from otspec.verifiers.tree.copies_compiled import walk_copies_compiled
from otspec.verifiers.tree.grouped import GroupedTraversal
from otspec.verifiers.tree.refusals import REJECTION, TRAVERSAL, cleared, refuse_all, written
from otspec.verifiers.tree.refusals_compiled import draw_compiled, refuse_compiled
from otspec.verifiers.tree.traversal import Traversal, in_tree_order
from tests.oracles.uncompiled import uncompile
from tests.verifiers.test_tree_batched_forms import moved, there
from tests.verifiers.tree_batches import MOST, SCHEMES, Batch, scheme_of

FAMILIES = ("dirichlet", "zeros", "close", "ties", "equal")
PLACES = {"numpy": np.asarray, "torch": torch.asarray, "strict": strict.asarray}


def same_refusals(batch, mine, theirs):
    """Whether all numbers agree, but those of absent nodes, and of nodes without children, which are not read."""
    inner = np.asarray(batch.drafted.draws > 0)
    stands = np.concatenate([np.ones_like(inner[:, :1]), batch.drafted.present], axis=1)
    for name, left, right in zip(mine._fields, mine, theirs, strict=True):
        read = {"scale": inner, "mass": inner, "weight": stands}.get(name, np.ones_like(left, dtype=bool))
        np.testing.assert_allclose(left[read], np.asarray(right)[read], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
@pytest.mark.parametrize("kind", SCHEMES)
def test_both_forms_leave_the_same_of_every_node(kind, weighted):
    for seed, family in enumerate(FAMILIES[:3]):  # of what is left by rounding alone each form has its own
        batch = Batch(kind, seed, rows=20, family=family)
        given = [batch.drafted, batch.target, None if kind == "deterministic" else batch.draft]
        mine = refuse_compiled(*given, weighted)
        for library in PLACES:
            placed = [given[0] if library == "numpy" else there(given[0], library)]
            placed += [part if part is None or library == "numpy" else moved(part, library) for part in given[1:]]
            same_refusals(batch, mine, refuse_all(*placed, weighted))


def paths_of(rng, size, length, count, rows, family):
    """Rows ``[B K L+1 V]`` and ``[B K L V]`` along paths ``[B K L]`` of a random law after every prefix, and trees."""
    target, draft = np.zeros((rows, count, length + 1, size)), np.zeros((rows, count, length, size))
    tokens, trees, laws = np.zeros((rows, count, length), dtype=np.int64), [], []
    for row in range(rows):
        known = {}
        for path in range(count):
            for depth in range(length + 1):
                prefix = tuple(tokens[row, path, :depth].tolist())
                if prefix not in known:
                    known[prefix] = random_pair(family, size, rng)
                target[row, path, depth] = known[prefix][0]
                if depth < length:
                    draft[row, path, depth] = known[prefix][1]
                    tokens[row, path, depth] = rng.choice(size, p=known[prefix][1])
        trees.append(DraftTree.from_paths(tokens[row]))
        laws.append(known)
    return target, draft, tokens, trees, laws


def prefix(tree, node):
    return (*prefix(tree, int(tree.parents[node])), int(tree.tokens[node])) if node else ()


@pytest.mark.parametrize("library", PLACES)
@pytest.mark.parametrize(("size", "length", "count"), [(3, 3, 3), (2, 2, 4), (4, 1, 3), (1, 2, 2), (3, 2, 1)])
def test_paths_are_verified_like_the_tree_that_they_make(library, size, length, count):
    """A node of the tree has the coin that its last path has for it."""
    rng, rule, rows = np.random.default_rng(size), Traversal(count), 12
    for family in FAMILIES if size > 1 else ("dirichlet",):
        target, draft, tokens, trees, laws = paths_of(rng, size, length, count, rows, family)
        drafted = DraftedTrees.stack(trees)
        on_trees = np.full((2, rows, drafted.num_nodes + 1, size), np.nan)
        coins = rng.choice([0.0, 0.2, 0.4, 0.6, 0.8, 1 - 2**-40], (rows, count * length + 1))
        coins_there = np.zeros((rows, drafted.num_nodes + 1))
        coins_there[:, -1] = coins[:, -1]
        order = np.asarray(in_tree_order(tokens)[0])
        for row, tree in enumerate(trees):
            for node in range(len(tree)):
                path = prefix(tree, node)
                on_trees[:, row, node] = laws[row][path]
                last = max(turn for turn in range(count)
                           if tuple(tokens[row, order[row, turn], : len(path)].tolist()) == path)
                if node:
                    coins_there[row, node - 1] = coins[row, last * length + len(path) - 1]
        node, token = rule.draw_trees(drafted, *on_trees, coins_there)
        place = PLACES[library]
        found = rule.draw_paths(*map(place, (target, draft, tokens, coins)))
        accepted, emitted, path = map(np.asarray, found)
        assert emitted.tolist() == token.tolist()
        kept = [tuple(tokens[row, path[row], : accepted[row]].tolist()) for row in range(rows)]
        assert kept == [prefix(tree, int(node[row])) for row, tree in enumerate(trees)]
        means = rule.expected_paths(*map(place, (target, draft, tokens, coins)))
        np.testing.assert_allclose(np.asarray(means), rule.expected_trees(drafted, *on_trees, coins_there), atol=1e-12)


def test_groups_of_one_child_are_traversal_coin_by_coin():
    scheme = WithoutReplacement(MOST)
    rule, twin = GroupedTraversal(scheme, sizes=(1, 1, 1)), Traversal(scheme)
    for seed, family in enumerate(FAMILIES):
        batch = Batch("without_replacement", seed, rows=30, family=family)
        coins = batch.rng.random((30, rule.num_tree_uniforms(6)))
        coins[:10] = batch.rng.choice([0.0, 0.5, 1 - 2**-40], coins[:10].shape)
        given = batch.drafted, batch.target, batch.draft
        few = np.concatenate([coins[:, :6], coins[:, -1:]], axis=1)
        for mine, theirs in zip(rule.draw_trees(*given, coins), twin.draw_trees(*given, few), strict=True):
            assert np.array_equal(mine, theirs)
        np.testing.assert_allclose(rule.expected_trees(*given, coins), twin.expected_trees(*given, few), atol=1e-12)


@pytest.mark.parametrize("library", PLACES)
@pytest.mark.parametrize("kind", ["branches", "paths"])
def test_copies_are_walked_alike_in_both_forms(kind, library, monkeypatch):
    rule = verifier("recursive_walk", scheme_of(kind))
    for seed, family in enumerate(FAMILIES[:4]):
        batch = Batch(kind, seed, rows=40, size=3 + seed % 2, family=family)
        coins = batch.rng.random((40, rule.num_tree_uniforms(6)))
        coins[:20] = batch.rng.choice([0.0, 0.3, 0.7, 1 - 2**-40], coins[:20].shape)
        given = batch.drafted, batch.target, batch.draft, coins
        mine = *rule._draw_trees(*given), rule._expected_trees(*given)
        placed = [given[0] if library == "numpy" else there(given[0], library), *map(PLACES[library], given[1:])]
        with monkeypatch.context() as device:
            for module in (batched_traversal, copies):
                device.setattr(module, "on_host", lambda array: False)
            theirs = *rule._draw_trees(*placed), rule._expected_trees(*placed)
        for left, right in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(left, np.asarray(right), atol=1e-12)


@pytest.fixture
def plain(monkeypatch):
    """Compiled functions as plain Python, which raises where an array is read past its end."""
    uncompile(monkeypatch, refusals_compiled, copies_compiled)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("kind", SCHEMES)
def test_compiled_draws_are_those_of_whole_arrays_and_stay_within_their_rows(kind):
    for seed, (family, size) in enumerate([("dirichlet", 5), ("zeros", 4), ("close", 3), ("dirichlet", 7)]):
        batch = Batch(kind, seed, size=size, rows=20, columns=6 + seed, family=family)
        given = batch.drafted, batch.target, None if kind == "deterministic" else batch.draft
        for weighted in (TRAVERSAL, REJECTION):
            same_refusals(batch, refuse_compiled(*given, weighted), refuse_all(*given, weighted))
            coins = batch.rng.random((20, 7 + seed))
            coins[:10] = batch.rng.choice([0.0, 0.5, 1 - 2**-40], coins[:10].shape)
            for mine, theirs in zip(draw_compiled(*given, coins, weighted), draw_in_columns(*given, coins, weighted),
                                    strict=True):
                assert np.array_equal(mine, theirs)


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("kind", ["branches", "paths"])
def test_compiled_walks_of_copies_are_those_of_whole_arrays_and_stay_within_their_rows(kind):
    for seed, family in enumerate(FAMILIES[:3]):
        batch = Batch(kind, seed, rows=30, size=3 + seed % 2, family=family)
        coins = batch.rng.random((30, 13))
        coins[:15] = batch.rng.choice([0.0, 0.3, 0.7, 1 - 2**-40], coins[:15].shape)
        given = batch.drafted, batch.target, batch.draft, coins
        theirs = walk_copies_in_columns(*given, MOST)
        for measure in (True, False):
            *mine, mean = walk_copies_compiled(*given, measure)
            assert [part.tolist() for part in mine] == [part.tolist() for part in theirs[:2]]
            if measure:
                np.testing.assert_allclose(mean, theirs[2], atol=1e-12)


def star(size, rows, columns):
    """Trees whose nodes are all children of the root, in another order in each row, under laws of equal masses."""
    rng = np.random.default_rng(columns)
    tokens = np.stack([rng.permutation(size)[:columns] for _ in range(rows)])
    drafted = DraftedTrees(tokens, np.zeros_like(tokens))
    target, draft = np.full((2, rows, columns + 1, size), 1 / size)
    draft[:, 0], target[:, 0, 0], target[:, 0, 1] = 1 / size, 1.5 / size, 0.5 / size
    return drafted, target, draft


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("columns", [1, 3, 4])
@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
def test_stars_and_coins_at_the_ends_of_tokens_give_the_verdicts_of_whole_arrays(columns, weighted):
    given = star(4, 25, columns)
    coins = np.random.default_rng(0).choice(np.arange(8) / 8, (25, columns + 1))
    coins[:8, -1] = np.arange(8) / 8
    for mine, theirs in zip(draw_compiled(*given, coins, weighted), draw_in_columns(*given, coins, weighted),
                            strict=True):
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("library", PLACES)
def test_values_are_written_at_tokens_and_nowhere_else(library):
    place = PLACES[library]
    tokens = np.array([[0, 2, -1], [-1, -1, -1], [-1, 1, 0], [3, -1, -1]])
    values = np.array([[5.0, 6.0, 7.0], [7.0, 7.0, 7.0], [7.0, 5.0, 6.0], [5.0, 7.0, 7.0]])
    rows = np.arange(1.0, 17.0).reshape(4, 4)
    for given, found in ((values, written(place(rows.copy()), place(tokens), place(values))),
                         (np.zeros_like(values), cleared(place(rows.copy()), place(tokens)))):
        expected = rows.copy()
        for row, column in np.argwhere(tokens >= 0):
            expected[row, tokens[row, column]] = given[row, column]
        assert np.asarray(found).tolist() == expected.tolist()
    none = place(np.zeros((4, 0), dtype=np.int64))
    assert np.asarray(cleared(place(rows.copy()), none)).tolist() == rows.tolist()


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
@pytest.mark.parametrize("library", PLACES)
def test_trees_without_a_column_keep_nothing(library, weighted):
    none, rows = PLACES[library](np.zeros((2, 0), dtype=np.int64)), PLACES[library](np.full((2, 1, 3), 1 / 3))
    drafted = DraftedTrees(none, none)
    found = refuse_all(drafted, rows, rows, weighted)
    assert [tuple(part.shape) for part in found] == [(2, 0), (2, 0), (2, 1), (2, 1), (2, 1), (2, 0)]
    assert [tuple(part.shape) for part in node_masses(drafted, rows, rows, weighted)] == [(2, 0), (2, 0)]
    assert np.asarray(expected_depth(drafted, rows, rows, weighted)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
@pytest.mark.parametrize("library", PLACES)
def test_the_only_token_is_kept_beside_absent_ones(library, weighted):
    place = PLACES[library]
    drafted = DraftedTrees(place(np.array([[0, 0], [0, -1], [-1, -1]])), place(np.array([[0, 1], [0, 0], [0, 0]])))
    rows, coins = place(np.ones((3, 3, 1))), place(np.full((3, 3), 0.9))
    for draw in (draw_in_columns, draw_nodes):
        node, token = draw(drafted, rows, rows, coins, weighted)
        assert (np.asarray(node).tolist(), np.asarray(token).tolist()) == ([2, 1, 0], [0, 0, 0])
    assert np.asarray(refuse_all(drafted, rows, rows, weighted).ratio).tolist() == [[1, 1], [1, 0], [0, 0]]
    assert np.asarray(expected_depth(drafted, rows, rows, weighted)).tolist() == [2, 1, 0]


@pytest.mark.parametrize("kind", SCHEMES[:3])
@pytest.mark.parametrize("name", ["traversal", "recursive_walk"])
def test_a_device_is_asked_nothing(name, kind):
    """On a device without numbers every question to them would fail."""
    rule, rows = verifier(name, scheme_of(kind)), torch.empty(4, 7, 5, device="meta")
    nodes = torch.empty(4, 6, dtype=torch.int64, device="meta")
    coins = torch.empty(4, rule.num_tree_uniforms(6), dtype=torch.float64, device="meta")
    trees = DraftedTrees(nodes, nodes, kind, multiplicity=nodes if kind != "without_replacement" else None)
    assert [(part.shape, part.dtype) for part in rule._draw_trees(trees, rows, rows, coins)] == [
        ((4,), torch.int64)] * 2
    assert rule._expected_trees(trees, rows, rows, coins).dtype == torch.float64
    if name == "traversal":
        assert [part.shape for part in node_masses(trees, rows, rows, TRAVERSAL)] == [(4, 6), (4, 6)]


def test_a_device_is_asked_nothing_of_paths():
    rule, target = Traversal(3), torch.empty(4, 3, 3, 5, device="meta")
    tokens = torch.empty(4, 3, 2, dtype=torch.int64, device="meta")
    given = target, target[:, :, :2], tokens, torch.empty(4, rule.num_uniforms(2), dtype=torch.float64, device="meta")
    assert [(part.shape, part.dtype) for part in rule._draw_paths(*given)] == [((4,), torch.int64)] * 3
    assert rule._expected_paths(*given).shape == (4,)
