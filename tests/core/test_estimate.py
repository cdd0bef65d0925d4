import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

import otspec as ot
from otspec.core.estimate import critical, normal_score, ratio_of


def test_samples_give_mean_and_standard_error():
    estimate = ot.Estimate.from_samples([0.0, 1.0, 1.0, 0.0])
    assert estimate.mean == 0.5
    assert estimate.stderr == pytest.approx(np.sqrt(1 / 3) / 2)
    assert estimate.n == 4
    assert estimate.dof == 3
    margin = student.isf(norm.sf(1.0), 3) * estimate.stderr
    assert estimate.interval(1.0) == pytest.approx((0.5 - margin, 0.5 + margin))


@pytest.mark.parametrize("dof", [1, 2, 5, 63, 1000, 1e7])
def test_scores_have_the_tails_of_students_t(dof):
    for z in (0.0, 0.5, 2.0, -3.0, 5.0, 8.0):
        t = critical(z, dof)
        assert student.logsf(t, dof) == pytest.approx(norm.logsf(z), rel=1e-6)
        assert normal_score(t, dof) == pytest.approx(z, abs=1e-6)
    assert critical(3.0, None) == normal_score(3.0, None) == 3.0
    assert normal_score(np.inf, dof) == np.inf


def test_scores_beyond_the_floats_stay_finite_ordered_and_inverse():
    # 37 is where the normal tail leaves the floats; the two formulas must meet there
    for dof in (200, 10_000):
        scores = [normal_score(t, dof) for t in (40.0, 60.0, 90.0, 1e3, 1e6)]
        assert np.all(np.diff(scores) > 0)
        assert np.isfinite(scores).all()
        assert normal_score(critical(-50.0, dof), dof) == pytest.approx(-50.0, rel=1e-12)
        near = [normal_score(critical(z, dof), dof) for z in (36.0, 36.5, 37.0)]
        assert near == pytest.approx([36.0, 36.5, 37.0], rel=1e-3)


def test_a_margin_beyond_the_floats_is_infinite_unless_there_is_no_spread():
    # of 3 degrees of freedom the bounds leave the floats near 42.7 standard errors
    bounds = [critical(z, 3) for z in np.linspace(42, 43, 500)]
    assert bounds == sorted(bounds)
    assert (np.isfinite(bounds[0]), bounds[-1], critical(-45.0, 3)) == (True, np.inf, -np.inf)
    assert ot.Estimate(0.5, 1e-9, 4, 3).margin(50) == np.inf
    assert ot.Estimate(0.5, 0.0, 4, 3).margin(50) == 0.0


def test_few_samples_cover_as_often_as_many(rng):
    inside = [ot.Estimate.from_samples(rng.normal(size=4)).covers(0.0, z=2) for _ in range(4000)]
    # 95.45 % +- 5 standard errors; two estimated standard errors would cover 86 %
    assert abs(np.mean(inside) - 0.9545) < 5 * np.sqrt(0.0455 * 0.9545 / 4000)


def test_a_mean_of_groups_has_welchs_degrees_of_freedom():
    even, lone = (ot.Estimate.from_groups([0.0, 1.0], errors, 10) for errors in ([0.3, 0.3], [0.3, 0.0]))
    assert (even.mean, even.n, even.dof) == (0.5, 20, pytest.approx(18))
    assert even.stderr == pytest.approx(0.3 * np.sqrt(2) / 2)
    assert lone.dof == pytest.approx(9)
    uneven = ot.Estimate.from_groups([0.0, 1.0], [0.3, 0.1], 10)
    assert uneven.dof == pytest.approx(9 * (0.09 + 0.01) ** 2 / (0.09**2 + 0.01**2))
    assert uneven.stderr == pytest.approx(np.sqrt(0.1) / 2)
    assert ot.Estimate.from_groups([1.0, 2.0], [0.0, 0.0], 10) == ot.Estimate(1.5, 0.0, 20)


