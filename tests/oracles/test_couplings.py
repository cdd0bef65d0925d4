"""Agreement formulas against integration, simulation and the printed values."""

from fractions import Fraction as Fr
from itertools import pairwise
from math import sqrt

import numpy as np
import pytest

from tests.oracles import couplings, golden
from tests.oracles.token_rules import tv

PRINTED = 5.1e-7  # six decimals
TABLE = {**golden.COUPLINGS, **golden.COUPLINGS_EXTRA}


@pytest.mark.parametrize("name", TABLE)
def test_printed_agreements(name):
    p, q = golden.INSTANCES[name]
    values = (
        couplings.gumbel_agreement(p, q),
        couplings.minhash_same_dart(p, q),
        couplings.minhash_same_item(p, q),
    )
    assert values == pytest.approx(TABLE[name], abs=PRINTED)


@pytest.mark.parametrize("name", TABLE)
def test_gumbel_formula_against_integration(name):
    p, q = golden.INSTANCES[name]
    value = couplings.gumbel_by_integration(p, q)
    assert value == pytest.approx(couplings.gumbel_agreement(p, q), abs=1e-7)  # quad's default is 1.5e-8


@pytest.mark.parametrize("name", ["C", "F", "H"])
def test_gumbel_formula_against_races(name):
    p, q = golden.INSTANCES[name]
    samples, exact = 100_000, couplings.gumbel_agreement(p, q)
    error = sqrt(exact * (1 - exact) / samples)
    assert abs(couplings.gumbel_simulation(p, q, samples, seed=1) - exact) < 4 * error


@pytest.mark.parametrize("name", ["E", "F", "H"])
def test_minhash_formulas_against_darts(name):
    p, q = golden.INSTANCES[name]
    samples = 40_000
    found = couplings.minhash_simulation(p, q, samples, seed=2)
    for exact, value in zip(
        (couplings.minhash_same_dart(p, q), couplings.minhash_same_item(p, q)), found, strict=True
    ):
        assert abs(value - exact) < 4 * sqrt(exact * (1 - exact) / samples)


def test_chain_of_bounds():
    rng = np.random.default_rng(3)
    pairs = [rng.dirichlet(np.full(size, 0.5), size=2) for size in (2, 3, 4, 5, 6) for _ in range(30)]
    pairs += [([0.0, *rng.dirichlet([1, 1, 1])], [*rng.dirichlet([1, 1, 1]), 0.0]) for _ in range(30)]
    for p, q in pairs:
        distance = tv(p, q)
        chain = [
            couplings.minhash_same_dart(p, q),
            couplings.minhash_same_item(p, q),
            couplings.gumbel_agreement(p, q),
            1 - distance,
        ]
        assert chain[0] == pytest.approx((1 - distance) / (1 + distance), abs=1e-14)  # 1e-14: sums of 7 terms
        assert all(a <= b + 1e-14 for a, b in pairwise(chain))  # the same


@pytest.mark.parametrize("n", [3, 4, 6])
def test_sharp_instance(n):
    laws = [[Fr(0) if i == j else Fr(1, n - 1) for i in range(n)] for j in range(n)]
    for agreement in (couplings.gumbel_agreement, couplings.minhash_same_dart):
        assert agreement(laws[0], laws[1]) == Fr(n - 2, n)


@pytest.mark.parametrize("name", ["A", "F", "H"])
def test_communicated_protocol(name):
    p, q = ([Fr(v).limit_denominator(1000) for v in law] for law in golden.INSTANCES[name])
    epsilon, size = Fr(1, 20), len(p)
    rounded = couplings.rounded_down(p, epsilon / size)
    joint, retries = couplings.communicated(p, q, rounded)
    assert [sum(joint[a, b] for b in range(size)) for a in range(size)] == p
    assert [sum(joint[a, b] for a in range(size)) for b in range(size)] == q
    assert retries == 1
    assert sum(joint[a, a] for a in range(size)) >= 1 - tv(p, q) - epsilon
