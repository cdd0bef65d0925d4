"""Watermarks: laws kept, closed forms against simulation, p-values that are uniform without the seed, bad input."""

import numpy as np
import pytest
from scipy import stats

import otspec as ot
from otspec.analysis.instances import random_pair
from otspec.analysis.watermark import (
    _scores,
    detect_watermark,
    keyed_rejection,
    keyed_strength,
    race_strength,
)
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.noise import Noise

N = 60_000


def laws(seed=3, size=6):
    return random_pair("dirichlet", size, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ["gumbel", "list_gumbel"])
def test_strength_of_the_race_is_what_sampling_finds_whatever_the_number_of_sheets(name):
    target, _ = laws()
    rule, noise = ot.coupling(name), Noise(5, np.arange(N))
    scores = _scores(rule.select(target, noise), noise, rule.num_drafts, None)
    assert ot.Estimate.from_samples(scores - 1).covers(float(race_strength(target)))
    assert float(race_strength(target)) > 0.3


def test_keyed_rejection_is_speculative_decoding():
    target, draft = laws()
    token, kept = keyed_rejection(target, draft, Noise(2, np.arange(N)))
    assert stats.chisquare(np.bincount(token, minlength=6), target * N).pvalue > 1e-5
    assert ot.Estimate.from_samples(kept).covers(float(ot.overlap(target, draft)))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.8, 1.0])
def test_strength_of_keyed_rejection_is_what_sampling_finds(threshold):
    for seed in (3, 4):
        target, draft = laws(seed)
        noise = Noise(2, np.arange(N))
        scores = _scores(keyed_rejection(target, draft, noise)[0], noise, 1, threshold)
        assert ot.Estimate.from_samples(scores - 1).covers(float(keyed_strength(target, draft, threshold)))


def test_equal_laws_make_keyed_rejection_the_race():
    target, _ = laws()
    assert float(keyed_strength(target, target, 1.0)) == pytest.approx(float(race_strength(target)), abs=1e-13)


@pytest.mark.parametrize("kind", [{}, {"num_drafts": 3}, {"threshold": 0.6}])
def test_without_the_seed_p_values_are_uniform(kind):
    text = np.random.default_rng(0).integers(6, size=40)
    values = [detect_watermark(text, Noise(seed, np.arange(40)), **kind).p_value for seed in range(800)]
    assert stats.kstest(values, "uniform").pvalue > 1e-3


def test_a_hundred_tokens_betray_the_seed():
    target, draft = laws(size=20)
    noise = Noise(9, np.arange(50, 150))
    texts = {1: ot.coupling("gumbel").select(target, noise), 4: ot.coupling("list_gumbel").select(target, noise)}
    for sheets, text in texts.items():
        assert detect_watermark(text, noise, num_drafts=sheets).p_value < 1e-9
        assert detect_watermark(text, Noise(10, np.arange(50, 150)), num_drafts=sheets).p_value > 1e-4
        assert detect_watermark(text, Noise(9, np.arange(100)), num_drafts=sheets).p_value > 1e-4  # moved
    token, _ = keyed_rejection(target, draft, noise)
    assert detect_watermark(token, noise, threshold=0.6).p_value < 1e-6


def test_bad_input():
    text = np.array([1, 2, 3])
    with pytest.raises(BadArgument, match="occurs twice"):
        detect_watermark(text, Noise(0, np.array([4, 5, 4])))
    for noise in (Noise(0, 0), Noise(0, np.arange(4))):
        with pytest.raises(ShapeMismatch, match="positions"):
            detect_watermark(text, noise)
    with pytest.raises(ShapeMismatch, match="no text"):
        detect_watermark(text[:0], Noise(0, np.arange(0)))
    with pytest.raises(BadArgument, match="-1"):
        detect_watermark([1, -1], Noise(0, np.arange(2)))
    for threshold in (-0.1, 1.1, float("nan"), "0.5"):
        with pytest.raises(BadArgument, match="threshold"):
            detect_watermark(text, Noise(0, np.arange(3)), threshold=threshold)
    for count in (0, 1.5):
        with pytest.raises(BadArgument, match="num_drafts"):
            detect_watermark(text, Noise(0, np.arange(3)), num_drafts=count)
    with pytest.raises(ShapeMismatch, match="vocabularies"):
        keyed_rejection([1.0], [0.5, 0.5], Noise(0, 0))


@pytest.mark.parametrize(("noise", "more", "says"), [
    (None, {}, "noise: NoneType is no Noise"), (Noise(0, np.arange(2)), {"num_drafts": 3, "threshold": 0.5},
                                                "num_drafts: 3 beside a threshold")])
def test_what_would_be_ignored_is_refused(noise, more, says):
    with pytest.raises(BadArgument, match=says):
        detect_watermark([1, 2], noise, **more)
