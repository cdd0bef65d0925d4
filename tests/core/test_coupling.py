"""What couplings refuse."""

import numpy as np
import pytest

import otspec as ot
from otspec.core import coupling


def test_a_joint_law_that_would_not_fit_names_its_size(monkeypatch):
    monkeypatch.setattr(coupling, "MAX_JOINT", 1200)
    law, twice = np.full((3, 20), 0.05), np.full((6, 20), 0.05)
    assert ot.coupling("gumbel").joint(law, law).shape == (3, 20, 20)
    with pytest.raises(ot.TooLarge, match="use agreement") as refused:
        ot.coupling("gumbel").joint(twice, twice)
    assert refused.value.estimate == 6 * 20 * 20
