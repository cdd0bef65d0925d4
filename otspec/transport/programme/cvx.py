"""The flow programme in cvxpy, the readable twin of `otspec.transport.programme.lp`: slower, line by line the maths."""

from __future__ import annotations

import numpy as np

from otspec.core.bound import AcceptanceBound
from otspec.core.problem import MembershipProblem
from otspec.transport.programme.lp import SCALE, assemble, check_size


def solve_flow_cvxpy(problem: MembershipProblem) -> AcceptanceBound:
    """Optimal plan of one context, stated in cvxpy and solved by HiGHS."""
    import cvxpy as cp
    from scipy.sparse import csr_array

    check_size(problem)
    sets, set_law = problem.sets
    present = sets >= 0
    set_index, token = np.nonzero(present)[0], sets[present]
    arcs = np.arange(token.size)
    leaves = csr_array((np.ones(token.size), (set_index, arcs)), shape=(set_law.size, token.size))
    reaches = csr_array((np.ones(token.size), (token, arcs)), shape=(problem.target.size, token.size))

    flow = cp.Variable(token.size, nonneg=True)
    within_sets = leaves @ flow <= set_law * SCALE
    within_target = reaches @ flow <= problem.target * SCALE
    cp.Problem(cp.Maximize(cp.sum(flow)), [within_sets, within_target]).solve(
        solver=cp.SCIPY, scipy_options={"method": "highs"})  # cvxpy's own way to HiGHS prints a banner
    return assemble(problem, np.asarray(flow.value) / SCALE, np.asarray(within_target.dual_value))
