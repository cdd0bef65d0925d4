"""The best deterministic tree by enumeration, and the bound above it."""

import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, NotALaw
from otspec.limits.speed_of_light import best_tree_tokens, log_moments, speed_of_light


def subtrees(size, nodes, depth):
    """All trees of prefixes with so many nodes."""
    level = {frozenset()}
    for _ in range(nodes):
        level = {tree | {node} for tree in level for above in [(), *tree] if len(above) < depth
                 for node in [(*above, token) for token in range(size)] if node not in tree}
    return level


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
def test_the_best_tree_is_the_best_of_all_trees(nodes):
    law = np.random.default_rng(nodes).dirichlet(np.ones(3))
    best = max(sum(np.prod(law[list(node)]) for node in tree) for tree in subtrees(3, nodes, 4))
    assert best_tree_tokens(law, nodes).mean == pytest.approx(1 + best, abs=1e-12)


@pytest.mark.parametrize("nodes", [1, 5, 40, 200])
def test_the_best_tree_holds_the_likeliest_prefixes(nodes):
    law = np.array([0.5, 0.3, 0.2])
    prefixes = [np.prod(law[list(text)]) for length in range(1, 9) for text in
                itertools.product(range(3), repeat=length)]
    assert best_tree_tokens(law, nodes).mean == pytest.approx(1 + np.sort(prefixes)[::-1][:nodes].sum(), abs=1e-12)


def test_the_bound_lies_above_the_best_tree_and_grows_as_it():
    rng = np.random.default_rng(0)
    for size, spread in itertools.product((2, 4, 9), (0.2, 1.0, 5.0)):
        law = rng.dirichlet(np.full(size, spread))
        for budget in (1, 3, 10, 100, 3000):
            (row,) = speed_of_light(law, [budget]).rows
            best = best_tree_tokens(law, budget).mean
            assert best <= row["bound"] + 1e-12
            assert row["bound"] <= budget + 1
    # on equal masses the distance to the best tree stays bounded while both grow as log N / mu
    even = np.full(2, 0.5)
    distances = [speed_of_light(even, [n]).rows[0]["bound"] - best_tree_tokens(even, n).mean for n in (62, 1022, 16382)]
    assert max(distances) < 2.1
    assert np.ptp(distances) < 0.1


def test_random_laws_stay_below_the_bound_too():
    laws = np.random.default_rng(1).dirichlet(np.full(6, 0.5), 50)
    for budget in (4, 64):
        found = best_tree_tokens(laws, budget, trees=200, seed=2)
        assert found.mean + 5 * found.stderr < speed_of_light(laws, [budget]).rows[0]["bound"]
        assert found == best_tree_tokens(laws, budget, trees=200, seed=2)


def test_the_mean_over_random_environments_is_exact_at_one_node():
    laws = np.random.default_rng(3).dirichlet(np.ones(4), 20)
    assert best_tree_tokens(laws, 1, trees=4000).covers(1 + laws.max(axis=1).mean())


def test_moments_and_bad_arguments():
    laws = np.random.default_rng(4).dirichlet(np.ones(5), 30)
    mu, mu2 = log_moments(laws)
    assert mu.mean == pytest.approx(-(laws * np.log(laws)).sum(axis=1).mean())
    assert mu2.mean == pytest.approx((laws * np.log(laws) ** 2).sum(axis=1).mean())
    assert mu.n == 30
    trace = ot.load_trace("pocket")
    assert log_moments(trace)[0].mean == log_moments(trace.target)[0].mean
    with pytest.raises(BadArgument, match="temperature above 0"):
        speed_of_light([1.0, 0.0], [4])
    with pytest.raises(BadArgument, match="budgets"):
        speed_of_light([0.5, 0.5], [0])
    with pytest.raises(NotALaw):
        speed_of_light([0.5, 0.6], [4])
    with pytest.raises(BadArgument, match="trees"):
        best_tree_tokens(laws, 4, trees=1)
