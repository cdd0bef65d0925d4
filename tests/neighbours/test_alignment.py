"""Rate functions, the optimum from both sides, and best-of-n below it."""

import math
from itertools import product

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.ceiling import kl
from otspec.neighbours.alignment import best_of_n_point, optimal_reward, rate_function, tilted
from otspec.neighbours.best_of_n import best_of_n_kl, best_of_n_law

LAW, REWARDS = np.array([0.4, 0.3, 0.15, 0.1, 0.05]), np.array([0, 1, 1, 2, 4])


def test_coin():
    for x in (0.1, 0.5, 0.8):
        exact = math.log(2) + x * math.log(x) + (1 - x) * math.log(1 - x)
        assert abs(rate_function([0.5, 0.5], [0, 1], x) - exact) < 1e-12


@pytest.mark.parametrize("budget", [0.01, 0.1, 0.5, 1.5, 2.5])
def test_the_optimum_from_both_sides(budget):
    best = optimal_reward(LAW, REWARDS, budget)
    # from above: E[reward] <= (L(t) + budget) / t for every t > 0; from below: a tilted law within the budget
    grid = np.geomspace(1e-2, 30, 4000)
    dual = min((math.log(LAW @ np.exp(t * (REWARDS - 4))) + 4 * t + budget) / t for t in grid)
    primal = max(float(law @ REWARDS) for law in (tilted(LAW, REWARDS, t) for t in grid) if kl(law, LAW) <= budget)
    assert primal <= best + 1e-12
    assert best <= dual + 1e-12
    assert dual - primal < 2e-2
    assert abs(rate_function(LAW, REWARDS, best) - budget) < 1e-9


def test_rate_function_at_its_ends():
    mean = float(LAW @ REWARDS)
    assert rate_function(LAW, REWARDS, mean) < 1e-12
    assert rate_function(LAW, REWARDS, 4) == pytest.approx(-math.log(0.05))
    assert rate_function(LAW, REWARDS, 0) == pytest.approx(-math.log(0.4))
    assert rate_function(LAW, REWARDS, 4.1) == math.inf
    assert optimal_reward(LAW, REWARDS, 0) == mean
    assert optimal_reward(LAW, REWARDS, 3.0) == 4
    assert optimal_reward([0.5, 0.5, 0.0], [0, 1, 9], 5.0) == 1  # what is never drawn cannot be bought


@pytest.mark.parametrize("n", [2, 5])
def test_the_point_is_that_of_all_texts(n):
    length = 3
    texts = list(product(range(5), repeat=length))
    law = np.array([math.prod(LAW[list(text)]) for text in texts])
    sums = np.array([REWARDS[list(text)].sum() for text in texts])
    divergence, reward = best_of_n_point(LAW, REWARDS, length, math.log(n) / length)
    assert abs(divergence - best_of_n_kl(law, sums, n) / length) < 1e-12
    assert abs(reward - best_of_n_law(law, sums, n) @ sums / length) < 1e-12


def test_best_of_n_lies_below_the_optimum_and_catches_up():
    for rate in (0.3, 0.6, 1.0):
        gaps = []
        for length in (8, 32, 128):
            divergence, reward = best_of_n_point(LAW, REWARDS, length, rate)
            assert divergence <= rate + 1e-12
            gaps.append(optimal_reward(LAW, REWARDS, divergence) - reward)
        assert min(gaps) > 0
        assert gaps == sorted(gaps, reverse=True)
        assert gaps[-1] < 0.3 * gaps[0]
        assert abs(divergence - rate) < 0.04


def test_negative_rewards_shift_the_point():
    first, second = best_of_n_point(LAW, REWARDS, 8, 0.3), best_of_n_point(LAW, REWARDS - 3, 8, 0.3)
    np.testing.assert_allclose([first[0], first[1] - 3], second, atol=1e-12)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: optimal_reward(LAW, REWARDS, -0.1), ot.BadArgument, "divergence"),
    (lambda: optimal_reward(LAW, REWARDS[:3], 0.1), ot.ShapeMismatch, "rewards"),
    (lambda: rate_function([0.5, 0.6], [0, 1], 0.5), ot.NotALaw, "law"),
    (lambda: rate_function([0.5, 0.5], [0, math.inf], 0.5), ot.BadArgument, "rewards"),
    (lambda: best_of_n_point(LAW, REWARDS, 0, 0.1), ot.BadArgument, "length"),
    (lambda: best_of_n_point(LAW, REWARDS, 4, -0.1), ot.BadArgument, "rate"),
    (lambda: best_of_n_point(LAW, REWARDS / 2, 4, 0.1), ot.BadArgument, "whole"),
    (lambda: best_of_n_point(LAW, REWARDS * 10**6, 4, 0.1), ot.TooLarge, "sums"),
], ids=["divergence", "shapes", "no law", "infinite", "length", "rate", "halves", "grid"])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()
