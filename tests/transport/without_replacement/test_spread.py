"""Laws whose gaps are narrowed for draws without replacement."""

import numpy as np
import pytest

from otspec.transport.without_replacement.spread import narrow_gaps

WIDE = np.array([1e-200, 1e-300, 1.0, 0.0, 1e-300, 1e-100])  # three tokens outweigh all lighter ones
EVEN = np.array([2.0, 1.0, 0.0, 4.0, 1.0, 0.0])


@pytest.mark.parametrize("k", [1, 2, 3, 4, 6, 9])
def test_the_first_gaps_are_narrowed_and_all_other_ratios_stay(convert, k):
    got = np.asarray(narrow_gaps(convert(np.array([[WIDE, EVEN], [EVEN, WIDE[::-1]]])), k))
    assert got[0, 0].tolist() == got[1, 1, ::-1].tolist()
    assert got[0, 1].tolist() == got[1, 0].tolist() == (EVEN / 8).tolist()
    law, order = got[0, 0], np.argsort(-WIDE, kind="stable")
    assert law.sum() == pytest.approx(1.0, abs=1e-15)
    for place, token in enumerate(order[:3]):
        after = order[place + 1 :]
        lead = WIDE[token] / WIDE[after].sum() if place >= k - 1 else 2.0**56
        assert law[token] / law[after].sum() == pytest.approx(lead, rel=1e-14)
    assert law[1] == law[4] > law[3] == 0.0
