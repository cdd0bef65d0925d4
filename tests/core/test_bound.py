import numpy as np
import pytest

import otspec as ot


def test_a_bound_prints_in_one_line():
    bound = ot.acceptance_bound([1.0, 0.0], [0.5, 0.5], 2)
    assert str(bound) == "optimal acceptance 0.750000 (gap 0.0e+00; cut of 1 tokens {1})"
    assert repr(bound) == f"AcceptanceBound({bound})"
    assert repr(bound.cut) == "Cut(0.750000, 1 tokens {1})"
    batch = ot.acceptance_bound([[1.0, 0.0], [0.5, 0.5]], [0.5, 0.5], 2)
    assert str(batch) == "optimal acceptance 0.875000 on average (batch (2,), largest gap 0.0e+00)"
    assert repr(batch.cut) == "Cut(batch (2,) over 2 tokens)"
    assert repr(ot.optimal_plan([1.0, 0.0], [0.5, 0.5], 2).plan) == (
        "TransportPlan(3 draft sets over 2 tokens, acceptance 0.750000)")


def test_an_open_interval_shows_both_ends():
    cut = ot.Cut(np.array([True, False]), np.float64(0.75))
    assert str(ot.AcceptanceBound(np.float64(0.5), np.float64(0.75), cut)) == (
        "optimal acceptance between 0.500000 and 0.750000 (gap 2.5e-01; cut of 1 tokens {0})")


def test_no_contexts_print_and_torch_prints_as_numpy():
    torch = pytest.importorskip("torch")
    assert "no contexts" in str(ot.acceptance_bound(np.zeros((0, 3)), np.zeros((0, 3)), 2))
    laws = [torch.tensor(law, dtype=torch.float64) for law in ([1.0, 0.0], [0.5, 0.5])]
    assert ot.acceptance_bound(*laws, 2).upper.shape == ot.optimal_acceptance(*laws, ot.Greedy(2)).shape == ()
    assert str(ot.acceptance_bound(*laws, 2)) == str(ot.acceptance_bound([1.0, 0.0], [0.5, 0.5], 2))
