"""Batched verdicts on drafted trees against the law of each single tree."""


import numpy as np
import pytest

from otspec.core.drafted import DraftedTrees
from otspec.core.errors import SchemeMismatch
from otspec.core.estimate import Estimate
from otspec.core.schemes import WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.tree import refusals
from otspec.verifiers.tree.grouped import GroupedTraversal
from otspec.verifiers.tree.refusals import REJECTION, TRAVERSAL, refuse_all
from otspec.verifiers.tree.refusals_compiled import refuse_compiled
from tests.oracles.hard_laws import hard_pairs
from tests.verifiers.tree_batches import FAST, MOST, PAIRS, SCHEMES, WITHOUT, Batch, Exactly, joint, scheme_of
from tests.verifiers.tree_draws import Toy, as_tree, fixed, path_trees, shaped_trees

EXACT = 1e-11  # sums of a few products, of which some divide by what little a refusal leaves
SAMPLES = 40_000
FAMILIES = ("dirichlet", "zeros", "ties", "peaked", "close")
FORMS = {"whole arrays": refuse_all, "compiled": refuse_compiled}


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


@pytest.mark.parametrize(("name", "kind"), FAST)
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
    n = 4000 if name not in ("grouped_traversal", "lookahead_block", "score_block") else 600
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


@pytest.mark.parametrize("name", WITHOUT)
def test_widths_that_depend_on_the_children_are_refused_by_name(name):
    rule, batch = verifier(name, WithoutReplacement(MOST)), Batch("without_replacement", 2, adaptive=True)
    uniforms = np.zeros((8, rule.num_tree_uniforms(6)))
    if name in ("traversal", "recursive_walk"):
        assert rule.draw_trees(batch.drafted, batch.target, batch.draft, uniforms).node.shape == (8,)
    else:
        with pytest.raises(SchemeMismatch, match=f"{type(rule).__name__} would be biased on DraftedTrees"):
            rule.draw_trees(batch.drafted, batch.target, batch.draft, uniforms)
