"""Which arrays lie where NumPy reads them, and how the others come there."""

import array_api_strict as strict
import numpy as np
import pytest
import torch

from otspec.core.errors import BadArgument
from otspec.core.host import check_host, on_host, to_host

META = torch.zeros(2, device="meta")


def test_what_lies_on_the_host():
    assert [on_host(array) for array in (np.zeros(2), torch.zeros(2), META, strict.zeros(2), [0.0])] == [
        True, True, False, False, False]
    for array in (np.zeros(2), torch.zeros(2), strict.zeros(2)):
        check_host("rows", array, "this rule")
    with pytest.raises(BadArgument, match=r"^rows: on meta, but this rule works on the CPU here\. Fix: pass \.cpu\(\)"):
        check_host("rows", META, "this rule")
    with pytest.raises(BadArgument, match=r"Fix: another rule\.$"):
        check_host("rows", META, "this rule", "another rule")


def test_arrays_of_every_library_come_to_the_host():
    for array in ([1.0, 2.0], np.array([1.0, 2.0]), strict.asarray([1.0, 2.0]),
                  torch.tensor([1.0, 2.0], requires_grad=True)):
        assert to_host(array).tolist() == [1.0, 2.0]
        assert to_host(array, np.float32).dtype == np.float32
