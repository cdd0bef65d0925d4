"""Batched verdicts on drafted trees against the law of each single tree."""

import tracemalloc

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core import batched_walk
from otspec.core.drafted import DraftedTrees
from otspec.core.errors import BadArgument, NotALaw, SchemeMismatch, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeLaw
from otspec.verifiers import list_verifiers, verifier
from otspec.verifiers.block import batched_choice
from otspec.verifiers.token import optimal
from otspec.verifiers.tree import batched_traversal, copies, refusals
from otspec.verifiers.tree.batched_traversal import draw_in_columns, stop_masses
from otspec.verifiers.tree.copies import walk_copies_in_columns
from otspec.verifiers.tree.grouped import GroupedTraversal
from otspec.verifiers.tree.refusals import REJECTION, TRAVERSAL, goal, refuse_all
from otspec.verifiers.tree.refusals_compiled import refuse_compiled
from tests.oracles.hard_laws import hard_pairs
from tests.oracles.waiting import NoWaiting
from tests.verifiers.tree_batches import MOST, SCHEMES, Batch, scheme_of
from tests.verifiers.tree_draws import Toy, as_tree, fixed, path_trees, shaped_trees

EXACT = 1e-11  # sums of a few products, of which some divide by what little a refusal leaves
SAMPLES = 40_000
FAMILIES = ("dirichlet", "zeros", "ties", "peaked", "close")
FORMS = {"whole arrays": refuse_all, "compiled": refuse_compiled}
LIBRARIES = {"torch": torch.asarray, "strict": strict.asarray}
RULES = [*list_verifiers(kind="tree")]
WITHOUT = [name for name in RULES if list_verifiers()[name].supports(WithoutReplacement(2))]
WITH = [name for name in RULES if list_verifiers()[name].supports(WithReplacement(2))]
PAIRS = [(name, kind) for names, kinds in ((WITHOUT, ("without_replacement",)), (WITH, ("branches", "paths")))
         for name in names for kind in kinds if (name, kind) != ("lookahead_block", "branches")]


def masses(drafted, found, weighted):
    """Chance that the rule stops at each node, from what refusals leave."""
    if weighted:
        return stop_masses(drafted, found)
    reach = np.zeros((len(drafted.tokens), drafted.num_nodes + 1))
    reach[:, 0] = 1
    rows = np.arange(len(reach))
    for column in range(drafted.num_nodes):
        parent = drafted.above[:, column]
        reach[:, column + 1] = reach[rows, parent] * found.ratio[:, column]
        reach[rows, parent] -= reach[:, column + 1]
    return reach


def joint(drafted, target, draft, weighted, form=refuse_all):
    """Mass [B N+1 V] of (node, token), the coins integrated out."""
    given = None if drafted.scheme == "deterministic" else draft
    found = form(drafted, target, given, weighted)
    stop, out = masses(drafted, found, weighted), np.zeros_like(target)
    for node in range(drafted.num_nodes + 1):
        here = stop[:, node] > 0
        law = goal(drafted, target, given, np.full(len(target), node), found)[here]
        out[here, node] = stop[here, node, None] * law / np.maximum(law.sum(axis=-1, keepdims=True), 1e-300)
    return out


class Exactly:
    """A batched rule as a rule with a conditional law, one tree at a time."""

    def __init__(self, weighted, form=refuse_all):
        self.weighted, self.form = weighted, form

    def conditional(self, tree, target, draft):
        whole = joint(DraftedTrees.stack([tree]), target[None], draft[None], self.weighted, self.form)[0]
        stop = whole.sum(axis=-1)
        return TreeLaw(stop, whole / np.where(stop > 0, stop, 1)[:, None])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize("size", [3, 5])
def test_traversal_has_the_law_of_each_tree(form, kind, size):
    for seed, family in enumerate(FAMILIES):
        batch = Batch(kind, seed, size=size, rows=20, family=family)
        rule = verifier("traversal", scheme_of(kind))
        assert np.abs(joint(batch.drafted, batch.target, batch.draft, TRAVERSAL, FORMS[form])
                      - batch.exact(rule)).max() < EXACT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("size", [3, 5])
