"""Top-k and top-p of NumPy rows: small rows against the slow twin, also as the Python that is compiled."""

import numpy as np
import pytest

from otspec.core import largest_rows
from tests.core.test_truncation import EPS, KINDS, law_of
from tests.oracles import warp
from tests.oracles.uncompiled import uncompile

SIZES = (1, 2, 7, 24, 25, 26, 70, 1000)
COUNTS = (1, 2, 3, 10, 24, 25, 69, 400, 999)
MASSES = (1e-300, 1e-12, 0.1, 0.3, 0.5, 0.77, 0.9, 1 - 1e-9)


def rows_of_every_kind(rng):
    return [np.array([law_of(kind, size, rng) for _ in range(2 if size < 100 else 1)])
            for kind in KINDS for size in SIZES if size < 100 or kind in ("nearly flat", "tied", "zipf")]


def neighbours(size, rng):
    """A spread law in which sixty tokens have one of two masses that are next to each other as numbers."""
    law = np.sort(np.exp(4 * rng.normal(size=size)))
    middle = slice(size // 2 - 30, size // 2 + 30)
    law[middle] = law[size // 2]
    law /= law.sum()
    law[middle] = np.where(rng.random(60) < 0.5, law[size // 2], np.nextafter(law[size // 2], 1))
    return rng.permutation(law)


def sums_in_order(law):
    """Masses before each token that is not 0, largest first, and all of it."""
    ranked = np.sort(law)[::-1]
    return np.append(0, np.cumsum(ranked[ranked > 0]))


@pytest.fixture(params=["compiled", "as Python"])
def keep_largest(request, monkeypatch):
    if request.param == "as Python":
        uncompile(monkeypatch, largest_rows)
    return lambda *given: largest_rows.keep_largest(*given)


def test_the_largest_are_kept_by_number(keep_largest, rng):
    for laws in rows_of_every_kind(rng):
        for count in (one for one in COUNTS if one < laws.shape[1]):
            found = laws.copy()
            assert not keep_largest(found, count, 1.0).any()
            for new, law in zip(found, laws, strict=True):
                np.testing.assert_allclose(new, warp.truncated(law.tolist(), count), rtol=(64 + law.size) * EPS)


def test_the_largest_are_kept_by_mass_unless_rounding_decides(keep_largest, rng):
    for laws in rows_of_every_kind(rng):
        for mass in MASSES:
            found = laws.copy()
            undecided = keep_largest(found, 0, mass)
            for new, law, near in zip(found, laws, undecided, strict=True):
                distances = abs(sums_in_order(law) - mass)
                assert min(distances) < 32 * EPS * law.size if near else min(distances[1:]) >= EPS
                wanted = law if near else warp.truncated(law.tolist(), None, mass)
                np.testing.assert_allclose(new, wanted, rtol=(64 + law.size) * EPS)


def test_a_mass_within_rounding_of_a_sum_is_left_to_the_caller(keep_largest, rng):
    for laws in rows_of_every_kind(rng):
        for law in laws:
            sums = sums_in_order(law)
            for mass in (one for one in {sums[1], sums[len(sums) // 2], sums[-2], 1 - 2.0**-53} if 0 < one < 1):
                assert keep_largest(law[None].copy(), 0, mass).all()


def test_masses_next_to_each_other_are_told_apart(keep_largest, rng):
    law = neighbours(1200, rng)
    sums = sums_in_order(law)
    for count in range(565, 635, 7):
        found = law[None].copy()
        assert not keep_largest(found, count, 1.0).any()
        np.testing.assert_allclose(found[0], warp.truncated(law.tolist(), count), rtol=(64 + law.size) * EPS)
        mass, found = (sums[count] + sums[count - 1]) / 2, law[None].copy()
        assert not keep_largest(found, 0, mass).any()
        np.testing.assert_allclose(found[0], warp.truncated(law.tolist(), None, mass), rtol=(64 + law.size) * EPS)
    larger = (law > np.sort(law)[law.size // 2 - 30]).sum()
    for mass in (sums[larger], np.nextafter(sums[larger], 0), np.nextafter(sums[larger], 1)):
        assert keep_largest(law[None].copy(), 0, mass).all()
