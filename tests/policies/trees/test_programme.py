"""The dynamic programme against every tree there is, and against the likeliest nodes of the infinite tree."""

import numpy as np
import pytest

from otspec.policies.trees import AcceptanceTable, tree_policy
from otspec.policies.trees.programme import Programme
from tests.oracles.trees import best_of_all, likeliest, tokens

EXACT = 1e-12


def random_rates(kind, seed):
    """Rates by rank, by depth and rank, or by depth, width and rank; those of a node sum to less than one."""
    rng = np.random.default_rng(seed)
    if kind == "widths":
        rates = np.zeros((3, 4, 4))
        for depth in range(3):
            for width in range(4):
                rates[depth, width, : width + 1] = rng.dirichlet(np.ones(width + 2))[:-1]
        return rates
    rates = rng.dirichlet(np.ones(5), 3)[:, :-1]
    return rates if kind == "depths" else rates[0]


def rate_of(rates):
    """The rates as the oracle asks for them."""
    def rate(depth, width, rank):
        if rates.ndim == 1:
            return rates[rank]
        row = rates[min(depth, len(rates) - 1)]
        return row[rank] if rates.ndim == 2 else row[width - 1, rank]
    return rate


@pytest.mark.parametrize("kind", ["ranks", "depths", "widths"])
@pytest.mark.parametrize("seed", range(4))
def test_no_tree_is_better(kind, seed):
    rates = random_rates(kind, seed)
    for budget, depth, children in [(1, 1, 4), (5, 5, 4), (7, 3, 4), (7, 7, 2), (6, 2, 3)]:
        found = Programme(AcceptanceTable(rates), budget, depth, children)
        counts = found.counts()
        best = best_of_all(rate_of(rates), budget, depth, children)
        assert found.values[0][budget] == pytest.approx(best, abs=EXACT)
        assert tokens(found.shape(), rate_of(rates)) == pytest.approx(best, abs=EXACT)
        assert 1 <= sum(counts) <= budget
        assert max(counts) <= children


@pytest.mark.parametrize("policy", ["sequoia", "fitted"])
def test_eight_nodes_of_all_trees(policy):
    rates = random_rates("ranks", 9)
    plan = tree_policy(policy).plan(rates, 8)
    assert plan.tokens.mean == pytest.approx(best_of_all(rate_of(rates), 8, 8, 4), abs=EXACT)


@pytest.mark.parametrize("budget", [33, 128])
def test_large_trees_hold_the_likeliest_nodes(budget):
    rates = -np.sort(-random_rates("depths", 3), axis=1)
    for depth in (4, budget):
        found = Programme(AcceptanceTable(rates), budget, depth, 4)
        assert found.values[0][budget] == pytest.approx(likeliest(rate_of(rates), budget, depth, 4), abs=1e-10)
    # whatever the order of the ranks, no tree is above them
    rates = random_rates("depths", 4)
    assert Programme(AcceptanceTable(rates), 33, 33, 4).values[0][33] < likeliest(rate_of(rates), 33, 33, 4) - 1e-3


def test_rates_of_the_wrong_rule_cost_tokens():
    # the programme must read widths: with two children the first one is kept less often than alone
    rates = np.zeros((1, 2, 2))
    rates[0, 0, 0], rates[0, 1] = 0.9, (0.3, 0.3)
    assert tree_policy("fitted").plan(rates, 4).counts == (1, 1, 1, 1)
    assert tree_policy("fitted").plan(rates[:, 1], 4).counts[0] == 2


def test_a_child_that_adds_nothing_is_not_drafted():
    assert tree_policy("fitted").plan([0.0, 0.0], 5).num_nodes == 1  # a tree has a node
    assert tree_policy("fitted").plan([[0.5, 0.0], [0.0, 0.0]], 5).num_nodes == 1


def test_sequoia_pools_depths_and_is_never_better():
    table = AcceptanceTable([[0.5, 0.3], [0.7, 0.1], [0.9, 0.0]], observations=[[100, 100], [50, 50], [10, 10]])
    for budget in (4, 8, 16):
        plain, fitted = (tree_policy(name).plan(table, budget) for name in ("sequoia", "fitted"))
        assert plain.counts == Programme(AcceptanceTable([(50 + 35 + 9) / 160, (30 + 5) / 160]), budget, budget,
                                         2).counts()
        assert plain.tokens.mean <= fitted.tokens.mean + EXACT
    assert plain.tokens.mean < fitted.tokens.mean - 0.01
