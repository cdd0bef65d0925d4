"""Contracts of every rule in the registry that verifies drafted trees, and K paths as one of them."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.analysis.blocks import block_efficiency
from otspec.analysis.instances import random_models
from otspec.analysis.paths import tree_key
from otspec.core.errors import SchemeMismatch
from otspec.core.estimate import Estimate
from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import list_verifiers, verifier
from tests.verifiers.tree_draws import Toy, fixed, path_trees, shaped_trees, toys

RULES = list(list_verifiers(kind="tree"))
ON_PATHS = [name for name in RULES if list_verifiers()[name].supports(WithReplacement(2))]
WITHOUT = [name for name in RULES if list_verifiers()[name].supports(WithoutReplacement(2))]
GREEDY = [name for name in RULES if list_verifiers()[name].supports(Greedy(2))]
WALKS = ["spectr_paths", "recursive_walk", "optimal_walk"]
EXACT = 1e-12  # sums of a few thousand products of a dozen factors
LIBRARIES = {"strict": strict.asarray, "torch": torch.asarray}
SAMPLES = 8000


def paths_of(toy, tokens):
    """Rows ``[K L+1 V]`` and ``[K L V]`` along paths ``[K L]`` of a toy."""
    number = np.zeros(len(tokens), dtype=np.int64)
    target, draft = [], []
    for depth in range(tokens.shape[1] + 1):
        target.append(toy.target[depth][number])
        draft.append(toy.draft[depth][number])
        if depth < tokens.shape[1]:
            number = number * toy.size + tokens[:, depth]
    return np.stack(target, axis=1), np.stack(draft[:-1], axis=1)


def batch(n, paths, length, size, seed, family="dirichlet"):
    """Sets of paths drawn from toys, with their rows and a generator."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(n):
        toy = Toy(family, size, length, seed + i % 7)
        tokens = np.zeros((paths, 0), dtype=np.int64)
        for depth in range(length):
            number = tokens @ size ** np.arange(depth - 1, -1, -1) if depth else np.zeros(paths, dtype=np.int64)
            law = toy.draft[depth][number]
            drawn = np.minimum((rng.random(paths)[:, None] > np.cumsum(law, axis=1)).sum(axis=1), size - 1)
            tokens = np.concatenate([tokens, drawn[:, None]], axis=1)
        rows.append((*paths_of(toy, tokens), tokens))
    return *(np.stack(part) for part in zip(*rows, strict=True)), rng


def test_the_registry_lists_the_rules():
    assert {"traversal", "spectr_paths", "winner_block", "lookahead_block"} <= set(RULES)
    assert all("lossless" in list_verifiers()[name].claims for name in RULES)


@pytest.mark.parametrize("name", ON_PATHS)
def test_lossless_on_fifty_models(name):
    rule = verifier(name, 2)
    for toy in toys(3, 2, 50):
        assert toy.bias(rule, path_trees(toy, 2, rule.order_matters)) < EXACT


@pytest.mark.parametrize("name", ON_PATHS)
@pytest.mark.parametrize(("size", "depth", "paths", "count"), [(5, 2, 2, 2), (3, 3, 2, 2), (3, 2, 3, 2), (5, 1, 3, 4)])
def test_lossless_on_larger_models(name, size, depth, paths, count):
    rule = verifier(name, paths)
    for toy in toys(size, depth, count, ["peaked", "dirichlet", "zeros", "ties"]):
        assert toy.bias(rule, path_trees(toy, paths, rule.order_matters)) < EXACT




@pytest.mark.parametrize("name", GREEDY)
def test_lossless_on_greedy_trees(name):
    """Fifty models, then larger ones; the chosen tokens come first, one draw after them."""
    for toy in toys(3, 2, 50):
        assert toy.bias(verifier(name, Greedy(2)), shaped_trees(toy, fixed(Greedy, 2, 2), "greedy")) < EXACT
    for size, widths in ((5, (2, 2)), (3, (2, 2, 2)), (4, (3, 2))):
        for toy in toys(size, len(widths), 4, ["peaked", "dirichlet", "zeros", "ties"]):
            assert toy.bias(verifier(name, Greedy(3)), shaped_trees(toy, fixed(Greedy, *widths), "greedy")) < EXACT


def ranked(ranks, prefix):
    widths = {(): 3, (0,): 2, (1,): 1}
    return WithoutReplacement(widths[ranks]) if ranks in widths else None


