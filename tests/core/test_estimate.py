import numpy as np
import pytest

import otspec as ot


def test_samples_give_mean_and_standard_error():
    estimate = ot.Estimate.from_samples([0.0, 1.0, 1.0, 0.0])
    assert estimate.mean == 0.5
    assert estimate.stderr == pytest.approx(np.sqrt(1 / 3) / 2)
    assert estimate.n == 4
    assert estimate.interval(1.0) == pytest.approx((0.5 - estimate.stderr, 0.5 + estimate.stderr))


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


@pytest.mark.parametrize("make", [lambda: ot.Estimate.from_samples([1.0]), lambda: ot.Estimate.from_ratio([1.0], [1.0]),
                                  lambda: ot.Estimate.from_ratio([1.0, 2.0], [1.0])])
def test_too_few_samples_are_refused(make):
    with pytest.raises(ot.BadArgument, match="Fix"):
        make()
