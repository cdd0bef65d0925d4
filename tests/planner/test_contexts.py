"""Calibration and held-out contexts share no text."""

import pytest

from otspec.core.errors import BadArgument
from otspec.planner.contexts import FEWEST, split


def texts(count, start=0):
    return [[n, 1, 2] for n in range(start, start + count)]


def test_every_context_is_on_one_side():
    sides = split(texts(60))
    assert len(sides.calibration) == 20
    assert sorted(sides.calibration + sides.held_out) == texts(60)


def test_copies_and_beginnings_stay_together():
    longer = [[*text, 7, 8] for text in texts(60)]
    sides = split(longer + texts(60) + texts(60))
    heads = [{tuple(text[:3]) for text in side} for side in sides]
    assert not heads[0] & heads[1]
    assert sum(map(len, sides)) == 120  # copies count once


@pytest.mark.parametrize("count", [1, FEWEST, 3 * FEWEST - 3])
def test_too_few(count):
    with pytest.raises(BadArgument, match=r"standard error needs at least 16.*at least 48"):
        split(texts(count))


def test_copies_do_not_make_contexts():
    with pytest.raises(BadArgument, match="prompts"):
        split(texts(1) * 100)


@pytest.mark.parametrize(("calibration", "held_out", "named"), [
    (texts(20), texts(20, 19), r"prompts\[0\]"), ([[5, 1], *texts(20, 100)], texts(20), r"prompts\[5\]"),
    (texts(20), [*texts(20, 50), [3]], r"calibration\[3\]")])
def test_overlap(calibration, held_out, named):
    with pytest.raises(BadArgument, match=named):
        split(held_out, calibration)


def test_sides_that_were_given():
    assert split(texts(20), texts(16, 50)).calibration == texts(16, 50)