def test_a_score_is_the_distance_in_standard_errors():
    assert ot.Estimate(0.5, 0.25, 100).score(1.0) == -2.0
    assert ot.Estimate(0.5, 0.25, 100).score(0.5) == 0.0
    assert ot.Estimate(0.5, 0.25, 6, 5).score(-0.25) == pytest.approx(normal_score(3.0, 5))
    assert (ot.Estimate(0.5).score(0.25), ot.Estimate(0.5).score(0.5)) == (np.inf, 0.0)


def test_numbers_left_out_are_the_usual_ones():
    estimate = ot.Estimate(0.5, 0.25, 100)
    assert estimate.score() == estimate.score(0.0) == 2.0
    assert estimate.margin() == estimate.margin(1.96) == 0.49
    assert estimate.interval() == estimate.interval(1.96)
    assert [estimate.covers(0.5 + gap) for gap in (1.2499, -1.2499, 1.2501)] == [True, True, False]
    assert ot.Estimate(2.0) == ot.Estimate(2.0, 0.0, None, None)


@pytest.mark.parametrize("exact", [0.0, 1.0, 1e3])
def test_rounding_is_covered_and_no_more(exact):
    covered = [ot.Estimate(exact + gap * 1e-12 * max(1.0, exact)).covers(exact) for gap in (0.8, -0.8, 1.2, -1.2)]
    assert covered == [True, True, False, False]


@pytest.mark.parametrize("name", ["mean", "stderr", "n", "dof"])
@pytest.mark.parametrize("value", ["4", True, [1.0]])
def test_what_is_no_number_is_named(name, value):
    with pytest.raises(ot.BadArgument, match=rf"^{name}: .* is no number but a {type(value).__name__}"):
        ot.Estimate(**{"mean": 0.5, name: value})


def test_an_exact_value_covers_itself_only():
    exact = ot.Estimate(0.25)
    assert exact.covers(0.25)
    assert not exact.covers(0.2501)
    assert float(exact) == 0.25
    assert str(exact) == "0.25"
    assert "n=4" in str(ot.Estimate.from_samples([0.0, 1.0, 1.0, 0.0]))


def test_coverage_is_what_the_normal_law_promises(rng):
    inside = [ot.Estimate.from_samples(rng.random(200)).covers(0.5, z=2) for _ in range(400)]
    assert 0.91 < np.mean(inside) < 0.99  # 95.4 % +- 5 standard errors of 400 trials, Student's tails included


def test_ratio_of_tokens_to_calls_has_a_standard_error(rng):
    calls = rng.integers(5, 15, 400)
    tokens = calls * 3 + rng.normal(size=400)
    ratio = ot.Estimate.from_ratio(tokens, calls)
    assert ratio.covers(3.0)
    assert ratio.stderr == pytest.approx(1 / (10 * 20), rel=0.2)


def test_two_units_are_enough():
    assert ot.Estimate.from_samples([0.0, 1.0]) == ot.Estimate(0.5, 0.5, 2, 1)
    ratio = ot.Estimate.from_ratio([0.5, 0.25], [0.25, 0.25])
    # top - ratio * bottom is (1/8, -1/8), whose standard deviation is 1/8 of sqrt 2
    assert (ratio.mean, ratio.stderr, ratio.n, ratio.dof) == (1.5, pytest.approx(0.5), 2, 1)
    assert ratio_of(np.array([0.5, 0.25]), np.array([0.25, 0.25])) == ratio
    assert ratio_of(np.array([0.5]), np.array([0.25])) == ot.Estimate(2.0, np.inf, 1)


@pytest.mark.parametrize("make", [lambda: ot.Estimate.from_samples([1.0]), lambda: ot.Estimate.from_ratio([1.0], [1.0]),
                                  lambda: ot.Estimate.from_ratio([1.0, 2.0], [1.0])])
def test_too_few_samples_are_refused(make):
    with pytest.raises(ot.BadArgument, match="Fix"):
        make()


def test_a_ratio_by_nothing_is_refused():
    for bottom in ([0, 0], [1, -1], [float("nan"), 1]):
        with pytest.raises(ot.BadArgument, match=r"denominator: sums to .* Fix"):
            ot.Estimate.from_ratio([1, 1], bottom)
