"""Capacities along an order, from a scheme's lists and from a user's oracle."""

import numpy as np
import pytest

import otspec as ot
from otspec.transport.drafters.capacities import capacity_along
from otspec.transport.without_replacement.race import race_increments
from tests.conftest import random_law


@pytest.mark.parametrize("draft", [np.array([0.0, 0.0, 1.0, 0.0]), np.array([0.0, 0.3, 0.7, 0.0]),
                                   np.array([0.1, 0.2, 0.3, 0.4])], ids=["one", "two", "four"])
def test_absent_drafts_lie_in_every_set(draft, rng):
    """With more drafts than tokens that can be drafted, lists end in absent drafts."""
    along = capacity_along(ot.WithoutReplacement(3), draft)
    for order in ([2, 1, 0, 3], [3, 0, 1, 2], *(rng.permutation(4) for _ in range(3))):
        want = np.append(0.0, np.cumsum(race_increments(draft[order], 3)))
        assert along(np.array(order)) == pytest.approx(want, abs=1e-14)  # quadrature


def test_a_table_of_single_precision_counts_as_if_it_summed_to_one(rng):
    table = rng.dirichlet(np.full(25, 0.3)).reshape(5, 5).astype(np.float32) * np.float32(1 + 3e-7)
    exact = table.astype(np.float64)
    assert abs(exact.sum() - 1) > 1e-8
    target = random_law(rng, 5)
    given, want = (ot.acceptance_bound(target, None, ot.Joint(one)) for one in (table, exact / exact.sum()))
    for found, value in ((given.lower, want.lower), (given.upper, want.upper)):
        assert float(found) == pytest.approx(float(value), abs=1e-13)  # sums of 25 numbers


def test_independent_drafts_are_not_listed(rng):
    drafts, order = rng.dirichlet(np.ones(300), 4), rng.permutation(300)
    got = capacity_along(ot.Independent(4), drafts)(order)  # there are eight thousand million lists
    assert got[1:] == pytest.approx(drafts[:, order].cumsum(axis=1).prod(axis=0), abs=1e-14)
