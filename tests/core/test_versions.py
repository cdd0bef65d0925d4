"""Results of other versions are told apart by the part of the number that may change them."""

import warnings

import numpy as np
import pytest

from otspec.core.versions import VersionWarning, major, warn_of_other


def test_another_major_version_is_told_and_a_minor_one_is_not():
    here = major(np.__version__)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_other({"numpy": f"{here}.999"}, "out")
    with pytest.warns(VersionWarning, match=r"^out: made with numpy 1\.26\.4 \(now "):
        warn_of_other({"numpy": "1.26.4"}, "out")
