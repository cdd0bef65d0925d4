"""The bottleneck: information never exceeds the rate, greedy beside all partitions, laws kept."""

import itertools

import numpy as np
import pytest

from otspec.analysis.instances import random_pair
from otspec.core.errors import BadArgument, TooLarge
from otspec.couplings.bottleneck import entropy_bottleneck, staircase
from otspec.couplings.entropy import MinimumEntropy, entropy

ROUNDING = 1e-10  # sums of entropies


def best_partition(law, rate):
    """Largest H(f(X)) within a rate, over all functions to 0 .. V-1."""
    codes = itertools.product(range(len(law)), repeat=len(law))
    found = (entropy(np.bincount(code, law)) for code in codes)
    return max(value for value in found if value <= rate + 1e-12)


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0, 1.7, float("inf")])
def test_encoders_against_all_functions(rate):
    rng = np.random.default_rng(1)
    for family in ("dirichlet", "ties", "zeros"):
        law, output = random_pair(family, 5, rng)
        exact, greedy = (entropy_bottleneck(law, output, rate, encoder=name) for name in ("exact", "greedy"))
        assert exact.rate == pytest.approx(best_partition(law, rate), abs=ROUNDING)
        assert greedy.rate <= exact.rate + ROUNDING <= rate + 2 * ROUNDING
        for found in (exact, greedy):
            assert found.information <= min(found.rate, entropy(output)) + ROUNDING
            assert np.array_equal(found.code >= 0, law > 0)
            assert np.bincount(found.code[law > 0], law[law > 0]) == pytest.approx(found.code_law, abs=1e-15)
            made = np.bincount(found.output.target, found.output.mass, minlength=5)
            told = np.bincount(found.output.draft, found.output.mass)
            assert made == pytest.approx(output, abs=1e-14)
            assert told == pytest.approx(found.code_law, abs=1e-14)
            pair = found.output.mass
            direct = (pair * np.log2(pair / (made[found.output.target] * told[found.output.draft]))).sum()
            assert found.information == pytest.approx(direct, abs=ROUNDING)


def test_without_a_bottleneck_it_is_the_minimum_entropy_coupling():
    law, output = random_pair("dirichlet", 6, np.random.default_rng(2))
    found = entropy_bottleneck(law, output, np.inf)
    assert found.rate == pytest.approx(entropy(law), abs=ROUNDING)
    cells = MinimumEntropy().cells(output, law)
    assert found.information == pytest.approx(entropy(law) + entropy(output) - cells.entropy, abs=ROUNDING)


def test_the_staircase_rises_in_rate_and_holds_every_stage():
    law, output = random_pair("dirichlet", 7, np.random.default_rng(3))
    greedy, exact = (staircase(law, output, encoder=name) for name in ("greedy", "exact"))
    assert greedy.column("parts") == list(range(1, 8))
    assert len(exact) > 400
    for table in (greedy, exact):
        rates = table.column("rate")
        assert rates == sorted(rates)
        assert rates[0] == pytest.approx(0, abs=ROUNDING)
        assert all(row["information"] <= row["rate"] + ROUNDING for row in table.rows)
    assert set(np.round(greedy.column("rate"), 9)) <= set(np.round(exact.column("rate"), 9))


def test_refusals():
    for rate in (-0.1, float("nan"), "1"):
        with pytest.raises(BadArgument, match="rate"):
            entropy_bottleneck([1.0], [1.0], rate)
    with pytest.raises(BadArgument, match="encoder"):
        entropy_bottleneck([1.0], [1.0], 1, encoder="best")
    with pytest.raises(BadArgument, match="encoder"):
        staircase([1.0], [1.0], encoder="best")
    with pytest.raises(TooLarge, match="greedy"):
        staircase(np.full(10, 0.1), np.full(10, 0.1), encoder="exact")
