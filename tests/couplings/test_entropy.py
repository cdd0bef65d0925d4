"""Minimum-entropy coupling: vertices against filling orders, the greedy guarantee, and certified ends."""

from fractions import Fraction

import numpy as np
import pytest

from otspec.analysis.instances import random_pair
from otspec.core.errors import BadArgument, NotALaw, TooLarge
from otspec.couplings.entropy import GUARANTEE, MinimumEntropy, entropy
from tests.oracles import couplings as slow

ROUNDING = 1e-10  # entropies of flows that are clipped at 1e-12


@pytest.mark.parametrize("size", [(2, 2), (2, 3), (3, 3)])
def test_the_best_vertex_is_the_best_filling_order(size):
    rng = np.random.default_rng(sum(size))
    for _ in range(8):
        p, q = ([Fraction(int(x), 60) for x in np.diff([0, *sorted(rng.integers(1, 60, n - 1)), 60])] for n in size)
        # one vocabulary for both: tokens that are missing from a law are no part of its support
        target, draft = (np.array([*map(float, law), *[0.0] * (3 - len(law))]) for law in (p, q))
        assert MinimumEntropy("exact").cells(target, draft).entropy == pytest.approx(slow.least_entropy(p, q),
                                                                                     abs=ROUNDING)


def test_greedy_is_within_its_guarantee_of_the_optimum_on_600_instances():
    rng, gaps = np.random.default_rng(0), []
    for family in ("dirichlet", "peaked", "ties", "close", "zeros", "decades"):
        for _ in range(100):
            pair = random_pair(family, 4, rng)
            best, greedy = (MinimumEntropy(method).cells(*pair).entropy for method in ("exact", "greedy"))
            lower, upper = MinimumEntropy().entropy_bounds(*pair)
            assert lower <= best + ROUNDING
            assert upper == pytest.approx(greedy, abs=ROUNDING)
            gaps.append(greedy - best)
    assert len(gaps) == 600
    assert min(gaps) > -ROUNDING
    assert max(gaps) <= GUARANTEE
    assert max(gaps) > 0.02  # greedy is not the optimum


@pytest.mark.parametrize("size", [10, 1000])
def test_ends_meet_within_one_bit_at_any_size(size):
    for family in ("dirichlet", "peaked", "decades"):
        target, draft = random_pair(family, size, np.random.default_rng(size))
        lower, upper = MinimumEntropy().entropy_bounds(target, draft)
        assert max(entropy(target), entropy(draft)) <= lower + ROUNDING
        assert lower <= upper + ROUNDING <= lower + 1
        cells = MinimumEntropy().cells(target, draft)
        for law, tokens in ((target, cells.target), (draft, cells.draft)):
            assert np.abs(np.bincount(tokens, cells.mass, minlength=size) - law).max() < 1e-14


def test_refusals():
    with pytest.raises(BadArgument, match="method"):
        MinimumEntropy("best")
    with pytest.raises(TooLarge, match="greedy"):
        MinimumEntropy("exact").cells(np.full(6, 1 / 6), np.full(6, 1 / 6))
    with pytest.raises(BadArgument, match="batch"):
        MinimumEntropy().cells(np.full((2, 2), 0.5), np.full((2, 2), 0.5))
    with pytest.raises(NotALaw):
        MinimumEntropy().cells([0.5, 0.6], [0.5, 0.5])