@pytest.mark.parametrize("name", WITHOUT)
def test_lossless_without_replacement(name):
    rule = verifier(name, WithoutReplacement(3))
    for toy in toys(3, 2, 6):
        assert toy.bias(rule, shaped_trees(toy, fixed(WithoutReplacement, 2, 2), "without_replacement")) < EXACT
    for toy in toys(4, 2, 3, ["dirichlet", "peaked", "zeros"]):
        assert toy.bias(rule, shaped_trees(toy, ranked, "without_replacement")) < EXACT


@pytest.mark.parametrize("name", [name for name in ON_PATHS if "branches" in verifier(name).trees])
def test_lossless_on_branching_trees(name):
    for toy in toys(3, 2, 4):
        rule = verifier(name, 3)
        assert toy.bias(rule, shaped_trees(toy, fixed(WithReplacement, 2, 2), "branches")) < EXACT
        # delayed: a trunk of one token, then three branches
        assert toy.bias(rule, shaped_trees(toy, fixed(WithReplacement, 1, 3), "branches")) < EXACT


@pytest.mark.parametrize("name", ON_PATHS)
def test_one_path_is_the_rule_for_a_block(name):
    twin = verifier("token_wise" if name in WALKS else "block")
    for family in ("dirichlet", "zeros", "close"):
        target, draft, tokens, _ = batch(20, 1, 4, 3, 1, family)
        law = twin.conditional(target[:, 0], draft[:, 0], tokens[:, 0])
        for i in range(20):
            mine = verifier(name).conditional(DraftTree.from_paths(tokens[i]), target[i, 0],
                                              np.concatenate([draft[i, 0], target[i, 0, -1:]]))
            assert np.allclose(mine.stop, law.stop[i], atol=EXACT)
            assert np.allclose(mine.stop[:, None] * mine.following, law.stop[i][:, None] * law.following[i], atol=EXACT)


@pytest.mark.parametrize("name", [name for name in RULES if name != "vertex_block"])  # a vertex is never the target
def test_equal_models_keep_everything(name):
    kind = WithReplacement if name in ON_PATHS else WithoutReplacement if name in WITHOUT else Greedy
    rule = verifier(name, kind(2))
    toy = Toy("equal", 4, 2, 3)
    if kind is Greedy:  # the token that was chosen is never refused for being likely
        trees = shaped_trees(toy, fixed(Greedy, 1, 1), "greedy")
        assert sum(chance * rule.expected_accepted(t, *toy.rows(t)) for chance, t in trees) == pytest.approx(2)
        return
    tree = DraftTree.from_paths([[0, 1], [0, 2]]) if name in ON_PATHS \
        else DraftTree([-1, 0, 0, 1, 1], [-1, 0, 3, 1, 2], scheme="without_replacement")
    if name in ON_PATHS:
        assert rule.expected_accepted(tree, *toy.rows(tree)) == pytest.approx(2, abs=EXACT)
    mean = sum(chance * rule.expected_accepted(t, *toy.rows(t)) for chance, t in (
        path_trees(toy, 2) if name in ON_PATHS else shaped_trees(toy, fixed(WithoutReplacement, 2, 1),
                                                                 "without_replacement")))
    assert mean == pytest.approx(2, abs=EXACT)


@pytest.mark.parametrize("name", ON_PATHS)
@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_same_numbers_on_every_library(name, library, dtype):
    target, draft, tokens, rng = batch(60, 3, 3, 7, 2)
    target, draft = target.astype(dtype), draft.astype(dtype)
    rule = verifier(name, 3)
    uniforms = rng.random((60, rule.num_uniforms(3)))
    there = [LIBRARIES[library](array) for array in (target, draft, tokens, uniforms)]
    for mine, theirs in zip(rule.draw_paths(target, draft, tokens, uniforms), rule.draw_paths(*there), strict=True):
        assert np.array_equal(mine, np.asarray(theirs))
    assert np.allclose(rule.expected_paths(target, draft, tokens, uniforms), np.asarray(rule.expected_paths(*there)),
                       atol=1e-9 if dtype == np.float64 else 1e-5)  # float32 rows are summed in any order


