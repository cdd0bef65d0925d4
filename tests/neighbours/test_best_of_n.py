"""Best-of-n: the exact law by enumeration, the chain estimate <= bound, and the link to zero rejection."""

import math
from itertools import product

import numpy as np
import pytest

import otspec as ot
from otspec.neighbours.best_of_n import best_of_n_kl, best_of_n_law, kl_estimate, sampled_kl_estimate, win_rate

FRESH = np.random.default_rng(0)
CASES = [(FRESH.dirichlet(np.full(5, 0.7)), FRESH.integers(0, levels, 5).astype(float), n)
         for levels in (2, 3, 50) for n in (1, 2, 4)]


def by_enumeration(law, scores, n):
    """Draw n, take one of the best with equal chances."""
    best = np.zeros(len(law))
    for drafts in product(range(len(law)), repeat=n):
        winners = [y for y in drafts if scores[y] == max(scores[list(drafts)])]
        for y in winners:
            best[y] += math.prod(law[list(drafts)]) / len(winners)
    return best


@pytest.mark.parametrize("case", range(len(CASES)))
def test_law_divergence_and_win_rate_by_enumeration(case):
    law, scores, n = CASES[case]
    exact = by_enumeration(law, scores, n)
    np.testing.assert_allclose(best_of_n_law(law, scores, n), exact, atol=1e-12)
    assert abs(best_of_n_kl(law, scores, n) - (exact * np.log(exact / law)).sum()) < 1e-12
    wins = sum(exact[a] * law[b] * (0.5 * (scores[a] == scores[b]) + (scores[a] > scores[b]))
               for a in range(5) for b in range(5))
    assert abs(win_rate(law, scores, n) - wins) < 1e-12


def test_ignoring_ties_is_seen():
    law, scores = np.array([0.1, 0.2, 0.3, 0.2, 0.2]), np.array([0.0, 1.0, 1.0, 2.0, 2.0])
    untied = np.diff(np.cumsum(law) ** 3, prepend=0.0)  # the formula for different scores
    assert np.abs(untied - by_enumeration(law, scores, 3)).sum() > 1e-2


def test_exact_below_estimate_below_bound():
    rng = np.random.default_rng(1)
    for _ in range(300):
        size, n = rng.integers(2, 30), int(rng.integers(1, 60))
        law, scores = rng.dirichlet(np.full(size, rng.choice([0.1, 1.0, 10.0]))), rng.integers(0, size, size)
        exact, top = best_of_n_kl(law, scores, n), law[scores == scores.max()].sum()
        middle = kl_estimate(top, n)
        assert exact <= middle + 1e-12
        assert middle <= ot.kl_ceiling(n) + 1e-12
        assert win_rate(law, scores, n) <= n / (n + 1) + 1e-12


def test_the_estimate_is_exact_for_one_atom_above_dust():
    size, atom, n = 200_000, 0.3, 8
    law = np.r_[np.full(size, (1 - atom) / size), atom]
    exact = best_of_n_kl(law, np.arange(size + 1), n)
    assert abs(exact - kl_estimate(atom, n)) < 1e-6
    assert exact < ot.kl_ceiling(n) - 0.1
    dust = np.full(size, 1 / size)
    assert ot.kl_ceiling(n) - 1e-6 < best_of_n_kl(dust, np.arange(size), n) <= ot.kl_ceiling(n) + 1e-12
    assert abs(win_rate(dust, np.arange(size), n) - n / (n + 1)) < 1e-9


def test_estimate_at_its_ends():
    np.testing.assert_allclose(kl_estimate(np.array([0.0, 1.0]), 7), [ot.kl_ceiling(7), 0.0])
    assert abs(kl_estimate(1e-9, 7) - ot.kl_ceiling(7)) < 1e-6
    np.testing.assert_array_equal(kl_estimate(np.linspace(0, 1, 5), 1), 0.0)


def test_small_masses_keep_their_digits():
    law = np.array([1e-12, 1e-9, 1 - 1e-9 - 1e-12])
    np.testing.assert_allclose(best_of_n_law(law, [2, 1, 0], 3)[:2], [3e-12, 3e-9], rtol=1e-6)
    np.testing.assert_allclose(best_of_n_law(law, [0, 1, 2], 2)[:2], [1e-24, 1.002e-18], rtol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_n_drafts_reach_the_law_without_rejection_and_fewer_do_not(n):
    law, scores = np.random.default_rng(2).dirichlet(np.ones(6)), np.arange(6)[::-1]
    best = best_of_n_law(law, scores, n)
    verdict = ot.zero_rejection(best, law, n)
    assert bool(verdict.possible)
    assert abs(float(verdict.margin)) < 1e-12
    assert not bool(ot.zero_rejection(best, law, n - 1).possible)
    assert abs(float(ot.optimal_acceptance(best, law, n)) - 1.0) < 1e-12
    assert best_of_n_kl(law, scores, n) <= ot.kl_ceiling(n)


def test_a_batch_is_its_rows():
    laws = np.random.default_rng(3).dirichlet(np.ones(6), (2, 3))
    scores = np.array([2.0, 0, 1, 1, 5, -3])
    many = best_of_n_law(laws, scores, 4)
    for place in product(range(2), range(3)):
        np.testing.assert_allclose(many[place], best_of_n_law(laws[place], scores, 4), atol=1e-15)
    assert best_of_n_kl(laws, scores, 4).shape == (2, 3)


def test_the_sampled_estimate_covers_its_mean():
    law, scores = np.random.default_rng(4).dirichlet(np.ones(8)), np.arange(8)
    found = sampled_kl_estimate(law, scores, 5, samples=20_000, seed=0)
    assert found.covers(float(best_of_n_law(law, scores, 5) @ kl_estimate(law, 5)))


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: best_of_n_law([0.5, 0.5], [0, 1], 0), ot.BadArgument, "n: 0"),
    (lambda: best_of_n_law([0.5, 0.5], [0, 1], 2.5), ot.BadArgument, "n: 2.5"),
    (lambda: best_of_n_law([0.5, 0.6], [0, 1], 2), ot.NotALaw, "law"),
    (lambda: best_of_n_law([0.5, 0.5], [0, 1, 2], 2), ot.ShapeMismatch, "scores"),
    (lambda: best_of_n_law([0.5, 0.5], [[0, 1], [1, 0]], 2), ot.ShapeMismatch, "scores"),
    (lambda: best_of_n_law([0.5, 0.5], [0, np.nan], 2), ot.BadArgument, "scores"),
    (lambda: kl_estimate(1.5, 2), ot.BadArgument, "mass"),
    (lambda: sampled_kl_estimate([[0.5, 0.5]], [0, 1], 2, samples=9, seed=0), ot.ShapeMismatch, "batch"),
], ids=["n 0", "n 2.5", "no law", "scores", "score rows", "nan", "mass", "batch"])
def test_bad_arguments(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_ragged_scores_are_refused():
    with pytest.raises(ot.BadArgument, match="scores: rows of different length"):
        best_of_n_law([0.5, 0.5], [[1, 2], [1]], 2)
