"""Curves of the look-ahead rule: averages by hand, what a curve must be, and where the shipped ones come from."""

import numpy as np
import pytest

import otspec
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch
from otspec.verifiers.block.lookahead_block import LookaheadBlock
from otspec.verifiers.block.lookahead_curve import (
    POCKET_STEPS,
    ROUNDING,
    average_curves,
    checked_curve,
    checked_curves,
    pocket_curves,
    power_curve,
)

EXACT = 1e-12  # sums of a few dozen products


def test_the_power_is_taken_at_equidistant_knots():
    assert power_curve(3, 5).tolist() == [0.0, 1 / 64, 1 / 8, 27 / 64, 1.0]


def test_the_average_of_two_contexts_by_hand():
    """Two drafts of the first context win with the lower ratio at least .75^2 of the time; the second is its draft."""
    target, draft = [[0.5, 0.5], [0.2, 0.8]], [[0.25, 0.75], [0.2, 0.8]]
    found = average_curves(target, draft, [2], knots=5)
    assert set(found) == {2}
    assert np.allclose(found[2], (np.array([0.0, 0.1875, 0.375, 0.5625, 1.0]) + np.arange(5) / 4) / 2, atol=EXACT)
    # the order of the contexts and laws that sum to one but for a rounding change nothing
    again = average_curves(np.array(target)[::-1] * (1 + 1e-8), np.array(draft)[::-1], [2], knots=5)
    assert np.allclose(again[2], found[2], atol=1e-7)


def test_averages_unless_said_otherwise():
    found = average_curves([[0.5, 0.5]], [[0.25, 0.75]])
    assert list(found) == [2, 3, 4]
    assert {curve.size for curve in found.values()} == {33}
    for draws, curve in found.items():
        at = np.linspace(0, 1, 33)
        least = max(0.5, 0.75**draws)  # at three quarters, where the first token ends
        assert np.allclose(curve, np.interp(at, [0, 0.75, 1], [0, least, 1]).clip(power_curve(draws)), atol=EXACT)


@pytest.mark.parametrize(("target", "draft", "draws", "error", "match"), [
    ([[0.5, 0.6]], [[0.5, 0.5]], [2], NotALaw, "target"), ([[0.5, 0.5]], [[0.5, 0.6]], [2], NotALaw, "draft"),
    ([[0.5, 0.5]], [[0.2, 0.3, 0.5]], [2], ShapeMismatch, "draft"),
    ([[0.5, 0.5]], [[0.5, 0.5]], [2, 0], BadArgument, "draws"),
])
def test_contexts_that_are_refused(target, draft, draws, error, match):
    with pytest.raises(error, match=match):
        average_curves(target, draft, draws)


def test_the_shipped_curves_are_the_averages_over_the_bundled_contexts():
    trace = otspec.load_trace("pocket")
    shipped = pocket_curves()
    for draws, curve in average_curves(trace.target, trace.draft, POCKET_STEPS).items():
        assert np.abs(np.diff(curve) * 1e5 - POCKET_STEPS[draws]).max() <= 0.5  # kept as whole numbers
        assert np.allclose(shipped[draws], curve, atol=33 * 0.5e-5)
    assert set(shipped) == {2, 3, 4, 5, 6, 8}


def test_what_rounding_may_do_is_mended_and_more_is_refused():
    """Steps out of order, an end beside 1 and a dip below the power, each by as much as is allowed."""
    many = 4000  # u^n is 0 at every inner knot
    for curve in ([0.0, 0.0, 1.0 + 0.9 * ROUNDING], [0.0, 0.0, 1.0 - 0.9 * ROUNDING], [0.0, ROUNDING / 2, 0.0, 1.0],
                  [0.0, -ROUNDING, 1.0]):
        mended = checked_curve(curve, many)
        assert (mended[0], mended[-1]) == (0.0, 1.0)
        assert np.all(np.diff(mended) >= 0)
        assert np.all(np.diff(mended, 2) >= 0)
        assert np.allclose(mended, curve, atol=2 * ROUNDING)
    for curve in ([0.0, 0.0, 1.0 + 1.1 * ROUNDING], [0.0, 0.0, 1.0 - 1.1 * ROUNDING]):
        with pytest.raises(BadArgument, match="from 0 to 1"):
            checked_curve(curve, many)
    for curve in ([0.0, 0.6 * ROUNDING, 0.0, 1.0], [0.0, -1.1 * ROUNDING, 1.0]):
        with pytest.raises(BadArgument, match=f"not convex, or below u.{many} at some knot"):
            checked_curve(curve, many)


def test_a_straight_line_of_two_knots_is_a_curve():
    assert checked_curve(np.array([0.0, 1.0]), 1).tolist() == [0.0, 1.0]


@pytest.mark.parametrize(("curve", "says"), [
    ([0.1, 0.5, 1.0], r"curves\[2\]: \(3,\) values from \[0\.1\] to \[1\.\]"),
    ([0.0, 0.5, 0.9], r"curves\[2\]: \(3,\) values from \[0\.\] to \[0\.9\]"),
    ([-0.1, 0.5, 1.0], r"from \[-0\.1\] to"), ([1.0], r"\(1,\) values from \[1\.\] to \[1\.\]"), ([], r"\(0,\) values"),
    ([[0.0, 1.0]], r"\(1, 2\) values from \[0\.\] to \[1\.\]"), (0.0, r"\(\) values from \[0\.\]"),
])
def test_curves_that_do_not_go_from_0_to_1_are_refused_by_number(curve, says):
    with pytest.raises(BadArgument, match=says):
        checked_curve(curve, 2)


def test_curves_have_one_number_of_knots():
    with pytest.raises(BadArgument, match=r"curves: \[3, 5\] knots"):
        checked_curves({2: power_curve(2, 5), 3: power_curve(3, 3), 4: power_curve(4, 5)})
    assert checked_curves({}) == {}
    assert LookaheadBlock(3, curves={3: power_curve(3, 5)}).curve(2).tolist() == power_curve(2, 5).tolist()
    assert LookaheadBlock(3, curves={}).curve(4).tolist() == power_curve(4, 33).tolist()
