"""The flow problem on draft sets as a maximum flow, solved by OR-tools in 64-bit integers.

The network runs from a source through the draft sets (capacity ``Pr[S]``), to their members (unbounded), to a sink
(capacity ``target_i``). Theorem: the largest flow equals the smallest cut, and the sets and tokens on the source's
side of it are all subsets of one token set H, so the cut is ``target(H) + 1 - Pr[every draft lies in H]``.

Masses are rounded up to multiples of 2^-60 before, and the sets and tokens that are then overdrawn are shrunk to
their own mass after: the plan is feasible, what bounds the flow is used up exactly, and the certificate shows what
the rounding cost. SciPy's maximum flow has 32-bit capacities and would lose 9 digits. [mdsd] [global-resolution]
"""

from __future__ import annotations

import numpy as np

from otspec.core.bound import AcceptanceBound
from otspec.core.errors import MissingExtra, NotCertified
from otspec.core.problem import MembershipProblem
from otspec.transport.lp import assemble, check_size

SCALE = 2**60  # the mass of one side with its rounding, 2^60 + 10^7, stays below the 2^63 of an int64


def solve_max_flow(problem: MembershipProblem) -> AcceptanceBound:
    """Optimal plan of one context, with the cut that certifies it.

    Raises
    ------
    MissingExtra
        OR-tools is not installed.
    TooLarge
        More draft sets than fit.
    """
    check_size(problem)
    sets, set_law = problem.sets
    present = sets >= 0
    set_index, _ = np.nonzero(present)
    flow, inside = max_flow(set_index, sets[present], set_law, problem.target)
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
    except ImportError:
        raise MissingExtra("OR-tools is not installed. Fix: pip install ortools, or method='highs'.") from None
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
