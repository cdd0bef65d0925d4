"""Plans of one context by all three solvers, the repair of what a solver says, cuts, and what does not fit."""

import io
import itertools
import os
import subprocess
import sys
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import otspec as ot
from otspec.core.problem import MembershipProblem
from otspec.transport.programme import cut, flow
from otspec.transport.programme.cut import cut_of, minimum_cut
from otspec.transport.programme.lp import assemble, check_size, count_arcs
from tests.conftest import random_law

SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(2), ot.WithoutReplacement(3), ot.Greedy(3), ot.Hub(),
           ot.Independent(2)]
EXACT = 1e-13  # laws of draft sets miss one by the rounding of a hundred products


def problems(rng, scheme):
    for kind in ({}, {"zeros": True}, {"ties": True}):
        target, draft = random_law(rng, 4, **kind), random_law(rng, 4, **kind)
        yield MembershipProblem(target, np.stack([draft, target]) if scheme.draft_axes else draft, scheme)
    if not scheme.draft_axes:
        yield MembershipProblem([0.2, 0.3, 0.5, 0.0], [1.0, 0.0, 0.0, 0.0], scheme)


class SlowMaxFlow:
    """The few calls of OR-tools' solver that are made, by paths of Ford and Fulkerson in whole numbers."""

    OPTIMAL = SimpleNamespace(name="OPTIMAL")

    def __init__(self):
        self.tails, self.heads, self.room, self.status = [], [], [], self.OPTIMAL

    def add_arcs_with_capacity(self, tails, heads, capacities):
        first = len(self.tails)
        for tail, head, capacity in zip(tails, heads, capacities, strict=True):
            assert 0 < int(capacity) + 1 < 2**63
            self.tails += [int(tail), int(head)]
            self.heads += [int(head), int(tail)]
            self.room += [int(capacity), 0]
        return np.arange(first, len(self.tails), 2) // 2

    def _reached(self):
        way, queue = {self.source: None}, [self.source]
        for node in queue:
            for arc, (tail, head) in enumerate(zip(self.tails, self.heads, strict=True)):
                if tail == node and head not in way and self.room[arc] > 0:
                    way[head] = arc
                    queue.append(head)
        return way

    def solve(self, source, sink):
        self.source = source
        while sink in (way := self._reached()):
            arcs, node = [], sink
            while way[node] is not None:
                arcs.append(way[node])
                node = self.tails[way[node]]
            most = min(self.room[arc] for arc in arcs)
            for arc in arcs:
                self.room[arc] -= most
                self.room[arc ^ 1] += most
        return self.status

    def get_source_side_min_cut(self):
        return list(self._reached())

    def flows(self, arcs):
        return [self.room[2 * arc + 1] for arc in arcs]


@pytest.fixture
def slow_ortools(monkeypatch):
    """OR-tools cannot share a process with HiGHS, so a twin takes its place; the process of its own is this one."""
    module = ModuleType("ortools.graph.python.max_flow")
    module.SimpleMaxFlow = SlowMaxFlow
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(flow, "find_spec", lambda name: name)

    def run(command, *, input, env, capture_output, check):  # the names that subprocess gives them
        assert command == [sys.executable, "-m", "otspec.transport.programme.flow"]
        assert {path for path in sys.path if path} <= set(env["PYTHONPATH"].split(os.pathsep))
        assert env["PATH"] == os.environ["PATH"]
        assert (capture_output, check) == (True, False)
        streams = SimpleNamespace(stdin=SimpleNamespace(buffer=io.BytesIO(input)),
                                  stdout=SimpleNamespace(buffer=io.BytesIO()))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(flow, "sys", streams)
            flow._answer()
        return subprocess.CompletedProcess(command, 0, streams.stdout.buffer.getvalue(), b"")

    monkeypatch.setattr(flow.subprocess, "run", run)


