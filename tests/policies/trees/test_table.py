"""Acceptance tables: what they predict, and what they refuse."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.policies.trees import AcceptanceTable, Calibration


def test_predictions_by_hand():
    table = AcceptanceTable([[0.5, 0.25], [0.8, 0.1]])
    assert table.reached((2, 1, 2)).tolist() == pytest.approx([1, 0.5, 0.25, 0.4, 0.2, 0.025])
    assert table.expected_tokens((2, 1, 2)).mean == pytest.approx(2.375)
    # deeper than the table: its last row
    assert table.expected_tokens((1, 1, 1)).mean == pytest.approx(1 + 0.5 * (1 + 0.8 * (1 + 0.8)))
    widths = AcceptanceTable(np.array([[[0.9, 0.0], [0.4, 0.3]]]))
    assert widths.expected_tokens((2, 1)).mean == pytest.approx(1 + 0.4 * 1.9 + 0.3)


def test_the_standard_error_is_that_of_the_rates():
    rng = np.random.default_rng(0)
    rates, stderr = np.array([[0.5, 0.2], [0.6, 0.1]]), np.array([[0.02, 0.01], [0.03, 0.02]])
    counts = (2, 1, 2, 1)
    found = AcceptanceTable(rates, observations=[[400, 300], [200, 100]], stderr=stderr).expected_tokens(counts)
    drawn = [AcceptanceTable(np.clip(rates + stderr * rng.standard_normal(rates.shape), 0, 1)).expected_tokens(
        counts).mean for _ in range(4000)]
    assert found.stderr == pytest.approx(np.std(drawn), rel=0.05)  # 4000 draws: 1.1 % of noise, and curvature
    assert found.n == 100
    assert AcceptanceTable(rates).expected_tokens(counts).n is None
    assert AcceptanceTable(rates, observations=400, stderr=stderr).expected_tokens((1,)).stderr == pytest.approx(0.02)


def test_widths_are_pooled_one_by_one():
    rates = np.zeros((2, 2, 2))
    rates[:, 0, 0], rates[:, 1] = [0.9, 0.5], [[0.4, 0.4], [0.2, 0.2]]
    pooled = AcceptanceTable(rates, rule="optimal_walk", observations=np.full((2, 2, 2), 10)).pooled()
    assert pooled.rates.tolist() == [[[0.7, 0.0], [pytest.approx(0.3), pytest.approx(0.3)]]]
    assert (pooled.by_width, pooled.rule, pooled.observations.max()) == (True, "optimal_walk", 20)


@pytest.mark.parametrize(("given", "kind", "says"), [
    ([0.5, 0.6], BadArgument, "sum to 1.1"), ([-0.1], BadArgument, "-0.1 is no chance"), ([1.2], BadArgument, "1.2"),
    ([float("nan")], BadArgument, "nan found"), ([], ShapeMismatch, "none empty"), (0.5, ShapeMismatch, "axes"),
    ([[0.1], [0.1, 0.2]], ShapeMismatch, "one length"), (["x"], ShapeMismatch, "no array of numbers"),
    ([[[0.5, 0.1], [0.5, 0.1]]], BadArgument, "k \\+ 1"), ([[[0.5, 0.1]]], ShapeMismatch, "1 widths and 2 ranks")])
def test_bad_rates_are_refused(given, kind, says):
    with pytest.raises(kind, match=f"(?s)rates: .*{says}"):
        AcceptanceTable(given)


def test_other_bad_arguments():
    with pytest.raises(BadArgument, match="stderr: shape"):
        AcceptanceTable([0.5], stderr=[0.1, 0.1])
    with pytest.raises(BadArgument, match="observations: shape"):
        AcceptanceTable([0.5], observations=[-1])
    with pytest.raises(BadArgument, match="3 children, but rates are known for 2"):
        AcceptanceTable([0.5, 0.2]).expected_tokens((3,))


RANKS = [[0.5], [0.1]]


@pytest.mark.parametrize(("given", "kind", "says"), [
    (((1.0, 0.5), [[0.1] * 3], (), [[0.1]]), BadArgument, "do not increase"),
    (((1.0,), RANKS, (), RANKS), ShapeMismatch, "1 bins for 1 edges"),
    (((), RANKS, (), [[0.5]]), ShapeMismatch, "the same ranks"),
    (((), RANKS, (), [[1.5], [0.1]]), BadArgument, "no chance"),
    (((), [RANKS], (), [RANKS]), ShapeMismatch, "as many widths as ranks")])
def test_bad_calibrations_are_refused(given, kind, says):
    with pytest.raises(kind, match=says):
        Calibration(*given)


def test_a_calibration_is_plain_data():
    one = Calibration((0.5,), np.array([[0.1, 0.2]]), [], [[0.3]])
    assert hash(one) == hash(Calibration([0.5], [[0.1, 0.2]], (), ((0.3,),)))
    assert (one.by_entropy, one.num_ranks, one.by_width) == (((0.1, 0.2),), 1, False)
