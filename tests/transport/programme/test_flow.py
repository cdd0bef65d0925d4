"""Maximum flow on draft sets against the linear programme, and the repair of its integers."""

import subprocess
import sys

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, MissingExtra, NotCertified
from otspec.core.problem import MembershipProblem
from otspec.transport.programme import flow
from tests.conftest import random_law

SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(3), ot.WithoutReplacement(3), ot.Greedy(3), ot.Hub(),
           ot.Independent(2)]
SUMS = 1e-13  # laws of draft sets miss one by the rounding of a hundred products, which the cut shows


def a_problem(rng, scheme, size, **kind):
    target, draft = random_law(rng, size, **kind), random_law(rng, size, **kind)
    return target, np.stack([draft, random_law(rng, size)]) if isinstance(scheme, ot.Independent) else draft


@pytest.fixture
def ortools():
    return pytest.importorskip("ortools")


@pytest.mark.usefixtures("ortools")
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_same_certified_value_as_the_programme(scheme, rng):
    for kind in ({}, {"zeros": True}, {"ties": True}):
        target, draft = a_problem(rng, scheme, 5, **kind)
        bound = ot.optimal_plan(target, draft, scheme, method="max_flow")
        assert -SUMS <= bound.gap <= SUMS
        assert float(bound.upper) == pytest.approx(float(ot.optimal_plan(target, draft, scheme).upper), abs=SUMS)
        assert bound.plan.violation() <= SUMS


@pytest.mark.usefixtures("ortools")
def test_no_set_and_no_token_is_overdrawn(rng):
    target, draft = random_law(rng, 60), random_law(rng, 60)
    bound = ot.optimal_plan(target, draft, 2, method="max_flow")
    plan = bound.plan
    eps = np.finfo(float).eps
    assert np.all(plan.flow >= 0)
    assert np.all(plan.flow.sum(axis=1) <= plan.set_law * (1 + 4 * eps))
    assert np.all(plan.matched <= target * (1 + 64 * eps))  # sums of up to 60 flows
    assert float(bound.upper) == pytest.approx(float(ot.optimal_acceptance(target, draft, 2)), abs=SUMS)


@pytest.mark.usefixtures("ortools")
def test_tiny_masses_keep_their_share(rng):
    target = np.array([1e-15, 1e-12, 0.5, 0.5 - 1e-12 - 1e-15])
    draft = np.array([0.5, 0.5 - 1e-12, 1e-12, 0.0])
    bound = ot.optimal_plan(target, draft, 2, method="max_flow")
    # the first two tokens can be sent all they ask for, the third all that is drafted; one eps of a unit each
    assert float(bound.lower) == pytest.approx(float(ot.optimal_acceptance(target, draft, 2)), abs=1e-15)
    assert bound.plan.matched[0] == pytest.approx(1e-15, abs=2.0**-59)


@pytest.mark.usefixtures("ortools")
def test_other_solvers_work_in_the_same_process():
    problem = [0.5, 0.3, 0.2], [0.2, 0.3, 0.5], 2
    values = [float(ot.optimal_plan(*problem, method=method).upper) for method in ("max_flow", "cvxpy", "max_flow")]
    assert values == pytest.approx([0.86] * 3, abs=SUMS)


def test_without_the_library_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(flow, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="pip install ortools"):
        ot.optimal_plan([0.5, 0.5], [0.5, 0.5], 2, method="max_flow")


def test_a_library_that_does_not_load_is_reported(monkeypatch):
    monkeypatch.setitem(sys.modules, "ortools.graph.python.max_flow", None)
    with pytest.raises(MissingExtra, match="does not load"):
        flow.max_flow(np.array([0]), np.array([0]), np.ones(1), np.ones(1))


@pytest.mark.usefixtures("ortools")
def test_a_solver_that_dies_is_reported(monkeypatch):
    monkeypatch.setattr(flow.sys, "executable", "false")
    with pytest.raises(NotCertified, match="ended with status 1"):
        ot.optimal_plan([0.5, 0.5], [0.5, 0.5], 2, method="max_flow")


def test_unknown_methods_name_the_known_ones():
    with pytest.raises(BadArgument, match="'max_flow'"):
        ot.optimal_plan([0.5, 0.5], [0.5, 0.5], 2, method="simplex")


@pytest.mark.usefixtures("ortools")
def test_it_runs_in_a_process_of_its_own_unless_told_otherwise(monkeypatch):
    ran = []
    monkeypatch.setattr(flow, "_in_a_process_of_its_own", lambda *arrays: ran.append("there") or flow_of(*arrays))
    monkeypatch.setattr(flow, "max_flow", lambda *arrays: ran.append("here") or flow_of(*arrays))
    problem = MembershipProblem(np.array([0.5, 0.5]), np.array([0.5, 0.5]), ot.WithReplacement(1))
    for isolated, where in ((True, "there"), (False, "here")):
        assert float(flow.solve_max_flow(problem, isolated=isolated).upper) == 1.0
        assert ran.pop() == where


def flow_of(set_index, token, set_law, target):
    """The whole mass of each set that holds one token goes to it."""
    return set_law[set_index], np.zeros(target.size, dtype=bool)


def test_the_twin_prints_nothing():
    """HiGHS greets once in a process, so a fresh one is asked."""
    ask = "import otspec as ot; ot.optimal_plan([0.5, 0.5], [0.3, 0.7], 2, method='cvxpy')"
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout == ""
