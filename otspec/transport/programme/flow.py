"""The flow problem on draft sets as a maximum flow, solved by OR-tools in 64-bit integers.

The network runs from a source through the draft sets (capacity ``Pr[S]``), to their members (unbounded), to a sink
(capacity ``target_i``). Theorem: the largest flow equals the smallest cut, and the sets and tokens on the source's
side of it are all subsets of one token set H, so the cut is ``target(H) + 1 - Pr[every draft lies in H]``.

Masses are rounded up to multiples of 2^-60 before, and the sets and tokens that are then overdrawn are shrunk to
their own mass after: the plan is feasible, what bounds the flow is used up exactly, and the certificate shows what
the rounding cost. SciPy's maximum flow has 32-bit capacities and would lose 9 digits. [mdsd] [global-resolution]

OR-tools and highspy each bring a library named libhighs, and in one process only the first to be loaded works.
So the solver runs in a process of its own, which costs about a second and leaves ``method="cvxpy"`` usable.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np

from otspec.core.bound import AcceptanceBound
from otspec.core.errors import MissingExtra, NotCertified
from otspec.core.problem import MembershipProblem
from otspec.transport.programme.lp import MAX_FLOW_ARCS, assemble, check_size

SCALE = 2**60  # the mass of one side with its rounding, 2^60 + 10^7, stays below the 2^63 of an int64


def solve_max_flow(problem: MembershipProblem, *, isolated: bool = True) -> AcceptanceBound:
    """Optimal plan of one context, with the cut that certifies it.

    Parameters
    ----------
    problem : MembershipProblem
    isolated : bool
        False solves in the caller's process, where highspy must not be loaded, before or after.

    Raises
    ------
    MissingExtra
        OR-tools is not installed, or cannot be loaded.
    NotCertified
        The solver stopped early.
    TooLarge
        More draft sets than fit.
    """
    check_size(problem, MAX_FLOW_ARCS)
    if find_spec("ortools") is None:
        raise MissingExtra("OR-tools is not installed. Fix: pip install ortools, or method='highs'.")
    sets, set_law = problem.sets
    present = sets >= 0
    set_index, _ = np.nonzero(present)
    solve = _in_a_process_of_its_own if isolated else max_flow
    flow, inside = solve(set_index, sets[present], set_law, problem.target)
    return assemble(problem, flow, inside.astype(np.float64))


def max_flow(set_index: np.ndarray, token: np.ndarray, set_law: np.ndarray,
             target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arc flows ``[m]`` and the tokens on the source's side of a minimum cut ``[V] bool``.

    Parameters
    ----------
    set_index, token : int [m]
        One arc from each set to each of its members.
    set_law : [n]
    target : [V]
    """
    try:
        from ortools.graph.python.max_flow import SimpleMaxFlow
    except ImportError as error:
        raise MissingExtra(f"OR-tools does not load: {error}. Fix: pip install ortools, and load highspy in another "
                           f"process; or method='highs'.") from None
    count = set_law.size
    supply, demand = (np.ceil(law * SCALE).astype(np.int64) for law in (set_law, target))
    source, sink = count + target.size, count + target.size + 1
    network = SimpleMaxFlow()
    arcs = network.add_arcs_with_capacity(set_index, count + token, supply[set_index])
    network.add_arcs_with_capacity(np.full(count, source), np.arange(count), supply)
    network.add_arcs_with_capacity(count + np.arange(target.size), np.full(target.size, sink), demand)
    status = network.solve(source, sink)
    if status != network.OPTIMAL:
        raise NotCertified(f"OR-tools stopped with {status.name}. Fix: method='highs'.", 1.0)
    nodes = np.asarray(network.get_source_side_min_cut(), dtype=np.int64)
    inside = np.zeros(target.size, dtype=bool)
    inside[nodes[(nodes >= count) & (nodes < source)] - count] = True
    return np.asarray(network.flows(arcs)) / SCALE, inside


def _in_a_process_of_its_own(*arrays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`max_flow` by a fresh interpreter, arrays in and out through its standard streams."""
    question = io.BytesIO()
    np.savez(question, *arrays)
    paths = {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}
    run = subprocess.run([sys.executable, "-m", "otspec.transport.programme.flow"], input=question.getvalue(),
                         capture_output=True, env=os.environ | paths, check=False)
    if run.returncode:
        last = run.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise NotCertified(f"the maximum flow ended with status {run.returncode}: {last} Fix: method='highs'.", 1.0)
    with np.load(io.BytesIO(run.stdout)) as answer:
        return answer["flow"], answer["inside"]


def _answer() -> None:
    with np.load(io.BytesIO(sys.stdin.buffer.read())) as question:
        flow, inside = max_flow(*(question[f"arr_{i}"] for i in range(4)))
    np.savez(sys.stdout.buffer, flow=flow, inside=inside)


if __name__ == "__main__":
    _answer()
