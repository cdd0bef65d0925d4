"""The protocol of few bits: every coin integrated exactly, its bits counted, and where epsilon ends."""

import itertools
import math

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.instances import FAMILIES, random_pair
from otspec.core.errors import BadArgument
from otspec.core.noise import Noise
from otspec.couplings.communicated import Communicated, _offer, _retry

ROUNDING = 1e-13  # sums over at most 5**2 * 4 cells


def cells(*breaks):
    """Midpoints and lengths of the intervals between breakpoints of one coin."""
    ends = np.unique(np.clip(np.concatenate([[0.0, 1.0], *map(np.ravel, breaks)]), 0, 1))
    return zip((ends[:-1] + ends[1:]) / 2, np.diff(ends), strict=True)


def integrated(rule, p, q):
    """Joint law, chance that a token is sent, and mean retries, from the steps themselves and no formula of theirs.

    The coins matter only through where they lie between breakpoints, so a sum over cells is the integral.
    """
    r, size = rule.rounded(q), len(p)
    joint, sent_mass, open_mass = np.zeros((size, size)), 0.0, np.zeros(size)
    tokens = list(cells(np.cumsum(q)))
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second, again = (np.nan_to_num(ratio, nan=0.0, posinf=1.0) for ratio in (r / q, p / r, r / p))
    for coins in itertools.product(tokens, list(cells(first)), list(cells(second))):
        (points, lengths), mass = zip(*coins, strict=True), math.prod(length for _, length in coins)
        assert len(lengths) == 3
        drafted, sent, kept = (int(part) for part in _offer(p, q, r, np.array(points)))
        sent_mass += mass * sent
        if kept:
            joint[drafted, drafted] += mass
        else:
            open_mass[drafted] += mass
    passing = np.zeros(size)
    for coins in itertools.product(list(cells(np.cumsum(p))), list(cells(again))):
        (points, _), mass = zip(*coins, strict=True), math.prod(length for _, length in coins)
        emitted, passed = _retry(p, r, np.array(points))
        passing[int(emitted)] += mass * bool(passed)
    retries = 0.0
    if open_mass.sum() > ROUNDING:
        retries = open_mass.sum() / passing.sum()  # mean of a geometric number
        joint += np.outer(passing / passing.sum(), open_mass)
    return joint, sent_mass, retries


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("epsilon", [0.003, 0.1, 1.0])
def test_marginals_agreement_and_bits_by_integration_over_the_coins(family, epsilon):
    rng, rule = np.random.default_rng(1), Communicated(epsilon)
    for size in (2, 3, 5):
        p, q = random_pair(family, size, rng)
        joint, sent, retries = integrated(rule, p, q)
        assert np.abs(joint.sum(axis=1) - p).max() < ROUNDING
        assert np.abs(joint.sum(axis=0) - q).max() < ROUNDING
        assert np.abs(joint - rule.joint(p, q)).max() < ROUNDING
        assert np.trace(joint) == pytest.approx(float(rule.agreement(p, q)), abs=ROUNDING)
        assert np.trace(joint) >= float(ot.overlap(p, q)) - epsilon - ROUNDING
        # one retry on average whatever the laws, or none where the rounded law is the target's
        assert retries == pytest.approx(1, abs=1e-9) or (retries == 0 and np.array_equal(rule.rounded(q), p))
        assert float(rule.mean_bits(sent, retries, size)) == pytest.approx(float(rule.bits(p, q)), abs=1e-7)


@pytest.mark.parametrize("planted", ["keeps too often", "retries without a test"])
def test_a_planted_bug_moves_a_marginal(planted, monkeypatch):
    rng = np.random.default_rng(5)
    p, q = random_pair("dirichlet", 5, rng)
    rule = Communicated(0.1)
    if planted == "keeps too often":
        monkeypatch.setitem(globals(), "_offer", lambda *given, right=_offer: (*right(*given)[:2], right(*given)[1]))
    else:
        monkeypatch.setitem(globals(), "_retry", lambda *given, right=_retry: (right(*given)[0], True))
    assert np.abs(integrated(rule, p, q)[0].sum(axis=1) - p).max() > 0.01


@pytest.mark.parametrize("vocabulary", [2, 5, 1000, 32_000, 151_936])
@pytest.mark.parametrize("epsilon", [1e-4, 0.01, 0.5])
def test_mean_bits_stay_below_the_bound(vocabulary, epsilon):
    target, draft = random_pair("peaked", vocabulary, np.random.default_rng(vocabulary))
    rule = Communicated(epsilon)
    assert 0 < float(rule.bits(target, draft)) <= rule.bits_bound(vocabulary)
    assert rule.bits_bound(vocabulary) == 2 * math.log2(vocabulary) + 2 * math.log2(vocabulary / epsilon) + 7
    assert float(rule.agreement(target, draft)) >= float(ot.overlap(target, draft)) - epsilon


def test_bits_of_runs_have_the_mean():
    target, draft = random_pair("dirichlet", 50, np.random.default_rng(4))
    rule = Communicated(0.05)
    runs = rule.couple(target, draft, Noise(1, np.arange(20_000)))
    assert ot.Estimate.from_samples(runs.bits).covers(float(ot.bits(rule, target, draft)))
    token, level = 6, 10  # 50 tokens, 1,000 levels
    assert set(runs.bits[runs.bits < 30].tolist()) == {2 + token + level, 2 + token + level + 1}  # kept; flag, retry


def test_equal_laws_on_the_grid_need_no_retry():
    law = np.array([0.5, 0.25, 0.25])
    rule = Communicated(0.75)  # steps of 1/4
    runs = rule.couple(law, law, Noise(0, np.arange(1000)))
    assert np.array_equal(runs.target, runs.draft)
    assert set(runs.bits.tolist()) == {2 + 2 + 2} == {int(rule.bits(law, law))}


@pytest.mark.parametrize("epsilon", [0, -0.1, 1.5, float("nan"), float("inf"), "0.1", None, True])
def test_an_epsilon_outside_its_range_is_refused(epsilon):
    with pytest.raises(BadArgument, match="epsilon"):
        Communicated(epsilon)


def test_an_epsilon_whose_levels_cannot_be_counted_is_refused():
    rule = Communicated(1e-16)
    for call in (rule.agreement, rule.joint, rule.bits, lambda p, q: rule.couple(p, q, Noise(0, 0))):
        with pytest.raises(BadArgument, match=r"epsilon.*levels.*Fix"):
            call([0.5, 0.5], [0.5, 0.5])
    assert float(Communicated(1e-15).agreement([0.5, 0.5], [0.5, 0.5])) > 1 - 1e-14


def test_bits_of_others():
    assert ot.bits("gumbel", np.full((2, 3, 4), 0.25), np.full((2, 3, 4), 0.25)).tolist() == [[0.0] * 3] * 2
    with pytest.raises(BadArgument, match="no message is defined"):
        ot.bits("maximal", [1.0], [1.0])
