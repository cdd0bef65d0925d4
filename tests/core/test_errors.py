"""Errors cross from a worker process to the one that asked."""

import pickle

import pytest

from otspec.core import errors


@pytest.mark.parametrize("error", [errors.TooLarge("x: 3. Fix: 2.", 3.0), errors.NotCertified("gap", 0.5),
                                   errors.BadArgument("k: 0"), errors.UnknownName("no rule"),
                                   errors.WorkFailed("unit 3")], ids=lambda error: type(error).__name__)
def test_errors_survive_pickling(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_an_unknown_name_reads_as_it_was_written():
    assert str(errors.UnknownName("no rule is called 'x'")) == "no rule is called 'x'"
    assert str(errors.UnknownName()) == ""
    assert str(errors.UnknownName(3)) == "3"
