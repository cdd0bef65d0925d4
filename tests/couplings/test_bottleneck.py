"""The bottleneck: information never exceeds the rate, greedy beside all encoders, laws kept."""

import itertools

import numpy as np
import pytest

from otspec.analysis.instances import random_pair
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge
from otspec.couplings.bottleneck import entropy_bottleneck, staircase
from otspec.couplings.entropy import MinimumEntropy, entropy

ROUNDING = 1e-10  # sums of entropies


def best_information(law, output, rate):
    """Largest H(T) + H(Y) - H(T, Y) within a rate, over all functions to 0 .. V-1."""
    best = 0.0
    for code in itertools.product(range(len(law)), repeat=len(law)):
        told = np.bincount(code, law, minlength=len(law))
        if entropy(told) <= rate + 1e-12:
            best = max(best, entropy(told) + entropy(output) - MinimumEntropy().cells(output, told).entropy)
    return best


@pytest.mark.parametrize("rate", [0.0, 0.5, 1.0, 1.7, float("inf")])
def test_encoders_against_all_functions(rate):
    rng = np.random.default_rng(1)
    for family in ("dirichlet", "ties", "zeros"):
        law, output = random_pair(family, 4, rng)
        exact, greedy = (entropy_bottleneck(law, output, rate, encoder=name) for name in ("exact", "greedy"))
        assert exact.information == pytest.approx(best_information(law, output, rate), abs=ROUNDING)
        assert greedy.information <= exact.information + ROUNDING
        for found in (exact, greedy):
            assert found.rate <= rate + ROUNDING
            assert found.information <= min(found.rate, entropy(output)) + ROUNDING
            assert np.array_equal(found.code >= 0, law > 0)
            assert np.bincount(found.code[law > 0], law[law > 0]) == pytest.approx(found.code_law, abs=1e-15)
            made = np.bincount(found.output.target, found.output.mass, minlength=4)
            told = np.bincount(found.output.draft, found.output.mass)
            assert made == pytest.approx(output, abs=1e-14)
            assert told == pytest.approx(found.code_law, abs=1e-14)
            pair = found.output.mass
            direct = (pair * np.log2(pair / (made[found.output.target] * told[found.output.draft]))).sum()
            assert found.information == pytest.approx(direct, abs=ROUNDING)


def test_one_token_for_one_is_the_minimum_entropy_coupling():
    law, output = random_pair("dirichlet", 6, np.random.default_rng(2))
    whole = staircase(law, output).rows[-1]
    cells = MinimumEntropy().cells(output, law)
    assert whole["information"] >= entropy(law) + entropy(output) - cells.entropy - ROUNDING


def test_the_staircase_rises_and_is_what_every_rate_gives():
    law, output = random_pair("dirichlet", 6, np.random.default_rng(3))
    greedy, exact = (staircase(law, output, encoder=name) for name in ("greedy", "exact"))
    assert len(exact) > len(greedy) > 2
    for encoder, table in (("greedy", greedy), ("exact", exact)):
        for earlier, later in itertools.pairwise(table.rows):
            assert earlier["rate"] < later["rate"]
            assert earlier["information"] < later["information"] <= later["rate"] + ROUNDING
            for rate in (earlier["rate"], (earlier["rate"] + later["rate"]) / 2):
                found = entropy_bottleneck(law, output, rate, encoder=encoder)
                assert found.information == pytest.approx(earlier["information"], abs=ROUNDING)


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


def test_errors_speak_of_source_and_output():
    with pytest.raises(ShapeMismatch, match="source has 2 tokens, output 3"):
        entropy_bottleneck([0.5, 0.5], [0.5, 0.25, 0.25], 1.0)
    with pytest.raises(NotALaw, match="output"):
        staircase([0.5, 0.5], [0.5, 0.6])
    with pytest.raises(BadArgument, match="rate: nan is no number"):
        entropy_bottleneck([0.5, 0.5], [0.5, 0.5], float("nan"))
