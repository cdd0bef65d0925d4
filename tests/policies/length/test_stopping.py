"""The decision process against listed policies, the threshold theorem, and both ends of the optimum."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, TooLarge
from otspec.policies.length.stopping import StoppingProblem
from tests.oracles.lengths import cheapest_of_all, cost_per_token


def memoryless(seed, size=3, **settings):
    rng = np.random.default_rng(seed)
    laws = [rng.dirichlet(np.ones(size)) for _ in range(2)]
    return StoppingProblem(*map(ot.MarkovModel.memoryless, laws), **settings), laws


def chained(seed, size=3, **settings):
    rng = np.random.default_rng(seed)
    rows = [rng.dirichlet(np.ones(size), size) for _ in range(2)]
    return StoppingProblem(*map(ot.MarkovModel, rows), **settings), rows


@pytest.mark.parametrize("cost", [0.03, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_the_threshold_is_the_optimum_of_a_memoryless_pair(seed, cost):
    problem, (target, draft) = memoryless(seed, 5, max_length=4, draft_cost=cost)
    best = problem.optimum()
    common = np.minimum(target, draft).sum()
    threshold = 1 - cost / (best.best.cost_per_token * common)
    assert problem.threshold(threshold).cost_per_token == pytest.approx(best.best.cost_per_token, abs=1e-9)
    assert 0 <= best.best.cost_per_token - best.lower < 1e-10
    tried = [problem.threshold(t).cost_per_token for t in np.linspace(-0.05, 1, 40)]
    assert min(tried) > best.lower - 1e-12
    assert max(tried) > best.lower + 1e-3  # so that the right threshold matters


@pytest.mark.parametrize("seed", range(3))
def test_the_optimum_is_the_least_over_all_ways_to_stop(seed):
    problem, (target, draft) = memoryless(seed, 2, max_length=3, draft_cost=0.15)
    rows = [np.tile(law, (2, 1)) for law in (target, draft)]
    assert problem.optimum().best.cost_per_token == pytest.approx(cheapest_of_all(*rows, 3, 0.15, 1.0), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_numbers_of_a_way_to_stop_are_those_of_the_slow_walk(seed):
    problem, (target, draft) = chained(seed, max_length=3, draft_cost=0.2, verify_cost=1.5)
    stops = problem.optimum().best.stops

    def stopped(start):
        def at(chain):
            place = 0
            for token in chain:
                place = place * 3 + token
            return stops[len(chain)][start, place]
        return at

    for fixed in (1, 3):
        slow = cost_per_token(target, draft, lambda chain, n=fixed: len(chain) >= n, 3, 0.2, 1.5)
        assert problem.fixed(fixed).cost_per_token == pytest.approx(slow, abs=1e-12)
    # the same decisions after every context can be walked slowly, too
    shared = [level[[0]].repeat(3, axis=0) for level in stops]
    slow = cost_per_token(target, draft, stopped(0), 3, 0.2, 1.5)
    assert problem.evaluate(shared).cost_per_token == pytest.approx(slow, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_to_stop_is_optimal_beyond_the_threshold_of_the_theorem(seed):
    problem, _ = chained(seed, max_length=5, draft_cost=0.1)
    best = problem.optimum()
    beyond = 0
    for chance, stops in zip(problem.refusal_chances(), best.best.stops, strict=True):
        assert stops[chance >= best.threshold + 1e-12].all()
        beyond += int((chance >= best.threshold).sum())
    assert beyond > 0
    assert best.best.cost_per_token - best.lower < 1e-10
    assert best.best.cost_per_token <= min(problem.fixed(n).cost_per_token for n in range(6)) + 1e-12
    assert best.best.cost_per_token >= problem.clairvoyant_cost()


def test_no_threshold_reaches_the_optimum_of_a_pair_that_depends_on_the_context():
    gaps = []
    for seed in range(10, 14):
        problem, _ = chained(seed, max_length=4, draft_cost=0.25)
        gaps.append(problem.best_threshold()[1].cost_per_token - problem.optimum().best.cost_per_token)
    assert min(gaps) > -1e-12
    assert max(gaps) > 1e-3


def test_the_toy_of_the_policy_is_that_of_the_problem():
    rng = np.random.default_rng(4)
    target, draft = (ot.MarkovModel.memoryless(rng.dirichlet(np.ones(4))) for _ in range(2))
    problem = StoppingProblem(target, draft, 4, draft_cost=0.1)
    blocks = ot.toy_blocks(target, draft, 4, rule="token_wise")
    for threshold in (0.1, 0.45, 0.8):
        found = ot.length_policy("true_threshold", threshold=threshold, max_length=4).predict(blocks, draft_cost=0.1)
        exact = problem.threshold(threshold)
        assert found.cost_per_token.mean == pytest.approx(exact.cost_per_token, abs=1e-12)
        assert found.drafts_per_call.mean == pytest.approx(exact.drafts_per_call, abs=1e-12)
    yardstick = ot.length_policy("clairvoyant", max_length=4).predict(blocks, draft_cost=0.1)
    assert yardstick.cost_per_token.mean == pytest.approx(problem.clairvoyant_cost(), abs=1e-12)


def test_edges_and_bad_arguments():
    coin = ot.MarkovModel.memoryless([0.5, 0.5])
    sure = StoppingProblem(coin, coin, 3, draft_cost=0.1).optimum()
    assert sure.best.cost_per_token == pytest.approx(1.3 / 4)
    apart = StoppingProblem(ot.MarkovModel.memoryless([1.0, 0.0]), ot.MarkovModel.memoryless([0.0, 1.0]), 3,
                            draft_cost=0.1, verify_cost=2.0).optimum()
    assert (apart.best.cost_per_token, apart.best.drafts_per_call) == (2.0, 0.0)
    with pytest.raises(BadArgument, match="draft_cost"):
        StoppingProblem(coin, coin, 3, draft_cost=float("nan"))
    with pytest.raises(TooLarge, match="max_length"):
        StoppingProblem(coin, coin, 30, draft_cost=0.1)
    with pytest.raises(ot.ShapeMismatch, match="vocabularies"):
        StoppingProblem(coin, ot.MarkovModel.memoryless([0.2, 0.3, 0.5]), 2, draft_cost=0.1)