def test_recursive_rejection_has_the_law_of_each_tree(form, size):
    for seed, family in enumerate(FAMILIES):
        batch = Batch("without_replacement", seed, size=size, rows=20, family=family)
        rule = verifier("recursive_walk", WithoutReplacement(MOST))
        assert np.abs(joint(batch.drafted, batch.target, batch.draft, REJECTION, FORMS[form])
                      - batch.exact(rule)).max() < EXACT


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


def drawn(rule, batch, row):
    """Frequencies [N+1 V] of (node, token)."""
    arguments = batch.repeated(row, SAMPLES)
    uniforms = batch.rng.random((SAMPLES, rule.num_tree_uniforms(batch.drafted.num_nodes)))
    node, token = rule._draw_trees(*arguments, uniforms)
    seen = np.zeros(batch.target.shape[1:])
    np.add.at(seen, (node, token), 1 / SAMPLES)
    return seen


def far(seen, exact):
    """Number of cells whose frequency is not within 5 standard errors."""
    return sum(not Estimate(got, np.sqrt(max(mass * (1 - mass), 0) / SAMPLES), SAMPLES).covers(mass, z=5)
               for got, mass in zip(seen.ravel(), exact.ravel(), strict=True))


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] not in ("grouped_traversal",
                                                                                      "lookahead_block")])
@pytest.mark.parametrize("size", [3, 5])
def test_draws_have_the_law_of_each_tree(name, kind, size):
    # 3 trees of at most 35 cells at 5 standard errors: a false alarm in 1 of 10,000 runs of each pair
    rule, batch = verifier(name, scheme_of(kind)), Batch(kind, size, size=size, rows=3)
    exact = batch.exact(rule)
    for row in range(3):
        assert far(drawn(rule, batch, row), exact[row]) == 0


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_estimates_have_the_mean_of_each_rule(name, kind):
    """The mean over all drafted trees of the estimate is that of the exact number of tokens kept."""
    rule = verifier(name, scheme_of(kind))
    toy = Toy("dirichlet", 3, 2, 4)
    if kind == "paths":
        trees = list(path_trees(toy, 2))
    else:
        how = WithoutReplacement if kind == "without_replacement" else WithReplacement
        trees = list(shaped_trees(toy, fixed(how, 2, 2), kind))
    chances = np.array([chance for chance, _ in trees])
    exact = sum(chance * rule.expected_accepted(tree, *toy.rows(tree)) for chance, tree in trees)
    drafted = DraftedTrees.stack([tree for _, tree in trees])
    target, draft = np.full((2, len(trees), drafted.num_nodes + 1, 3), 1 / 3)
    for row, (_, tree) in enumerate(trees):
        target[row, : len(tree)], draft[row, : len(tree)] = toy.rows(tree)
    n = 4000 if name not in ("grouped_traversal", "lookahead_block") else 600
    rng = np.random.default_rng(3)
    take = rng.choice(len(trees), size=n, p=chances / chances.sum())
    many = DraftedTrees(drafted.tokens[take], drafted.parents[take], kind, False, drafted.multiplicity[take])
    found = rule.expected_trees(many, target[take], draft[take],
                                rng.random((n, rule.num_tree_uniforms(drafted.num_nodes))))
    assert found.dtype == np.float64
    assert Estimate.from_samples(found).covers(exact, z=5)


