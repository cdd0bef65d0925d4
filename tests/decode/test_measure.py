"""What a run reports: the paired error, and certain disagreement."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from otspec.decode.measure import DecodeRun


def test_the_paired_error_is_that_of_the_difference():
    rng = np.random.default_rng(0)
    predicted = rng.random((40, 30)) * 3
    accepted = np.rint(predicted + 0.1 * rng.normal(size=predicted.shape)).clip(0).astype(int)
    run = DecodeRun([[0]] * 30, accepted, predicted)
    per_sequence = (accepted - predicted).mean(axis=0)
    assert run.difference.mean == pytest.approx(per_sequence.mean())
    assert run.difference.stderr == pytest.approx(per_sequence.std(ddof=1) / np.sqrt(30))
    quotient = run.difference.mean / run.difference.stderr
    assert norm.sf(run.z_score) == pytest.approx(student.sf(quotient, 29), rel=1e-9)


def test_few_sequences_raise_as_few_alarms_as_many():
    rng, runs = np.random.default_rng(1), 4000
    drawn = rng.binomial(3, 0.5, size=(runs, 8, 6))
    scores = [DecodeRun([[0]] * 6, kept, np.full((8, 6), 1.5)).z_score for kept in drawn]
    alarms = np.mean(np.abs(scores) > 2)
    # 5 standard errors of a share of 4,000; the quotient itself exceeds 2 in 10.2 % of runs at 5 degrees of freedom
    assert abs(alarms - 2 * norm.sf(2)) < 5 * np.sqrt(0.0455 * 0.9545 / runs)


def test_certain_disagreement_is_infinite():
    ones = np.ones((3, 2), dtype=int)
    assert DecodeRun([[0]] * 2, ones, 0.5 * ones).z_score == np.inf
    assert DecodeRun([[0]] * 2, ones, 1.0 * ones).z_score == 0


def test_a_single_text_gives_numbers_whose_error_is_unknown():
    run = DecodeRun([[5, 6, 7, 8]], np.array([[1], [2]]), np.array([[0.75], [1.5]]))
    assert (run.block_efficiency.mean, run.predicted_efficiency.mean) == (2.5, 2.125)
    assert str(run.block_efficiency) == "2.5000 (n=1: no standard error)"
    assert run.block_efficiency.covers(100.0)  # nothing is excluded by an unknown error
    assert np.isnan(run.z_score)
    assert DecodeRun([[5]], np.array([[1]]), np.array([[1.0]])).z_score == 0
    row = run.profile().rows[0]
    assert (row["conditional"], row["conditional_stderr"]) == (1.0, None)
    assert "no standard error" in run._repr_html_()
    assert "cut rounds in full" in run._repr_html_()
    pytest.importorskip("matplotlib")
    assert run.plot().get_title() == "2.500 tokens per call, 2.125 predicted"
