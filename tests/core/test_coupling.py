"""What couplings refuse."""

import numpy as np
import pytest

import otspec as ot


def test_a_joint_law_that_would_not_fit_names_its_size():
    law = np.full((3, 2**14), 2.0**-14)
    with pytest.raises(ot.TooLarge, match="use agreement") as refused:
        ot.coupling("gumbel").joint(law, law)
    assert refused.value.estimate == 3 * 2.0**28