@pytest.mark.parametrize("kind", SCHEMES)
@pytest.mark.parametrize("adaptive", [False, True])
def test_the_estimate_of_traversal_is_exact_over_all_trees(kind, adaptive):
    toy = Toy("dirichlet", 3, 2, 9)
    if kind == "paths":
        trees = list(path_trees(toy, 2))
    elif kind == "deterministic":
        trees = [(1.0, as_tree(((0, 1, ((2, 1, ()), (1, 1, ()))), (1, 1, ())), kind))]
    else:
        how = WithoutReplacement if kind == "without_replacement" else WithReplacement
        trees = list(shaped_trees(toy, fixed(how, 2, 2), kind))
    rule, mean, exact = verifier("traversal", scheme_of(kind)), 0.0, 0.0
    for chance, tree in trees:
        told = DraftTree(tree.parents, tree.tokens, tree.multiplicity, scheme=kind, adaptive_widths=adaptive)
        target, draft = toy.rows(tree)
        kept = rule.expected_accepted(told, target, draft)
        found = float(rule.expected_trees(DraftedTrees.stack([told]), target[None], draft[None],
                                          np.zeros((1, len(tree))))[0])
        if adaptive or kind == "deterministic":
            assert found == pytest.approx(kept, abs=EXACT)  # tree by tree
        mean, exact = mean + chance * found, exact + chance * kept
    assert mean == pytest.approx(exact, abs=EXACT)


def heaps(toy, nodes):
    """Every tree of a best-first heap: the slot of largest mass left is drawn next, its rank among all unknown."""
    def grow(chance, tree):
        best = max(tree, key=lambda prefix: tree[prefix][1])
        law, mass = tree[best]
        if len(tree) - 1 == nodes or mass <= 0:
            yield chance, tree
            return
        for token in np.flatnonzero(law > 0):
            left = law.copy()
            left[token] = 0
            later = dict(tree)
            later[best] = (left, mass * left.sum() / law.sum())
            child = (*best, int(token))
            below = laws_after(toy, child)
            later[child] = (below, mass * law[token] / law.sum() * (below.sum() > 0))
            yield from grow(chance * law[token] / law.sum(), later)

    for chance, tree in grow(1.0, {(): (laws_after(toy, ()), 1.0)}):
        places = {prefix: place for place, prefix in enumerate(tree)}
        yield chance, DraftTree([-1 if not prefix else places[prefix[:-1]] for prefix in tree],
                                [prefix[-1] if prefix else -1 for prefix in tree], scheme="without_replacement",
                                adaptive_widths=True)


def laws_after(toy, prefix):
    if len(prefix) == toy.depth:
        return np.zeros(toy.size)
    return toy.draft[len(prefix)][np.ravel_multi_index(prefix, (toy.size,) * len(prefix)) if prefix else 0]


HEAPS = [(3, 3, 4), (5, 2, 3)]


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
@pytest.mark.parametrize(("size", "depth", "nodes"), HEAPS)
def test_heaps_are_verified_without_bias(weighted, size, depth, nodes):
    toy = Toy("dirichlet", size, depth, 6)
    trees = list(heaps(toy, nodes))
    assert len({tuple(tree.parents) for _, tree in trees}) > 1  # the shape depends on the tokens
    assert toy.bias(Exactly(weighted), trees) < EXACT


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(3))
def test_hard_laws_are_verified_without_bias(weighted, form, seed):
    rng = np.random.default_rng(seed)
    toy = Toy("dirichlet", 4, 2, 1)
    for level in (0, 1, 2):
        for number in range(4**level):
            target, draft = hard_pairs(rng, 4)
            kind = rng.integers(len(target))
            toy.target[level][number], toy.draft[level][number] = target[kind], draft[kind]
    assert toy.bias(Exactly(weighted, FORMS[form]), list(heaps(toy, 3))) < EXACT


def stale_weight(drafted, target, draft, weighted):
    """A node is kept with the weight that it was entered with, whatever failed below it."""
    found = refuse_all(drafted, target, draft, weighted)
    return found._replace(weight=np.concatenate([np.ones((len(target), 1)), found.ratio], axis=1))


def stale_goal(drafted, target, draft, weighted):
    """The next token is drawn as if no child had failed."""
    found = refuse_all(drafted, target, draft, weighted)
    return found._replace(scale=np.zeros_like(found.scale))