@pytest.mark.usefixtures("slow_ortools")
@pytest.mark.parametrize("method", ["highs", "cvxpy", "max_flow"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_plan_and_cut_of_every_solver_are_the_optimum(scheme, method, rng):
    for problem in problems(rng, scheme):
        bound = ot.optimal_plan(problem.target, problem.draft, scheme, method=method)
        exact = float(minimum_cut(problem).value)
        for found in (bound.lower, bound.upper, bound.cut.value, bound.plan.acceptance, bound.plan.flow.sum()):
            assert float(found) == pytest.approx(exact, abs=EXACT)
        assert float(cut_of(problem, bound.cut.subset).value) == pytest.approx(exact, abs=EXACT)
        assert bound.plan.violation() <= EXACT
        sets, law = problem.sets
        np.testing.assert_array_equal(bound.plan.sets, sets)
        np.testing.assert_allclose(bound.plan.set_law, law, rtol=EXACT)
        assert (bound.plan.flow.sum(axis=1) <= law * (1 + EXACT)).all()


@pytest.mark.usefixtures("slow_ortools")
def test_a_maximum_flow_is_the_same_in_both_processes(rng):
    for problem in problems(rng, ot.WithReplacement(2)):
        here, there = (flow.solve_max_flow(problem, isolated=isolated) for isolated in (False, True))
        np.testing.assert_array_equal(here.plan.flow, there.plan.flow)
        np.testing.assert_array_equal(here.cut.subset, there.cut.subset)
        assert (here.lower, here.upper) == (there.lower, there.upper)


@pytest.mark.usefixtures("slow_ortools")
def test_a_solver_that_stops_early_is_reported(monkeypatch):
    monkeypatch.setattr(SlowMaxFlow, "solve", lambda *_: SimpleNamespace(name="BAD_INPUT"))
    with pytest.raises(ot.NotCertified, match=r"stopped with BAD_INPUT\. Fix: method='highs'") as caught:
        ot.optimal_plan([0.5, 0.5], [0.5, 0.5], 2, method="max_flow")
    assert caught.value.gap == 1.0


def test_a_process_that_fails_is_reported_by_its_last_line(monkeypatch):
    monkeypatch.setattr(flow, "find_spec", lambda name: name)
    monkeypatch.setattr(flow.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(
        command, 3, b"", b"Traceback\n  many lines\nImportError: gone\n"))
    with pytest.raises(ot.NotCertified, match="ended with status 3: ImportError: gone Fix: method='highs'") as caught:
        ot.optimal_plan([0.5, 0.5], [0.5, 0.5], 2, method="max_flow")
    assert caught.value.gap == 1.0


def test_what_a_solver_says_is_shrunk_to_a_plan_and_never_stretched(rng):
    problem = MembershipProblem([0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.3, 0.4], ot.WithReplacement(2))
    sets, law = problem.sets
    present = sets >= 0
    for _ in range(20):
        said = rng.choice([-0.1, 0.0, 0.02, 0.3], present.sum()) * rng.random(present.sum())
        bound = assemble(problem, said, rng.random(4))
        given = np.zeros(sets.shape)
        given[present] = np.maximum(said, 0.0)
        found = bound.plan.flow
        assert (found >= 0).all()
        assert (found <= given + 1e-16).all()
        assert (found.sum(axis=1) <= law * (1 + 1e-14)).all()
        assert (bound.plan.matched <= problem.target * (1 + 1e-14)).all()
        assert float(bound.lower) == pytest.approx(found.sum(), abs=1e-15)
        roomy = (given.sum(axis=1, keepdims=True) <= law[:, None]) & present
        tokens = np.flatnonzero([given[sets == token].sum() <= problem.target[token] for token in range(4)])
        kept = roomy & np.isin(sets, tokens)
        np.testing.assert_array_equal(found[kept], given[kept])
    bound = assemble(problem, np.zeros(present.sum()), np.array([0.2, 0.6, 1.0, 0.4]))
    assert bound.cut.subset.tolist() == [False, True, True, False]
    assert (float(bound.lower), float(bound.upper)) == (0.0, float(cut_of(problem, bound.cut.subset).value))


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_a_cut_is_one_less_what_drafts_within_it_must_lose(scheme, rng):
    for problem in problems(rng, scheme):
        sets, law = problem.sets
        values = []
        for members in itertools.product([False, True], repeat=4):
            inside = sum(mass for row, mass in zip(sets, law, strict=True) if all(members[x] for x in row if x >= 0))
            values.append(1 + problem.target[list(members)].sum() - inside)
            found = cut_of(problem, np.array(members))
            assert float(found.value) == pytest.approx(min(values[-1], 1.0), abs=EXACT)
            assert float(found.value) <= 1.0
            assert found.subset.tolist() == list(members)
        best = minimum_cut(problem)
        assert float(best.value) == pytest.approx(min(*values, 1.0), abs=EXACT)
        assert float(cut_of(problem, best.subset).value) == float(best.value)


def test_a_cut_near_zero_keeps_its_digits():
    problem = MembershipProblem([1.0, 3e-20], [1e-20, 1.0], 1)
    assert float(cut_of(problem, np.array([False, True])).value) == pytest.approx(4e-20, rel=1e-12)


def test_what_is_as_large_as_allowed_passes_and_one_more_does_not(monkeypatch):
    monkeypatch.setattr(cut, "MAX_SUBSETS", 8)
    three, four = (MembershipProblem(np.full(n, 1 / n), np.full(n, 1 / n), 1) for n in (3, 4))
    assert float(minimum_cut(three).value) == pytest.approx(1)
    with pytest.raises(ot.TooLarge, match=r"4 tokens have 16 subsets\. Fix: acceptance_bound") as caught:
        minimum_cut(four)
    assert caught.value.estimate == 16
    monkeypatch.undo()
    monkeypatch.setattr(cut, "cut_of", None)  # nothing is tried
    with pytest.raises(ot.TooLarge, match=r"21 tokens have 2\.1e\+06 subsets"):
        minimum_cut(MembershipProblem(np.full(21, 1 / 21), np.full(21, 1 / 21), 1))
    for method, size, most in (("highs", 708, "1e[+]06"), ("max_flow", 2237, "1e[+]07")):
        law = np.full(size, 1 / size)
        with pytest.raises(ot.TooLarge, match=f"on {size} tokens has about .* variables, more than {most}") as caught:
            ot.optimal_plan(law, law, 2, method=method)
        assert caught.value.estimate == 2 * size**2
    small, large = (MembershipProblem(np.full(n, 1 / n), np.full(n, 1 / n), 2) for n in (707, 2236))
    check_size(small, count_arcs(small))
    with pytest.raises(ot.TooLarge):
        check_size(small, count_arcs(small) - 1)
    for size in (10**6, 10**6 + 1):
        problem = MembershipProblem(np.full(size, 1 / size), np.full(size, 1 / size), 1)
        with pytest.raises(ot.TooLarge) if size > 10**6 else nullcontext():
            check_size(problem)
    assert count_arcs(MembershipProblem([0.5, 0.5], [0.25, 0.75], ot.WithReplacement(3))) == 3 * 2**3
    monkeypatch.setattr(flow, "find_spec", lambda name: None)
    with pytest.raises(ot.MissingExtra, match=r"OR-tools is not installed\. Fix: pip install ortools"):
        flow.solve_max_flow(large)
