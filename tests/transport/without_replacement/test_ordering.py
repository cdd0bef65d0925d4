import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.transport.without_replacement.ordering import draw_order, order_law
from otspec.verifiers.token.optimal import Optimal
from tests.conftest import random_law


def test_order_law_is_the_list_law_given_the_set(rng):
    draft = random_law(rng, 5)
    lists, law = ot.WithoutReplacement(3).lists(draft)
    chosen = np.array([0, 2, 4])
    same = np.all(np.sort(lists, axis=1) == chosen, axis=1)
    orders, given = order_law(draft[chosen], draft[[1, 3]].sum())
    found = {tuple(chosen[o]): w for o, w in zip(orders, given, strict=True)}
    for row, weight in zip(lists[same], law[same] / law[same].sum(), strict=True):
        assert found[tuple(row.tolist())] == pytest.approx(weight, abs=1e-14)  # a handful of roundings


def test_drawn_orders_follow_the_law(rng):
    masses, outside, n = np.array([0.5, 0.2, 0.1]), 0.2, 6000
    orders, law = order_law(masses, outside)
    drawn = np.array([draw_order(masses, outside, rng.random(3)) for _ in range(n)])
    counts = np.array([(drawn == order).all(axis=1).sum() for order in orders])
    assert counts.sum() == n
    assert (np.abs(counts - n * law) <= 5 * np.sqrt(n * law * (1 - law))).all()


def test_sets_that_are_hardly_ever_drawn_have_orders_of_positive_chance():
    faint = np.array([1e-300, 2e-300, 3e-300])
    orders, law = order_law(faint, 1.0)
    assert law == pytest.approx(np.full(6, 1 / 6), abs=1e-14)  # each draw leaves the rest as it was
    uniforms = itertools.product([1 / 6, 0.5, 5 / 6], [0.25, 0.75], [0.5])
    drawn = [draw_order(faint, 1.0, np.array(row[::-1])).tolist() for row in uniforms]
    assert sorted(drawn) == orders.tolist()
    apart = np.array([1e-200, 1.0, 1e-300])
    assert order_law(apart, 0.0)[1].tolist() == pytest.approx([0, 0, 1, 0, 0, 0], abs=1e-99)
    for uniform in (0.5, np.nextafter(1.0, 0.0)):
        assert draw_order(apart, 0.0, np.full(3, uniform)).tolist() == [1, 0, 2]
    for uniform in (0.0, 0.5, np.nextafter(1.0, 0.0)):  # a set that is never drawn
        assert sorted(draw_order(np.zeros(3), 0.0, np.full(3, uniform)).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("scheme", [ot.WithoutReplacement(2), ot.WithoutReplacement(3), ot.Hybrid(1, 3)], ids=str)
def test_sets_without_order_are_verified_exactly(scheme, rng):
    """Lists handed over in ascending order: lossless and optimal with ordered=False, biased without."""
    worst = 0.0
    for _ in range(4):
        target, draft = random_law(rng, 5), random_law(rng, 5)
        lists, law = scheme.lists(draft)
        shuffled = np.concatenate([lists[:, : scheme.top], np.sort(lists[:, scheme.top :], axis=1)], axis=1)
        rule = ot.verifier("optimal", scheme, ordered=False)
        kernel = rule.conditional(target, draft, shuffled)
        np.testing.assert_allclose(law @ kernel, target, atol=1e-12)
        accepted = law @ np.take_along_axis(kernel, shuffled, axis=1).sum(axis=1)
        assert accepted == pytest.approx(float(ot.optimal_acceptance(target, draft, scheme)), abs=1e-12)
        careless = law @ ot.verifier("optimal", scheme).conditional(target, draft, shuffled)
        worst = max(worst, float(np.abs(careless - target).sum() / 2))
    assert worst > 1e-4, "the planted bug (a sorted list read as drawing order) was not seen"


def test_a_set_is_given_an_order_of_its_own_tokens(rng):
    law = np.array([0.4, 0.3, 0.2, 0.1])
    tokens = np.array([[-1, -1, -1], [2, -1, -1], [3, 0, -1], [1, 3, 2]])
    ordered = Optimal._reordered(np.tile(law, (4, 1)), tokens, rng.random((4, 3)))
    assert [sorted(row) for row in ordered.tolist()] == [sorted(row) for row in tokens.tolist()]
    assert ((ordered >= 0) == (tokens >= 0)).all()


def test_sets_without_order_are_drawn(rng):
    target, draft, n = random_law(rng, 6), random_law(rng, 6), 6000
    scheme = ot.WithoutReplacement(3)
    rule = ot.verifier("optimal", scheme, ordered=False)
    tokens = np.sort(scheme.sample(np.broadcast_to(draft, (n, 6)), rng.random((n, 3))), axis=1)
    verdict = rule.draw(target, draft, tokens, rng.random((n, rule.num_uniforms)))
    counts = np.bincount(verdict.token, minlength=6)
    assert (np.abs(counts - n * target) <= 5 * np.sqrt(n * target * (1 - target)) + 1e-9).all()
    accepted = ot.Estimate.from_samples(verdict.slot >= 0)
    assert accepted.covers(float(ot.optimal_acceptance(target, draft, scheme)), z=5)


def test_a_long_set_is_refused():
    with pytest.raises(ot.TooLarge, match="keep the order"):
        draw_order(np.full(17, 0.05), 0.15, np.zeros(17))


def test_the_longest_set_is_ordered():
    """A table of 2^16 subsets, no more: sixteen equal tokens, the last of the remaining ones at each step."""
    order = draw_order(np.full(16, 1 / 16), 0.0, np.full(16, np.nextafter(1.0, 0.0)))
    assert order.tolist() == list(range(16))
