"""The dual bound by sampling: unbiased pieces, calibrated errors, and never below what rules reach."""

import math

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.block_optimum import block_optimum
from otspec.analysis.blocks import block_efficiency
from otspec.analysis.dual import sampled, statistics
from otspec.analysis.dual.curve import Curve, fitted, walk
from otspec.analysis.dual.prefixes import Drawn, MarkovPrefixes, draw_paths, pick
from otspec.analysis.dual.recorded import products
from otspec.analysis.instances import random_models
from otspec.core.estimate import Estimate
from otspec.core.markov import MarkovModel
from tests.oracles.dual_bound import mean_of_subsets

EXACT = 1e-12


def models(size, seed):
    target, draft = random_models("dirichlet", size, np.random.default_rng(seed))
    return MarkovModel(target.transition, np.eye(size)[0]), draft


def runs(pair, shapes, kind, count, samples=96, rollouts=4):
    """Values and variances ``[count shapes 2]`` of independent runs."""
    found = []
    for number in range(count):
        rng = np.random.default_rng([7, number])
        prefixes = MarkovPrefixes(*pair, [0])
        drawn = draw_paths(prefixes, rng.random((samples, max(length for _, length in shapes))))
        found.append(sampled.stateless(prefixes, drawn, shapes, rollouts, rng) if kind == "stateless" else
                     getattr(sampled, kind)(drawn, shapes))
    return np.array(found)


@pytest.mark.parametrize("paths", [1, 2, 3])
def test_order_statistics_are_means_over_subsets(paths, rng):
    values = rng.normal(size=7).round(1)  # with ties
    assert statistics.mean_largest(values, paths) == pytest.approx(mean_of_subsets(values, paths, max), abs=EXACT)
    without = [mean_of_subsets(np.delete(values, i), paths, max) for i in range(7)]
    np.testing.assert_allclose(statistics.largest_without(values, paths), without, atol=EXACT)
    hits = (values < 0.2).astype(float)
    assert float(statistics.all_inside(int(hits.sum()), 7, paths)) == pytest.approx(
        mean_of_subsets(hits, paths, min), abs=EXACT)
    assert products(values, paths) == pytest.approx(mean_of_subsets(values, paths, math.prod), abs=EXACT)


def test_curve_in_the_middle_of_ties():
    curve = Curve(np.array([0.0, 1.0, 1.0, 2.0]), np.ones(4), 3)
    np.testing.assert_allclose(curve(np.array([0.0, 1.0, 1.5, 2.0, 9.0])), 3 * np.array([1, 4, 6, 7, 8]) ** 2 / 64)
    assert (Curve(np.zeros(1), np.ones(1), 1)(np.array([0.0, 5.0])) == 1).all()


def test_one_path_is_block_verifications_weight(rng):
    ratios = np.exp(rng.normal(size=(50, 6)))
    state = walk(ratios, fitted(ratios, 1, stateless=True), stateless=True)
    weight = np.ones(50)
    for depth in range(6):
        weight = np.minimum(1.0, weight * ratios[:, depth])
        np.testing.assert_allclose(state.alpha[:, depth], weight, atol=EXACT)


def test_paths_follow_the_draft_law():
    pair = models(3, 1)
    prefixes = MarkovPrefixes(*pair, [0])
    drawn = draw_paths(prefixes, np.random.default_rng(0).random((4000, 2)))
    mass = np.cumprod(drawn.ratios, axis=1)
    for depth in range(2):
        # under the draft's law the mean of target/draft is 1, where the draft has mass
        assert Estimate.from_samples(mass[:, depth]).covers(1.0)
    second = pair[1].transition[0]
    shares = np.bincount(drawn.before[:, 1], minlength=4)[1:] / 4000
    laws = np.array([prefixes.laws(number)[1] for number in (1, 2, 3)])
    order = [int(np.argmin(np.abs(laws - row).sum(axis=1))) for row in pair[1].transition]
    np.testing.assert_allclose(shares[order], second, atol=5 * 0.5 / np.sqrt(4000))


def test_no_token_without_mass_is_picked():
    cumulative = np.cumsum([0.0, 0.5, 0.0, 0.25, 0.0])
    found = pick(cumulative, np.array([0.0, 0.66, 0.67, np.nextafter(1.0, 0.0)]))
    assert found.tolist() == [1, 1, 3, 3]


@pytest.mark.parametrize(("size", "seed", "length", "paths"), [(3, 0, 3, 2), (5, 1, 2, 2), (2, 1, 4, 2), (3, 2, 2, 3)])
def test_sampled_bounds_lie_between_the_optimum_and_little_above(size, seed, length, paths):
    pair = models(size, seed)
    optima = {kind: block_optimum(*pair, length, num_paths=paths, kind=kind).upper
              for kind in ("stateless", "one_call")}
    for kind in ("stateless", "one_call", "level"):
        found = runs(pair, [(paths, length)], kind, 25)[:, 0, 0]
        mean = Estimate.from_samples(found)
        limit = optima["stateless" if kind == "stateless" else "one_call"]
        assert mean.mean + mean.margin(4) >= limit
        assert mean.mean - mean.margin(4) <= 1.03 * limit


def test_monte_carlo_errors_are_those_of_independent_runs():
    pair, shapes = models(3, 1), [(1, 2), (2, 3), (4, 4)]
    for kind in ("stateless", "one_call", "level"):
        found = runs(pair, shapes, kind, 40)
        ratio = np.sqrt(found[:, :, 1].mean(axis=0)) / found[:, :, 0].std(axis=0, ddof=1)
        # a standard deviation of 40 runs is good to 11 %; the jackknife errs on the large side
        assert (ratio > 0.7).all()
        assert (ratio < 1.6).all()


def test_one_path_agrees_with_block_verification():
    pair = models(4, 5)
    mean = Estimate.from_samples(runs(pair, [(1, 4)], "stateless", 40)[:, 0, 0])
    assert mean.covers(block_efficiency("block", *pair, 4).mean, z=4)


def test_fitting_on_the_evaluating_paths_would_be_too_low():
    """The planted fault that the two halves are there for."""
    pair, paths, size = models(5, 2), 2, 8
    honest, cheating = [], []
    for number in range(800):
        drawn = draw_paths(MarkovPrefixes(*pair, [0]), np.random.default_rng([3, number]).random((2 * size, 1)))
        honest.append(sampled.level(drawn, [(paths, 1)])[0].value)
        same = drawn.part(slice(0, size), 1)
        doubled = Drawn(*(np.concatenate([part, part]) for part in same))
        cheating.append(sampled.level(doubled, [(paths, 1)])[0].value)
    best = block_optimum(*pair, 1, num_paths=paths).upper
    low, fair = Estimate.from_samples(cheating), Estimate.from_samples(honest)
    assert low.mean + 4 * low.stderr < best < fair.mean + 4 * fair.stderr


def test_public_names():
    assert ot.path_bound.__module__ == "otspec.recording.path_bound"
