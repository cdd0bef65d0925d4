"""Goodput: the best lengths of a batch against all lengths, and the fit of the time model."""

import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.policies.length import Goodput, StepTime, TimeModel, phase_diagram
from otspec.policies.length.goodput import best_lengths


def by_hand(gains, lengths, times):
    """Tokens over seconds, step by step."""
    seconds = times.target(sum(lengths) + len(lengths)) + times.round(sum(lengths) + len(lengths))
    for step in range(max(lengths)):
        seconds += times.draft(sum(length > step for length in lengths))
    return sum(1 + sum(row[:length]) for row, length in zip(gains, lengths, strict=True)) / seconds


@pytest.mark.parametrize("seed", range(12))
def test_lengths_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    gains = np.cumprod(rng.random((3, 3)) ** rng.choice([0.2, 1.0]), axis=1)
    times = TimeModel(StepTime(*rng.exponential([0.1, 0.02])), StepTime(*rng.exponential([1.0, 0.1])),
                      StepTime(*rng.exponential([0.05, 0.01])))
    lengths, goodput = best_lengths(gains, times)
    every = {way: by_hand(gains, way, times) for way in itertools.product(range(4), repeat=3)}
    assert goodput == pytest.approx(max(every.values()), rel=1e-12)
    assert every[tuple(lengths.tolist())] == pytest.approx(goodput, rel=1e-12)


def test_the_best_lengths_of_these_batches_differ_between_texts_and_may_be_zero():
    times = TimeModel(StepTime(0.1, 0.01), StepTime(1.0, 0.15))
    lengths = Goodput(times, 8, max_length=6).lengths_for([0.05, 0.3, 0.6, 0.8, 0.9, 0.95, 0.99, 1.0])
    assert (np.diff(lengths) >= 0).all()
    assert lengths[0] == 0
    assert lengths[-1] == 6


def test_larger_batches_and_lower_acceptance_draft_less():
    times = TimeModel(StepTime(0.1, 0.01), StepTime(1.0, 0.05))
    table = phase_diagram(times, (1, 4, 16, 64), (0.2, 0.5, 0.8, 0.95))
    grid = np.array(table.column("length")).reshape(4, 4)
    assert (np.diff(grid, axis=0) <= 0).all()
    assert (np.diff(grid, axis=1) >= 0).all()
    assert grid.min() == 0
    assert grid.max() > 4
    assert all((row["speedup"] == 1) == (row["length"] == 0) for row in table.rows)


def test_as_a_policy_it_drafts_the_best_length():
    rng = np.random.default_rng(3)
    target, draft = (ot.MarkovModel(rng.dirichlet(np.ones(4), 4)) for _ in range(2))
    blocks = ot.toy_blocks(target, draft, 4)
    times = TimeModel(StepTime(0.1, 0.0), StepTime(1.0, 0.0))
    policy = Goodput(times, 1, max_length=4).fitted(blocks, draft_cost=1.0)
    assert policy.acceptance == pytest.approx(blocks.profile.tolist())
    costs = [ot.length_policy("fixed", length=n).predict(blocks, draft_cost=0.1).cost_per_token.mean for n in range(5)]
    assert (policy.lengths(blocks) == int(np.argmin(costs))).all()
    assert policy.goodput == pytest.approx(1 / min(costs))


def test_a_time_model_is_found_again_from_its_own_times():
    true = TimeModel(StepTime(0.002, 1e-4), StepTime(0.01, 3e-4), StepTime(1e-3, 0.0))
    rows = [{"part": part, "tokens": tokens, "seconds": getattr(true, part)(tokens), "least": 1.0}
            for part in ("draft", "target", "round") for tokens in (1, 4, 16, 64)]
    found = TimeModel.fit(ot.Table(rows))
    for part in ("draft", "target", "round"):
        one, other = getattr(found, part), getattr(true, part)
        assert (one.fixed, one.per_token) == pytest.approx((other.fixed, other.per_token), abs=1e-12)
    assert found.seconds([3, 0, 1]) == pytest.approx(true.draft(2) + 2 * true.draft(1) + true.target(7)
                                                     + true.round(7))
    assert TimeModel.fit(ot.Table(rows), column="least").target(9) == pytest.approx(1.0)
    lined = StepTime.fit([1, 2, 4, 8], [3.0, 4.5, 6.0, 11.0], context=[0, 5, 0, 10])
    assert (lined.fixed, lined.per_token, lined.per_context) == pytest.approx((2, 1, 0.1))


def test_bad_arguments():
    times = TimeModel(StepTime(0.1, 0.0), StepTime(1.0, 0.0))
    with pytest.raises(BadArgument, match="lacks times"):
        _ = Goodput().length
    with pytest.raises(BadArgument, match="lacks acceptance"):
        _ = Goodput(times).length
    with pytest.raises(BadArgument, match="2 chances for max_length=3"):
        Goodput(times, acceptance=(0.5, 0.2), max_length=3)
    with pytest.raises(BadArgument, match="batch_size"):
        Goodput(times, 0)
    for call in (lambda: phase_diagram(None, [1], [0.5]), lambda: best_lengths([[0.5]], 3), lambda: Goodput(3)):
        with pytest.raises(BadArgument, match="no TimeModel"):
            call()
    with pytest.raises(BadArgument, match="no StepTime"):
        TimeModel(0.1, StepTime(1.0, 0.0))
    with pytest.raises(BadArgument, match="falling"):
        best_lengths([[0.2, 0.5]], times)
    with pytest.raises(ShapeMismatch, match="max_length"):
        best_lengths([0.5], times)
    for part in ({"fixed": -1.0, "per_token": 0.0}, {"fixed": 1.0, "per_token": float("nan")}):
        with pytest.raises(BadArgument, match="seconds of a step"):
            StepTime(**part)
    with pytest.raises(BadArgument, match="two sizes"):
        StepTime.fit([4, 4], [1.0, 1.1])
    with pytest.raises(BadArgument, match="positive and finite"):
        StepTime.fit([1, 4], [1.0, float("nan")])
    with pytest.raises(BadArgument, match="no rows of draft"):
        TimeModel.fit(ot.Table([{"part": "target", "tokens": t, "seconds": 1.0} for t in (1, 2)]))
