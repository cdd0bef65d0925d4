"""Results of other versions are told apart by the part of the number that may change them."""

import warnings

import numpy as np
import pytest

from otspec.core.versions import LIBRARIES, VersionWarning, installed, major, warn_of_other


def test_another_major_version_is_told_and_a_minor_one_is_not():
    here = major(np.__version__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_other({"numpy": f"{here}.999", "no such library": "1.0"}, "out")
        warn_of_other({}, "out")
    with pytest.warns(VersionWarning, match=r"^out: made with numpy 1\.26\.4 \(now [^,]*\); new results may differ"):
        warn_of_other({"numpy": "1.26.4", "no such library": "1.0"}, "out")


def test_the_warning_points_at_the_caller_of_what_was_read():
    def read():
        warn_of_other({"numpy": "1.26.4"}, "out")

    def call():
        read()

    with pytest.warns(VersionWarning) as told:
        call()
    assert (told[0].filename, told[0].lineno) == (__file__, call.__code__.co_firstlineno + 1)


@pytest.mark.parametrize(("number", "part"), [("2", "2"), ("10.1", "10"), ("0", "0"), ("0.10", "0.10"),
                                              ("0.4.1+cu12", "0.4"), ("2.0+0.1", "2"), ("1.0.3", "1")])
def test_the_part_that_may_change_results(number, part):
    assert major(number) == part


def test_only_what_is_installed_has_a_version():
    assert installed(("no such library", "numpy")) == {"numpy": np.__version__}
    assert set(installed()) <= set(LIBRARIES)