@pytest.mark.parametrize("name", ON_PATHS)
@pytest.mark.parametrize("seed", [0, 3])
def test_draws_agree_with_the_conditional_law(name, seed):
    # two tokens, so that paths meet, part and meet again
    target, draft, tokens, rng = (part[:1] if isinstance(part, np.ndarray) else part for part in
                                  batch(1, 3, 3, 2 if seed else 4, seed))
    rule, tree = verifier(name, 3), DraftTree.from_paths(tokens[0])
    place = {}
    for node in range(len(tree)):
        place[(*place_of(place, tree.parents[node]), int(tree.tokens[node])) if node else ()] = node
    prefixes = list(place)
    rows = [[], []]
    for prefix in prefixes:
        path = next(k for k in range(3) if tuple(tokens[0, k, : len(prefix)].tolist()) == prefix)
        rows[0].append(target[0, path, len(prefix)])
        rows[1].append(draft[0, path, len(prefix)] if len(prefix) < 3 else target[0, path, 3])
    law = rule.conditional(tree, np.stack(rows[0]), np.stack(rows[1]))
    exact = law.stop[:, None] * law.following
    # the tree does not say in which order its copies were drawn: every order that makes it
    orders = [order for order in itertools.permutations(range(3))
              if tree_key(DraftTree.from_paths(tokens[0, list(order)])) == tree_key(tree)]
    order = np.asarray(orders)[rng.integers(len(orders), size=SAMPLES)]
    many = [part[0][order] for part in (target, draft, tokens)]
    verdict = rule.draw_paths(*many, rng.random((SAMPLES, rule.num_uniforms(3))))
    seen = np.zeros_like(exact)
    for drawn, kept, token, path in zip(many[2], *verdict, strict=True):
        seen[place[tuple(drawn[path, :kept].tolist())], token] += 1 / SAMPLES
    for got, mass in zip(seen.ravel(), exact.ravel(), strict=True):
        assert Estimate(got, np.sqrt(mass * (1 - mass) / SAMPLES), SAMPLES).covers(mass, z=5)


def place_of(place, node):
    return next(prefix for prefix, known in place.items() if known == node)


@pytest.mark.parametrize("name", ON_PATHS)
def test_batches_are_rows(name):
    target, draft, tokens, rng = batch(6, 2, 3, 4, 5)
    rule = verifier(name, 2)
    uniforms = rng.random((6, rule.num_uniforms(3)))
    whole = rule.draw_paths(target, draft, tokens, uniforms)
    shaped = rule.draw_paths(*(a.reshape(2, 3, *a.shape[1:]) for a in (target, draft, tokens, uniforms)))
    for part, other in zip(whole, shaped, strict=True):
        assert np.array_equal(part.reshape(2, 3), other)
    for i in range(6):
        one = rule.draw_paths(target[i], draft[i], tokens[i], uniforms[i])
        assert [int(part) for part in one] == [int(part[i]) for part in whole]


@pytest.mark.parametrize("name", ON_PATHS)
def test_estimates_are_unbiased(name):
    target, draft = random_models("dirichlet", 3, np.random.default_rng(4))
    rng, n, rule = np.random.default_rng(8), 20_000, verifier(name, 2)
    contexts = [rng.choice(3, size=(n, 1), p=target.initial).repeat(2, axis=1)]
    for _ in range(2):
        law = np.cumsum(draft.rows[contexts[-1]], axis=-1)
        contexts.append(np.minimum((rng.random((n, 2, 1)) > law).sum(axis=-1), 2))
    at = np.stack(contexts, axis=-1)
    found = rule.expected_paths(target.rows[at], draft.rows[at[..., :-1]], at[..., 1:],
                                rng.random((n, rule.num_uniforms(2))))
    exact = block_efficiency(rule, target, draft, 2, num_paths=2).mean - 1
    assert Estimate.from_samples(found).covers(exact, z=5)


@pytest.mark.parametrize("name", WITHOUT)
def test_widths_that_depend_on_the_children_are_refused_or_harmless(name):
    """A second child is drawn only after one certain first child: a heap in miniature."""
    toy = Toy("dirichlet", 3, 1, 11)
    scheme = WithoutReplacement(2)
    trees = []
    for chance, tree in shaped_trees(toy, fixed(WithoutReplacement, 2), "without_replacement"):
        first = int(tree.tokens[1])
        kept = 3 if first == 0 else 2
        trees.append((chance, DraftTree(tree.parents[:kept], tree.tokens[:kept], scheme="without_replacement",
                                        adaptive_widths=True)))
    rule = verifier(name, scheme)
    if name in ("traversal", "recursive_walk"):
        assert toy.bias(rule, trees) < EXACT
    else:
        with pytest.raises(SchemeMismatch, match="adaptive widths"):
            toy.bias(rule, trees)
        hidden = [(chance, DraftTree(t.parents, t.tokens, scheme="without_replacement")) for chance, t in trees]
        if name != "grouped_traversal":  # two children are two groups of one child, which is Traversal
            assert toy.bias(rule, hidden) > 1e-3  # the bias that the refusal prevents
