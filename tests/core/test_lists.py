"""Groups of equal draft lists."""

import numpy as np
import pytest

from otspec.core.lists import first_and_group, ordered_draws


@pytest.mark.parametrize("base", [5, 2**21 - 1, 2**21, 2**21 + 9, 2**40])
def test_equal_lists_are_one_group_in_the_order_of_their_tokens(base, rng):
    """A key of 63 bits holds three tokens of a base below 2**21; from there on rows are compared."""
    rows = rng.choice([-1, 0, 1, base - 2], (60, 3))
    rows[:2] = [[base - 2] * 3, [-1] * 3]
    first, group = first_and_group(rows, base)
    expected = sorted(set(map(tuple, rows.tolist())))
    assert list(map(tuple, rows[first].tolist())) == expected
    assert group.shape == (60,)
    assert [expected[number] for number in group] == list(map(tuple, rows.tolist()))
    assert all(rows[:place].tolist().count(rows[place].tolist()) == 0 for place in first)


def test_lists_without_replacement_have_the_law_of_their_draws():
    law = np.array([0.0, 0.5, 0.2, 0.3])
    tokens, chances = ordered_draws(law, 2)
    assert dict(zip(map(tuple, tokens.tolist()), chances, strict=True)) == pytest.approx({
        (first, second): law[first] * law[second] / (1 - law[first])
        for first in (1, 2, 3) for second in (1, 2, 3) if first != second}, abs=1e-15)
    tokens, chances = ordered_draws(law, 5)
    assert (tokens[:, 3:] == -1).all()
    assert tokens.shape == (6, 5)
    assert chances.sum() == pytest.approx(1.0, abs=1e-15)
    assert [part.tolist() for part in ordered_draws(np.zeros(2), 2)] == [[[-1, -1]], [1.0]]
