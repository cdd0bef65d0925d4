"""Rules that choose a path first: what coins choose is one of the choices of the tree, as often as its chance says."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest

from otspec.core.drafted import DraftedTrees
from otspec.core.estimate import Estimate
from otspec.core.schemes import WithoutReplacement
from otspec.core.tree import DraftTree
from otspec.verifiers import verifier
from otspec.verifiers.block.block import Block
from otspec.verifiers.block.lookahead_block import LookaheadBlock
from otspec.verifiers.block.winner_block import WinnerBlock
from tests.verifiers.tree_batches import MOST, Batch, scheme_of
from tests.verifiers.tree_draws import Toy, path_trees

EXACT = 1e-12  # sums of a few thousand products of a dozen factors
U5 = np.linspace(0, 1, 5)
RULES = {
    "winner": lambda paths: verifier("winner_block", paths),
    "minimal": lambda paths: WinnerBlock(paths, law="minimal"),
    "vertex": lambda paths: verifier("vertex_block", paths),
    "look-ahead": lambda paths: verifier("lookahead_block", paths),
    "look-ahead by a curve": lambda paths: LookaheadBlock(paths, curves={n: (U5 + U5**n) / 2 for n in (2, 3)}),
    "score": lambda paths: verifier("score_block", paths),
}


def one_tree(family, size, depth, paths, seed):
    """A tree of a toy whose paths part, its rows, and the same along its paths ``[K ..]``."""
    toy, rng = Toy(family, size, depth, seed), np.random.default_rng(seed)
    trees = [tree for _, tree in path_trees(toy, paths) if len(tree) > depth + 1] or \
        [tree for _, tree in path_trees(toy, paths)]
    tree = trees[rng.integers(len(trees))]
    target, draft = toy.rows(tree)
    chains = np.asarray(tree.chains)
    return tree, target, draft, (target[chains], draft[chains[:, :-1]], tree.tokens[chains[:, 1:]])


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(("family", "size", "depth", "paths"), [
    ("dirichlet", 3, 2, 3), ("dirichlet", 2, 3, 3), ("zeros", 3, 2, 3), ("ties", 3, 2, 2), ("peaked", 4, 1, 3),
    ("equal", 2, 3, 2), ("dirichlet", 3, 2, 1), ("dirichlet", 1, 2, 2),
])
def test_coins_choose_as_the_law_says(name, family, size, depth, paths):
    rule, n = RULES[name](paths), 1000
    for seed in range(2):
        tree, target, draft, rows = one_tree(family, size, depth, paths, seed)
        many = [np.repeat(part[None], n, axis=0) for part in rows]
        coins = np.random.default_rng(seed + 10).random((n, rule.num_choice_uniforms(depth)))
        found = rule._choose(*many, coins)
        assert found.path.shape == (n,)
        assert found.laws.shape == (n, depth, size)
        choices = list(rule._choices(tree, target, draft))
        assert sum(choice.chance for choice in choices) == pytest.approx(1, abs=EXACT)
        left, chains = np.ones(n, dtype=bool), np.asarray(tree.chains)
        for choice in choices:
            here = np.all(chains[found.path] == choice.nodes, axis=1)
            here &= np.all(np.isclose(found.laws, np.array(choice.laws), atol=1e-9), axis=(1, 2))
            alike = sum(other.chance for other in choices if other.nodes == choice.nodes
                        and np.allclose(other.laws, choice.laws, atol=1e-9))
            share = min(alike, 1.0)
            assert Estimate(here.mean(), np.sqrt(share * (1 - share) / n), n).covers(share, z=5)
            left &= ~here
        assert not left.any()


@pytest.mark.parametrize("name", RULES)
def test_every_field_of_a_choice_is_the_same_in_whole_arrays(name):
    paths, depth, place = 3, 2, strict.asarray
    rule = RULES[name](paths)
    batch = [one_tree(family, 3, depth, paths, seed)[3] for family in ("dirichlet", "zeros", "ties", "decades")
             for seed in range(3)]
    rows = [np.stack(part) for part in zip(*batch, strict=True)]
    uniforms = np.random.default_rng(0).random((12, rule.num_uniforms(depth)))
    coins = uniforms[:, : rule.num_choice_uniforms(depth)]
    mine, theirs = rule._choose(*rows, coins), rule._choose(*map(place, (*rows, coins)))
    assert np.array_equal(mine.path, np.asarray(theirs.path))
    assert np.allclose(mine.laws, np.asarray(theirs.laws), atol=EXACT)
    assert np.allclose(mine.laws.sum(axis=-1), 1, atol=EXACT)
    given = *rows, uniforms
    for left, right in zip(rule.draw_paths(*given), rule.draw_paths(*map(place, given)), strict=True):
        assert np.array_equal(left, np.asarray(right))
    assert np.allclose(rule.expected_paths(*given), np.asarray(rule.expected_paths(*map(place, given))), atol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_rows_that_sum_to_one_but_for_a_rounding_make_the_same_choice(name):
    rule = RULES[name](3)
    batch = [one_tree(family, 3, 2, 3, seed)[3] for family in ("dirichlet", "zeros") for seed in range(4)]
    target, draft, tokens = (np.stack(part) for part in zip(*batch, strict=True))
    coins = np.random.default_rng(2).random((len(tokens), rule.num_choice_uniforms(2)))
    exact, rounded = (rule._choose(target * more, draft * less, tokens, coins)
                      for more, less in ((1, 1), (1 + 1e-6, 1 - 1e-6)))
    assert np.array_equal(exact.path, rounded.path)
    assert np.allclose(exact.laws, rounded.laws, atol=1e-11)
    for sums in (exact.laws.sum(axis=-1), rounded.laws.sum(axis=-1)):
        assert np.allclose(sums, 1, atol=EXACT)


@pytest.mark.parametrize("name", RULES)
def test_estimates_of_boxes_are_those_of_their_rows(name):
    rule = RULES[name](2)
    rows = [np.stack(part) for part in zip(*(one_tree("dirichlet", 3, 2, 2, seed)[3] for seed in range(6)),
                                           strict=True)]
    uniforms = np.random.default_rng(1).random((6, rule.num_uniforms(2)))
    whole = rule.expected_paths(*rows, uniforms)
    assert np.allclose(rule.expected_paths(*(part.reshape(2, 3, *part.shape[1:]) for part in (*rows, uniforms))),
                       whole.reshape(2, 3), atol=EXACT)
    for i in range(6):
        alone = rule.expected_paths(*(part[i] for part in rows), uniforms[i])
        assert float(alone) == pytest.approx(whole[i], abs=EXACT)


def families(law):
    """Only the universal law is the same in every order of tied ratios, which a rounding decides."""
    return "dirichlet", "zeros", "ties" if law == "universal" else "peaked"


@pytest.mark.parametrize("name", RULES)
def test_one_path_is_verified_with_the_coins_after_those_of_the_choice(name):
    rng, length, rule = np.random.default_rng(5), 3, RULES[name](1)
    target, draft = rng.dirichlet(np.ones(4), (2, 40, 1, length + 1))
    tokens, uniforms = rng.integers(4, size=(40, 1, length)), rng.random((40, rule.num_uniforms(length)))
    given = target, draft[:, :, :length], tokens
    found, alone = rule.draw_paths(*given, uniforms), tuple(part[:, 0] for part in given)
    verdict = Block().draw(*alone, uniforms[:, rule.num_choice_uniforms(length):])
    assert np.array_equal(found.accepted, verdict.accepted)
    assert np.array_equal(found.token, verdict.token)
    assert not found.path.any()
    assert np.allclose(rule.expected_paths(*given, uniforms), Block()._passed(*alone).sum(axis=-1), atol=EXACT)


FOLLOWED = [(kind, law) for kind in ("paths", "branches", "without_replacement")
            for law in ("universal", "minimal", "vertex")]


def follower(kind, law):
    scheme = WithoutReplacement(MOST) if kind == "without_replacement" else scheme_of(kind)
    rule = WinnerBlock(scheme)
    rule.law = law
    return rule


@pytest.mark.parametrize(("kind", "law"), FOLLOWED)
def test_winners_that_are_followed_keep_what_block_verification_of_their_path_keeps(kind, law):
    rule = follower(kind, law)
    for family, row in itertools.product(families(law), range(4)):
        batch = Batch(kind, 7, rows=4, family=family)
        tree, nodes, target, draft = batch.one(row)
        means, reached = [], set()
        for choice in rule._choices(tree, target, draft):
            path = np.array(choice.nodes)
            reached |= set(nodes[path].tolist())
            kept = Block()._passed(target[path], np.reshape(choice.laws, (-1, target.shape[1])), tree.tokens[path[1:]])
            means.append(kept.sum())
        given = batch.repeated(row, 200)
        coins = batch.rng.random((200, rule.num_tree_uniforms(batch.drafted.num_nodes)))
        found = rule._follow(*given, coins)
        assert np.abs(found.mean[:, None] - np.array(means)).min(axis=1).max() < 1e-9
        assert set(found.node.tolist()) <= reached
        assert np.array_equal(rule._expected_trees(*given, coins), found.mean)
        drafted, *laws = given
        rounded = rule._follow(drafted, laws[0] * (1 + 1e-6), laws[1] * (1 - 1e-6), coins)
        for part, again in zip(found, rounded, strict=True):
            assert np.allclose(part, again, atol=1e-9)


@pytest.mark.parametrize(("kind", "law"), FOLLOWED)
def test_every_field_of_followed_winners_is_the_same_in_whole_arrays(kind, law):
    rule, place = follower(kind, law), strict.asarray
    for seed, family in enumerate(families(law)):
        batch = Batch(kind, seed, rows=12, family=family)
        coins = batch.rng.random((12, rule.num_tree_uniforms(batch.drafted.num_nodes)))
        parts = batch.drafted.tokens, batch.drafted.parents, batch.drafted.multiplicity
        tokens, parents, copies = (None if part is None else place(part) for part in parts)
        there = DraftedTrees(tokens, parents, kind, batch.drafted.adaptive_widths, copies)
        mine = rule._follow(batch.drafted, batch.target, batch.draft, coins)
        theirs = rule._follow(there, *map(place, (batch.target, batch.draft, coins)))
        for left, right in zip(mine, theirs, strict=True):
            assert np.allclose(left, np.asarray(right), atol=EXACT)


@pytest.mark.parametrize("kind", ["branches", "without_replacement"])
def test_a_tree_that_is_one_path_is_followed_to_its_end(kind):
    rng, length, rule = np.random.default_rng(3), 5, follower(kind, "universal")
    target, draft = rng.dirichlet(np.ones(4), (2, 6, length + 1))
    tokens, parents = rng.integers(4, size=(6, length)), np.tile(np.arange(length), (6, 1))
    drafted = DraftedTrees(tokens, parents, kind)
    number = rule.num_tree_uniforms(length)
    width = (number - 1) // (length + 1)  # the last of each level is the coin of its prefix
    given = target, draft[:, :length], tokens
    for coins in (np.zeros((6, number)), np.full((6, number), 1 - 2**-53), *rng.random((5, 6, number))):
        found = rule._follow(drafted, target, draft, coins)
        verdict = Block().draw(*given, coins[:, [*range(2 * width - 1, number - 1, width), number - 1]])
        assert np.array_equal(found.node, verdict.accepted)
        assert np.array_equal(found.token, verdict.token)
        assert np.allclose(found.mean, Block()._passed(*given).sum(axis=-1), atol=EXACT)
        assert coins.any() or np.all(found.node == length)  # what may be kept is kept


def test_uniforms_are_counted_choice_first():
    for paths, length in ((1, 1), (3, 2), (2, 4)):
        for name, choice in (("winner", 2 * length), ("look-ahead", length * (1 + paths) + 1), ("score", paths)):
            rule = RULES[name](paths)
            assert rule.num_choice_uniforms(length) == choice
            assert rule.num_uniforms(length) == choice + length + 1
    assert WinnerBlock(2).num_tree_uniforms(5) == 6 * 3 + 1  # hull, pick and prefix of each level; the token
    assert WinnerBlock(WithoutReplacement(4)).num_tree_uniforms(5) == 6 * 6 + 1  # four steps of the race


@pytest.mark.parametrize("name", RULES)
def test_paths_without_a_token_emit_one_of_the_target(name):
    tree, rows = DraftTree([-1], [-1], [2], scheme="paths"), np.array([[0.2, 0.8]])
    law = RULES[name](2).conditional(tree, rows, rows)
    assert law.stop.tolist() == [1.0]
    assert np.allclose(law.following, rows, atol=EXACT)
