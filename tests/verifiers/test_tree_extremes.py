"""The smallest and the largest coins: every verdict on a drafted tree must be possible by the law of its rule."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.drafted import DraftedTrees
from otspec.core.laws import draw
from otspec.core.schemes import Greedy, WithoutReplacement
from otspec.verifiers import verifier
from otspec.verifiers.tree import batched_traversal, copies
from otspec.verifiers.tree.grouped import GroupedTraversal
from tests.verifiers.test_tree_batched_forms import there
from tests.verifiers.tree_batches import MOST, SCHEMES, Batch, scheme_of

COINS = (0.0, 1 - 2**-40)  # a node that is kept for certain may have a weight of less than 1 by rounding
TIMES, COLUMNS = 6, 6
FAMILIES = ("dirichlet", "zeros", "ties")
RULES = [*(("traversal", kind) for kind in SCHEMES), *(("recursive_walk", kind) for kind in SCHEMES[:3]),
         *((name, "greedy") for name in ("univer", "traversal", "greedy_walk"))]

COPIES = [("recursive_walk", "branches"), ("recursive_walk", "paths")]  # the law also depends on the order of draws


def case(rule, kind, seed, family):
    """Arguments with every row `TIMES` times, and the mass of each verdict."""
    batch = Batch(kind, seed, size=4, rows=6, columns=COLUMNS, family=family)
    take = np.repeat(np.arange(6), TIMES)
    coins = batch.rng.choice(COINS, (take.size, rule.num_tree_uniforms(COLUMNS)))
    coins[::TIMES], coins[1::TIMES] = COINS
    coins[:, -1] = np.where(coins[:, -1] > 0, 1 - 2**-53, 0)
    drafted = DraftedTrees(batch.tokens[take], batch.parents[take], kind, False,
                           None if batch.drafted.multiplicity is None else batch.copies[take])
    return [drafted, batch.target[take], batch.draft[take], coins], batch.exact(rule)[take]


def possible(verdict, exact):
    node, token = (np.asarray(part) for part in verdict)
    return (exact[np.arange(len(exact)), node, token] > 0).all()


@pytest.mark.parametrize(("name", "kind"), RULES)
def test_verdicts_are_possible_whatever_the_coins(name, kind, monkeypatch):
    rule = verifier(name, Greedy(MOST) if kind == "greedy" else scheme_of(kind))
    for seed, family in enumerate(FAMILIES):
        given, exact = case(rule, kind, seed, family)
        assert possible(rule._draw_trees(*given), exact)
        with monkeypatch.context() as device:
            for module in (batched_traversal, copies):
                device.setattr(module, "on_host", lambda array: False)
            for library, place in (("torch", torch.asarray), ("strict", strict.asarray)):
                assert possible(rule._draw_trees(there(given[0], library), *map(place, given[1:])), exact)


@pytest.mark.parametrize("sizes", [(1,), (2,), (3,)])
def test_groups_stop_where_it_is_possible_whatever_the_coins(sizes):
    rule = GroupedTraversal(WithoutReplacement(MOST), sizes=sizes)
    for seed, family in enumerate(FAMILIES):
        given, exact = case(rule, "without_replacement", seed, family)
        given[3][:, COLUMNS : 2 * COLUMNS] += 2.0**-60  # the time at which a hull is cut is never 0
        assert possible(rule._draw_trees(*given), exact)


@pytest.mark.parametrize(("name", "kind"), [pair for pair in RULES if pair not in COPIES])
def test_the_last_coin_draws_the_token_from_the_law_after_the_node(name, kind):
    rule = verifier(name, Greedy(MOST) if kind == "greedy" else scheme_of(kind))
    for seed, family in enumerate(FAMILIES):
        (*given, coins), exact = case(rule, kind, seed, family)
        coins = np.random.default_rng(seed).random(coins.shape)
        node, token = rule.draw_trees(*given, coins)
        assert np.array_equal(token, draw(exact[np.arange(len(exact)), node], coins[:, -1]))
