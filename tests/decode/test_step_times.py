"""Timed rounds: what is counted, on a clock that ticks by itself."""

import itertools

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.step_times import Round, measure_steps, step_rows, timed_rounds  # noqa: E402
from otspec.policies.length import TimeModel  # noqa: E402
from tests.decode import tiny  # noqa: E402

PROMPTS = [[1, 2, 3], [4, 5, 6]]


def test_parts_add_up_and_all_texts_stay():
    ticks = itertools.count()
    timed = timed_rounds(tiny.pair(size=8), PROMPTS, batch_size=3, draft_length=2, rounds=5, clock=lambda: next(ticks))
    assert len(timed) == 5
    assert [two.context - one.context for one, two in itertools.pairwise(timed)] == [one.tokens for one in timed[:-1]]
    for one in timed:
        assert 3 <= one.tokens <= 9
        # each part is one interval of the clock, the rule's included in the rest; before and between lies bookkeeping
        assert (one.draft, one.target) == (1, 1)
        assert one.seconds == one.draft + one.target + one.round
        assert one.round > 1


def test_plain_sampling_drafts_nothing():
    timed = timed_rounds(tiny.pair(size=8), PROMPTS, batch_size=4, draft_length=0, rounds=3)
    assert {one.tokens for one in timed} == {4}
    assert all(one.target > 0 for one in timed)


def test_rows_count_tokens_and_steps():
    timed = [Round(0.3, 1.0, 0.1, 9, 40), Round(0.6, 3.0, 0.2, 8, 50), Round(0.9, 2.0, 0.3, 7, 60)]
    rows = list(step_rows(4, 3, timed))
    assert [(row["part"], row["tokens"]) for row in rows] == [("draft", 4), ("target", 16), ("round", 16)]
    assert [row["seconds"] for row in rows] == pytest.approx([0.2, 2.0, 0.2])
    assert {row["context"] for row in rows} == {50}
    assert [row["least"] for row in rows] == pytest.approx([0.1, 1.0, 0.1])
    assert [row["part"] for row in step_rows(4, 0, [Round(0, 1.0, 0.1, 4, 9)])] == ["target", "round"]


def test_the_table_is_what_the_time_model_reads():
    steps = measure_steps(tiny.pair(size=8), PROMPTS, batch_sizes=(1, 4), draft_lengths=(0, 2), rounds=2, repeats=1)
    assert {row["tokens"] for row in steps.rows if row["part"] == "target"} == {1, 3, 4, 12}
    times = TimeModel.fit(steps)
    assert times.seconds([2, 2]) > times.seconds([0, 0]) > 0
    assert ot.measure_steps is measure_steps


def test_the_largest_seed_may_be_visited_again():
    steps = measure_steps(tiny.pair(size=8), PROMPTS, batch_sizes=(1, 2), draft_lengths=(1,), rounds=1, repeats=2,
                          seed=2**64 - 1)
    assert {row["rounds"] for row in steps.rows} == {2}


def test_bad_arguments():
    with pytest.raises(BadArgument, match="two batch sizes"):
        measure_steps(tiny.pair(size=8), PROMPTS, batch_sizes=(4,))
    with pytest.raises(BadArgument, match="one length above 0"):
        measure_steps(tiny.pair(size=8), PROMPTS, draft_lengths=(0,))
    with pytest.raises(BadArgument, match="batch_size"):
        timed_rounds(tiny.pair(size=8), PROMPTS, batch_size=0, draft_length=1)
