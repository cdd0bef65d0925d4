import numpy as np
import pytest

import otspec as ot
from otspec.core.bound import TransportPlan


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


PADDED = np.array([[-1, 0], [0, 1]])
PLANS = {  # sets, their law, flow; largest breach, acceptance
    "valid": (PADDED, [0.5, 0.5], [[0.0, 0.5], [0.0, 0.5]], 0.0, 1.0),
    "nothing flows": (PADDED, [0.5, 0.5], [[0.0, 0.0], [0.0, 0.0]], 0.0, 0.75),
    "negative flow": ([[0, 1]], [1.0], [[-0.25, 0.5]], 0.25, 1.0),
    "flow into padding": ([[-1, 0]], [1.0], [[0.25, 0.0]], 0.25, 0.625),
    "another law of the token": ([[0]], [1.0], [[1.0]], 0.5, 1.0),
    "more than the set has": ([[0], [1]], [0.75, 0.25], [[0.5], [0.5]], 0.25, 1.125),
}


@pytest.mark.parametrize("name", PLANS)
def test_the_largest_breach_of_a_plan_is_found(name):
    sets, law, flow, breach, acceptance = PLANS[name]
    plan = TransportPlan(np.array([0.5, 0.5]), np.array(sets), np.array(law), np.array(flow))
    assert plan.violation() == pytest.approx(breach, abs=1e-15)
    assert plan.acceptance == pytest.approx(acceptance, abs=1e-15)


def test_the_breach_of_the_token_that_misses_most_counts():
    plan = TransportPlan(np.array([0.5, 0.25, 0.25]), np.array([[0]]), np.ones(1), np.ones((1, 1)))
    assert plan.target_marginal.tolist() == [1.0, 0.0, 0.0]
    assert plan.violation() == 0.5


def test_a_plan_emits_its_flows_and_then_what_is_left():
    target = np.array([0.5, 0.25, 0.25])
    sets, law = np.array([[-1, 0], [0, 1], [-1, 2]]), np.array([0.5, 0.5, 0.0])
    plan = TransportPlan(target, sets, law, np.array([[0.0, 0.25], [0.25, 0.125], [0.0, 0.0]]))
    assert plan.matched.tolist() == [0.5, 0.125, 0.0]
    assert plan.unmatched.tolist() == [0.25, 0.125, 0.0]
    left = np.array([0.0, 1.0, 2.0]) / 3
    assert plan.leftover == pytest.approx(left)
    lists = np.array([[0, 0], [1, 0], [0, -1], [2, 2]])
    expected = [[0.5, 0, 0] + 0.5 * left, [0.5, 0.25, 0] + 0.25 * left, [0.5, 0, 0] + 0.5 * left, left]
    assert plan.conditional(lists) == pytest.approx(np.array(expected))
    assert plan.violation() == pytest.approx(0.0, abs=1e-15)
    every = TransportPlan(target, np.array([[0, 1, 2]]), np.ones(1), target[None])
    assert every.leftover.tolist() == target.tolist()  # nothing is left, and nothing is drawn from it


def test_ends_that_agree_to_the_digits_shown_are_one_number():
    cut = ot.Cut(np.arange(12) < 8, np.float64(0.75))
    shown = "cut of 8 tokens {0, 1, 2, 3, 4, 5, 6, 7})"
    for gap, says in ((1e-6, "0.000001 (gap 1.0e-06"), (1.1e-6, "between 0.000000 and 0.000001 (gap 1.1e-06")):
        bound = ot.AcceptanceBound(np.float64(0.0), np.float64(gap), cut)
        assert str(bound).startswith(f"optimal acceptance {says}")
        assert bound.gap == gap
    assert str(bound).endswith(shown)
    assert repr(ot.Cut(np.arange(12) < 9, np.float64(0.75))).endswith("9 tokens {0, 1, 2, 3, 4, 5, 6, 7, …})")
    batch = ot.AcceptanceBound(np.array([0.5, 0.5]), np.array([0.5, 0.75]), ot.Cut(np.ones((2, 1), bool), np.ones(2)))
    assert str(batch) == ("optimal acceptance between 0.500000 and 0.625000 on average (batch (2,), "
                          "largest gap 2.5e-01)")
    assert batch.gap.tolist() == [0.0, 0.25]
    assert repr(batch.cut) == "Cut(batch (2,) over 1 tokens)"


def test_a_bound_names_its_evidence():
    cut, law = ot.Cut(np.array([True, False]), np.float64(0.5)), np.array([0.5, 0.5])
    plan = TransportPlan(law, np.array([[0]]), np.ones(1), np.array([[0.5]]))
    for evidence, says in (({"winner_law": law}, "a winner law"), ({"plan": plan}, "a transport plan")):
        assert says in ot.AcceptanceBound(np.float64(0.5), np.float64(0.5), cut, **evidence)._repr_html_()
    assert repr(plan) == "TransportPlan(1 draft sets over 2 tokens, acceptance 0.500000)"
    batch = ot.AcceptanceBound(np.zeros((0, 2)), np.zeros((0, 2)), cut)
    assert str(batch) == "optimal acceptance of no contexts (batch (0, 2))"
