"""Coins at both ends of [0, 1), for all rules on blocks, paths and trees: no verdict of probability 0 is drawn."""

import itertools

import array_api_strict as strict
import numpy as np
import pytest

from otspec.analysis.instances import random_pair
from otspec.verifiers import list_verifiers, verifier
from tests.verifiers.tree_batches import FAST, Batch, scheme_of
from tests.verifiers.tree_draws import Toy, path_trees, prefix_of

ENDS = 0.0, 1 - 2**-53
FAMILIES = ["dirichlet", "zeros", "ties", "one_hot_draft", "decades"]
CHAINS = [name for name, entry in list_verifiers(kind="block").items() if "one_draft" in entry.claims]
ON_PATHS = [name for name, entry in list_verifiers(kind="tree").items() if entry.supports(scheme_of("paths"))]
# a cell of a hull begins but for a rounding where its law says: there only texts that the target never writes are wrong
HULLS = "winner_block", "vertex_block", "lookahead_block", "score_block", "optimal_walk"


def extreme(number, rng, most=256):
    """Rows of coins at both ends: all of them, or some at random if those are too many."""
    if 2**number <= most:
        return np.array(list(itertools.product(ENDS, repeat=number)))
    rows = rng.integers(2, size=(most, number))
    rows[0], rows[1] = 0, 1
    return np.take(ENDS, rows)


def possible(name, rule, tree, target, draft):
    """Which verdicts ``[N V]`` on a tree may be drawn."""
    if name not in HULLS:
        law = rule.conditional(tree, target, draft)
        return law.stop[:, None] * law.following > 0
    written = np.ones(len(tree), dtype=bool)
    for node in range(1, len(tree)):
        above = tree.parents[node]
        written[node] = written[above] & (target[above, tree.tokens[node]] > 0)
    return written[:, None] & (target > 0)


def repeated(rows, times):
    return [np.repeat(np.asarray(part)[None], times, axis=0) for part in rows]


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("length", [1, 3])
def test_of_one_path(name, length):
    rule, rng = verifier(name), np.random.default_rng(length)
    for family in [*FAMILIES, "equal"] * 8:
        target, draft = (np.stack(laws) for laws in zip(*(random_pair(family, 3, rng) for _ in range(length + 1)),
                                                        strict=True))
        rows = target, draft[:length], np.array([rng.choice(3, p=law) for law in draft[:length]])
        coins = extreme(rule.num_uniforms(length), rng)
        verdict = rule.draw(*repeated(rows, len(coins)), coins)
        accepted, token = verdict[0] if rule.stateful else verdict
        law = rule.conditional(*rows)
        assert np.all(law.stop[accepted] * law.following[accepted, token] > 0), family


@pytest.mark.parametrize("name", ON_PATHS)
@pytest.mark.parametrize("place", [np.asarray, strict.asarray], ids=["numpy", "strict"])
def test_of_paths(name, place):
    rule, rng = verifier(name, 2), np.random.default_rng(1)
    for seed, family in enumerate([*FAMILIES, "zeros"]):
        toy = Toy(family, 3, 2, seed)
        trees = [tree for _, tree in path_trees(toy, 2)]
        for choice in rng.choice(len(trees), min(4, len(trees)), replace=False):
            tree = trees[choice]
            node_of = {prefix_of(tree, node): node for node in range(len(tree))}
            chains, (target, draft) = np.asarray(tree.chains), toy.rows(tree)
            given = target[chains], draft[chains[:, :-1]], tree.tokens[chains[:, 1:]]
            coins = extreme(rule.num_uniforms(2), rng, 64)
            verdict = rule.draw_paths(*map(place, repeated(given, len(coins))), place(coins))
            allowed = possible(name, rule, tree, target, draft)
            for kept, token, path in zip(*map(np.asarray, verdict), strict=True):
                assert allowed[node_of[tuple(given[2][path, :kept].tolist())], token], (family, choice)


@pytest.mark.parametrize(("name", "kind"), FAST)
def test_of_trees(name, kind):
    rule = verifier(name, scheme_of(kind))
    for seed, family in enumerate([*FAMILIES, "zeros"]):
        batch = Batch(kind, seed, size=3, rows=4, family=family)
        coins = extreme(rule.num_tree_uniforms(batch.drafted.num_nodes), batch.rng, 64)
        for row in range(4):
            tree, nodes, target, draft = batch.one(row)
            node, token = rule._draw_trees(*batch.repeated(row, len(coins)), coins)
            allowed = possible(name, rule, tree, target, draft)
            assert np.all(allowed[np.searchsorted(nodes, node), token]), (family, row)
