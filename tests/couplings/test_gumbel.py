"""The exponential race: closed forms against the slow twin, integration and sampling."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad

from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.noise import Noise
from otspec.couplings.gumbel import Gumbel
from tests.oracles import couplings as slow
from tests.oracles import golden

ROUNDING = 1e-13  # sums of a few tokens, each a quotient of sums


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("size", [2, 3, 8])
def test_agreement_is_the_quadratic_sum(family, size):
    rng = np.random.default_rng(size)
    for _ in range(10):
        target, draft = random_pair(family, size, rng)
        found = float(Gumbel().agreement(target, draft))
        assert found == pytest.approx(slow.gumbel_agreement(target.tolist(), draft.tolist()), abs=ROUNDING)


def joint_by_integration(p, q, i, j):
    """Pr[a = i, b = j], i != j, over the clock of i and, inside, the exact law of the clock of j."""
    def inner(first):
        def density(second):
            late = [max(first / p[i] * p[m], second / q[j] * q[m]) for m in range(len(p)) if m not in (i, j)]
            return np.exp(-second - sum(late))
        low, high = first * p[j] / p[i], first * q[j] / q[i]
        corners = sorted(first / p[i] * q[j] * p[m] / q[m] for m in range(len(p)) if m not in (i, j))
        bounds = [low, *[c for c in corners if low < c < high], high]
        return sum(quad(density, a, b, epsabs=1e-13)[0] for a, b in itertools.pairwise(bounds))
    if p[i] / q[i] <= p[j] / q[j]:
        return 0.0
    return quad(lambda e: np.exp(-e) * inner(e), 0, np.inf, epsabs=1e-11)[0]


def test_joint_law_is_the_double_integral():
    p, q = golden.INSTANCES["F"]
    joint = Gumbel().joint(p, q)
    for i in range(4):
        for j in range(4):
            if i != j:
                assert joint[i, j] == pytest.approx(joint_by_integration(p, q, i, j), abs=1e-8)  # nested quadrature


def test_joint_law_with_a_token_that_neither_law_holds():
    p, q = np.array([0.0, 0.0, 0.5, 0.5, 0.0]), np.array([0.5, 0.0, 0.0, 0.5, 0.0])
    small = Gumbel().joint(p[[0, 2, 3]], q[[0, 2, 3]])
    joint = Gumbel().joint(p, q)
    assert np.allclose(joint[np.ix_([0, 2, 3], [0, 2, 3])], small, atol=ROUNDING)
    assert joint.sum() == pytest.approx(1, abs=ROUNDING)


def test_extreme_masses_make_no_warning_and_no_nonsense():
    target = np.array([1.0, 1e-300, 0.0, 5e-324])
    draft = np.array([1e-300, 1e-310, 1.0, 1e-320])
    assert 0 <= float(Gumbel().agreement(target, draft)) <= 1e-299
    assert float(Gumbel().agreement(target, target)) == 1
    assert np.allclose(Gumbel().joint(target, draft).sum(axis=-1), target, atol=ROUNDING)
    assert int(Gumbel().select(target, Noise(0, 0))) == 0


def test_select_is_the_race():
    law = np.array([0.5, 0.0, 0.3, 0.2])
    for position in range(50):
        noise = Noise(1, position)
        assert int(Gumbel().select(law, noise)) == slow.race(noise.exponentials(4).tolist(), law.tolist())