def other_parent(drafted, target, draft, weighted):
    """Rows are read one node too early."""
    before = np.maximum(np.arange(drafted.num_nodes + 1) - 1, 0)
    return refuse_all(drafted, target[:, before], draft[:, before], weighted)


def other_order(drafted, target, draft, weighted):
    """Siblings are tried in the order opposite to that of their draws."""
    count = drafted.num_nodes
    order = np.arange(count)
    for row_parents in drafted.above:
        for parent in np.unique(row_parents):
            places = np.flatnonzero(row_parents == parent)
            order[places] = places[::-1]
    inverse = np.append(0, 1 + order)
    if any(inverse[p] != p for p in drafted.above.ravel()):  # keep parents where they are
        return refuse_all(drafted, target, draft, weighted)
    swapped = DraftedTrees(drafted.tokens[:, order], drafted.parents[:, order], drafted.scheme, True)
    found = refuse_all(swapped, target[:, inverse], draft[:, inverse], weighted)
    return found._replace(ratio=found.ratio[:, order], passed=found.passed[:, order], left=found.left[:, order],
                          weight=found.weight[:, inverse], scale=found.scale[:, inverse], mass=found.mass[:, inverse])


@pytest.mark.parametrize(("mutant", "weighted"), [(stale_weight, TRAVERSAL)] + [
    (mutant, weighted) for mutant in (stale_goal, other_parent, other_order) for weighted in (TRAVERSAL, REJECTION)])
def test_planted_bugs_are_found(mutant, weighted):
    toy = Toy("dirichlet", 5, 2, 6)
    trees = list(heaps(toy, 3))
    assert toy.bias(Exactly(weighted, mutant), trees) > 1e-3


@pytest.mark.parametrize("weighted", [TRAVERSAL, REJECTION])
def test_a_draft_law_that_is_not_renormalised_is_found(weighted, monkeypatch):
    toy = Toy("dirichlet", 5, 1, 6)
    trees = list(shaped_trees(toy, fixed(WithoutReplacement, 3), "without_replacement"))
    assert toy.bias(Exactly(weighted), trees) < EXACT
    right = refusals._pass
    monkeypatch.setattr(refusals, "_pass", lambda *given: (right(*given)[0], np.ones(len(given[1]))))
    assert toy.bias(Exactly(weighted), trees) > 1e-3


def test_copies_taken_for_single_draws_are_found():
    rule = verifier("recursive_walk", WithReplacement(MOST))
    batch = Batch("branches", 1, size=3, rows=6)
    exact = batch.exact(rule)
    assert sum(far(drawn(rule, batch, row), exact[row]) for row in range(6)) == 0
    batch.copies[:] = 1
    assert sum(far(drawn(rule, batch, row), exact[row]) for row in range(6)) > 0


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,)])
def test_grouped_traversal_draws_have_the_law_of_each_tree(sizes, monkeypatch):
    monkeypatch.setitem(globals(), "SAMPLES", 3000)  # a loop over rows in Python
    rule, batch = GroupedTraversal(WithoutReplacement(MOST), sizes=sizes), Batch("without_replacement", 4, rows=2)
    exact = batch.exact(rule)
    for row in range(2):
        assert far(drawn(rule, batch, row), exact[row]) == 0


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


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] not in ("grouped_traversal",
                                                                                      "lookahead_block")])
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


@pytest.mark.parametrize("name", WITHOUT)
def test_widths_that_depend_on_the_children_are_refused_by_name(name):
    rule, batch = verifier(name, WithoutReplacement(MOST)), Batch("without_replacement", 2, adaptive=True)
    uniforms = np.zeros((8, rule.num_tree_uniforms(6)))
    if name in ("traversal", "recursive_walk"):
        assert rule.draw_trees(batch.drafted, batch.target, batch.draft, uniforms).node.shape == (8,)
    else:
        with pytest.raises(SchemeMismatch, match=f"{type(rule).__name__} would be biased on DraftedTrees"):
            rule.draw_trees(batch.drafted, batch.target, batch.draft, uniforms)


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
