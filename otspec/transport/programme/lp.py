"""The flow linear programme on draft sets, solved by HiGHS.

Membership ignores order and copies, so a plan needs only the mass ``f(i, S)`` that each draft set S sends to each of
its members i: maximise ``sum f`` with ``sum_S f(i, S) <= target_i`` and ``sum_i f(i, S) <= Pr[S]``. Its matrix is the
incidence matrix of a bipartite graph, hence totally unimodular: some optimal dual is the indicator of a token set,
and that set is the cut which certifies the plan. [spectr] [mdsd]
"""

from __future__ import annotations

import numpy as np

from otspec.core.bound import AcceptanceBound, TransportPlan
from otspec.core.errors import TooLarge
from otspec.core.problem import MembershipProblem
from otspec.transport.programme.cut import cut_of

MAX_ARCS = 1_000_000  # of the programme: 2 s to a minute
MAX_FLOW_ARCS = 10_000_000  # of a maximum flow
# HiGHS accepts violations of 1e-7; masses are scaled up so that this means 1e-13 in probability
SCALE = 1e6


def count_arcs(problem: MembershipProblem) -> float:
    """Upper estimate of the variables of the flow programme."""
    return problem.size * problem.scheme.num_drafts


def check_size(problem: MembershipProblem, most: float = MAX_ARCS) -> None:
    """Refuse a programme that would not fit.

    Raises
    ------
    TooLarge
        With the estimated number of variables and what to use instead.
    """
    arcs = count_arcs(problem)
    if arcs > most:
        raise TooLarge(
            f"the plan for {problem.scheme} on {problem.target.size} tokens has about {arcs:.2g} variables, more than "
            f"{most:.0e}. Fix: optimal_acceptance or acceptance_bound give the certified value without a plan.",
            arcs)


def solve_flow(problem: MembershipProblem) -> AcceptanceBound:
    """Optimal plan of one context, with the cut that certifies it."""
    check_size(problem)
    sets, set_law = problem.sets
    present = sets >= 0
    set_index, _ = np.nonzero(present)
    flow, potential = _highs(set_index, sets[present], set_law, problem.target)
    return assemble(problem, flow, potential)


def assemble(problem: MembershipProblem, arc_flow: np.ndarray, potential: np.ndarray) -> AcceptanceBound:
    """Plan and cut from a solver's arc flows and token potentials, both repaired to be feasible."""
    sets, set_law = problem.sets
    flow = np.zeros(sets.shape)
    flow[sets >= 0] = np.maximum(arc_flow, 0.0)
    # a solver's last digits may overdraw a set or a token: shrink those rows, never stretch
    flow *= _shrink(flow.sum(axis=1), set_law)[:, None]
    sent = np.bincount(sets[sets >= 0], weights=flow[sets >= 0], minlength=problem.target.size)
    flow *= np.where(sets >= 0, _shrink(sent, problem.target)[sets], 0.0)
    plan = TransportPlan(problem.target, sets, set_law, flow)
    cut = cut_of(problem, potential > 0.5)
    return AcceptanceBound(lower=np.float64(flow.sum()), upper=cut.value, cut=cut, plan=plan)


def _shrink(used: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    return np.where(used > allowed, allowed / np.where(used > 0, used, 1.0), 1.0)


def _highs(set_index: np.ndarray, token: np.ndarray, set_law: np.ndarray,
           target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arc flows and the dual price of each token."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array

    arcs = np.arange(token.size)
    rows = np.concatenate([set_index, set_law.size + token])
    matrix = csr_array((np.ones(2 * token.size), (rows, np.concatenate([arcs, arcs]))),
                       shape=(set_law.size + target.size, token.size))
    limits = np.concatenate([set_law, target]) * SCALE
    result = linprog(-np.ones(token.size), A_ub=matrix, b_ub=limits, method="highs")
    return result.x / SCALE, -result.ineqlin.marginals[set_law.size:]


