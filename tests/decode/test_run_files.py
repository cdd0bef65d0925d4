"""Runs on disk, runs put together, acceptance by depth."""

import json

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile
from otspec.core.estimate import Estimate
from otspec.core.storage import map_arrays, write_arrays
from otspec.decode.measure import DecodeRun

ACCEPTED = np.array([[2, 0, 1], [0, 2, 2], [-1, 1, -1]])
PREDICTED = np.array([[1.25, 0.1, 1 / 3], [0.5, 1.0, 2.0], [0.0, 0.7, 0.0]])
SETTINGS = {"verifier": "block", "draft_length": 3, "temperature": 0.1, "top_k": None, "read": {"target": "together"}}


def run(predicted=PREDICTED, **changes):
    given = {"settings": SETTINGS, "seconds": 1.5, "timing": {"draft": 0.5, "target": 1.0}, "peak_bytes": 1 << 40}
    return DecodeRun([[1, 2, 3, 4], [5], [6, 7]], ACCEPTED, predicted, **(given | changes))


def same(one, other):
    assert one.tokens == other.tokens
    np.testing.assert_array_equal(one.accepted, other.accepted)
    assert one.accepted.dtype == other.accepted.dtype
    assert (one.predicted is None) == (other.predicted is None)
    if one.predicted is not None:
        np.testing.assert_array_equal(one.predicted, other.predicted)
    for name in ("settings", "seconds", "timing", "peak_bytes"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize("predicted", [PREDICTED, None])
def test_a_saved_run_is_the_same(tmp_path, predicted):
    run(predicted).save(tmp_path / "run.safetensors")
    same(DecodeRun.load(tmp_path / "run.safetensors"), run(predicted))


def test_numbers_of_numpy_are_written_as_numbers(tmp_path):
    run(settings={"top_k": np.int64(3)}).save(tmp_path / "a")
    assert DecodeRun.load(tmp_path / "a").settings == {"top_k": 3}
    with pytest.raises(TypeError, match="JSON"):
        run(settings={"verifier": object()}).save(tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_what_is_no_run(tmp_path):
    with pytest.raises(BadFile, match="no such file"):
        DecodeRun.load(tmp_path / "none")
    write_arrays(tmp_path / "other", [{"x": np.zeros(2)}], {"format": "otspec trace 1"})
    with pytest.raises(BadFile, match="otspec trace 1"):
        DecodeRun.load(tmp_path / "other")
    run().save(tmp_path / "run")
    content = (tmp_path / "run").read_bytes()
    (tmp_path / "cut").write_bytes(content[:-3])
    with pytest.raises(BadFile, match="truncated"):
        DecodeRun.load(tmp_path / "cut")


def test_the_file_is_plain(tmp_path):
    run().save(tmp_path / "run")
    arrays, metadata = map_arrays(tmp_path / "run")
    assert {name: str(array.dtype) for name, array in arrays.items()} == {
        "accepted": "int32", "lengths": "int32", "predicted": "float64", "tokens": "int32"}
    assert json.loads(metadata["run"])["settings"] == SETTINGS


def test_runs_are_put_together():
    short = DecodeRun([[9]], np.array([[3]]), np.array([[2.5]]), SETTINGS | {"batch_size": 2}, 0.5,
                      {"draft": 0.25, "target": 0.25}, 5)
    both = DecodeRun.joined([short, run(settings=SETTINGS | {"batch_size": 3})])
    assert both.tokens == [[9], [1, 2, 3, 4], [5], [6, 7]]
    assert both.accepted.tolist() == [[3, 2, 0, 1], [-1, 0, 2, 2], [-1, -1, 1, -1]]
    assert both.predicted[:, 0].tolist() == [2.5, 0, 0]
    assert both.settings == SETTINGS
    assert (both.seconds, both.timing, both.peak_bytes) == (2.0, {"draft": 0.75, "target": 1.25}, 1 << 40)
    assert DecodeRun.joined([run(), run(None)]).predicted is None
    with pytest.raises(BadArgument, match="none were given"):
        DecodeRun.joined([])


def test_acceptance_by_depth():
    table = run().profile()
    assert table.column("position") == [1, 2, 3]
    # seven rounds: two keep nothing, two keep one draft, three keep two
    assert table.column("unconditional") == [pytest.approx(5 / 7), pytest.approx(3 / 7), 0]
    assert table.column("conditional") == [pytest.approx(5 / 7), pytest.approx(3 / 5), 0]
    assert table.column("rounds") == [7, 5, 3]
    # over sequences: rounds that keep two or more, among rounds that keep one or more
    expected = Estimate.from_ratio([1, 1, 1], [1, 2, 2])
    assert table.rows[1]["conditional_stderr"] == expected.stderr
    assert table.rows[1]["unconditional_stderr"] == Estimate.from_ratio([1, 1, 1], [2, 3, 2]).stderr


def test_depths_that_no_round_reached():
    table = run(settings={"draft_length": 5}).profile()
    assert table.column("conditional")[2:] == [0, None, None]
    assert table.column("unconditional")[2:] == [0, 0, 0]
    assert len(DecodeRun([[1], [2]], np.zeros((1, 2), int), None, {"draft_length": 0}).profile()) == 0


def test_one_row_a_round():
    table = run().round_table()
    assert [tuple(row.values()) for row in table.rows] == [
        (0, 0, 2, 1.25), (0, 1, 0, 0.5), (1, 0, 0, 0.1), (1, 1, 2, 1.0), (1, 2, 1, 0.7), (2, 0, 1, 1 / 3),
        (2, 1, 2, 2.0)]
    assert run(None).round_table().column("predicted") == [None] * 7
