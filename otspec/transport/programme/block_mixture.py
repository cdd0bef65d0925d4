r"""The optimum for K independent paths once more, as a rule: a mixture of orders in which drafted paths are preferred.

Definitions. An *order* of all paths picks, of K drafted ones, the first; the picked path has a known law D, and block
verification with D as its draft law keeps at least a node with probability ``a(uy) = min(D(uy), a(u) p(y | u))``
(*one-call*: ``min(D(u), p(u))``). The number of tokens kept is concave in D.

Theorem used: every stateless rule is a winner law D and this recursion, and the winner laws are the mixtures of those
of orders; so Frank and Wolfe's method finds the optimum. Its oracle prefers paths by their score, the sum of the
supergradient g along the path, and the same g is a dual function: the theorem of `otspec.analysis.dual` bounds every
rule by it. The fully corrective form is used: after each new order the weights of all orders are optimal, from a linear
programme, whose prices are the next supergradient. They are averaged with the best ones so far, since prices of a
programme with few orders swing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from otspec.core.errors import NotCertified
from otspec.transport.programme.block_lp import SOLVER_TOLERANCE, Tree, capacity

MET = 1e-9
MAX_ORDERS = 400
KEPT = 0.5  # share of the best prices so far in those that the oracle is asked with


class MixtureSolution(NamedTuple):
    """Both ends, and the rule: weights ``[m]`` of orders, and in each the rank ``[m N + 1]`` of where a path ends.

    Rank 0 is preferred; the last entry is that of paths without a node that the target knows.
    """

    lower: float
    upper: float
    passing: np.ndarray
    prices: np.ndarray
    weights: np.ndarray
    ranks: np.ndarray


def solve_mixture(nodes: Tree, *, stateless: bool) -> MixtureSolution:
    """Best mixture of orders, and the bound that its prices prove; both recomputed, whatever the solver says.

    Raises
    ------
    NotCertified
        The solver gave up.
    """
    count = nodes.target.size
    laws: list[np.ndarray] = []
    ranks: list[np.ndarray] = []
    gain = np.ones(count)
    best = MixtureSolution(0.0, np.inf, np.zeros(count), np.zeros(count), np.zeros(0),
                           np.zeros((0, count + 1), dtype=np.int64))
    stable = gain
    for _ in range(MAX_ORDERS):
        fresh = False
        for asked in (KEPT * stable + (1 - KEPT) * gain, gain):
            rank, law, upper = _order(nodes, asked, stateless)
            if upper < best.upper:
                best, stable = best._replace(upper=upper, prices=_dual(nodes, asked, stateless)), asked
            if not any(np.array_equal(law, known) for known in laws):
                laws.append(law)
                ranks.append(rank)
                fresh = True
                break
        weights, gain = _weights(nodes, np.array(laws), stateless)
        passing = kept(nodes, weights @ np.array(laws), stateless=stateless)
        if passing.sum() > best.lower:
            best = best._replace(lower=float(passing.sum()), passing=passing, weights=weights, ranks=np.array(ranks))
        if best.upper - best.lower <= MET or not fresh:
            break
    used = np.flatnonzero(best.weights > 0)
    return best._replace(weights=best.weights[used], ranks=best.ranks[used])


def kept(nodes: Tree, law: np.ndarray, *, stateless: bool) -> np.ndarray:
    """Probability ``[N]`` that block verification keeps at least each node of a picked path of a given law."""
    if not stateless:
        return np.minimum(law, nodes.target)
    passing = np.empty(law.size)
    for node in range(law.size):
        above = 1.0 if nodes.parent[node] < 0 else passing[nodes.parent[node]]
        passing[node] = min(law[node], above * nodes.step[node])
    return passing


def _ends(nodes: Tree) -> np.ndarray:
    """Draft mass of the paths whose last node in the tree is each node, ``[N + 1]``; the last entry: none."""
    mass = np.append(nodes.draft, 1.0)
    np.subtract.at(mass, nodes.parent, nodes.draft)
    return np.maximum(mass, 0.0)


def _order(nodes: Tree, gain: np.ndarray, stateless: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Ranks of an order, law ``[N]`` of the path it picks, and the bound that the gains prove."""
    price = _dual(nodes, gain, stateless)
    worth = np.ones(gain.size)
    if stateless:
        inner = nodes.parent >= 0
        np.add.at(worth, nodes.parent[inner], (nodes.step * price)[inner])
    score = worth - price
    best = np.zeros(gain.size + 1)  # of a node and those above it, never below the 0 of keeping nothing
    for node, above in enumerate(nodes.parent):
        score[node] += score[above] if above >= 0 else 0.0
        best[node] = max(score[node], best[above])
    ends = _ends(nodes)
    ranking = np.argsort(-best, kind="stable")
    met = np.concatenate([[0.0], capacity(np.cumsum(ends[ranking]), nodes.paths)])
    picked = np.zeros(gain.size + 1)
    picked[ranking] = np.diff(met) / met[-1]
    paid = float(price[~inner] @ nodes.step[~inner]) if stateless else float(price @ nodes.target)
    upper = paid + float(picked @ best)
    for node in range(gain.size - 1, -1, -1):
        if nodes.parent[node] >= 0:
            picked[nodes.parent[node]] += picked[node]
    return np.argsort(ranking), picked[:-1], upper


def _dual(nodes: Tree, gain: np.ndarray, stateless: bool) -> np.ndarray:
    """Prices ``[N]`` of the target's limits that leave each node the given gain, or less where that is all there is."""
    if not stateless:
        return np.clip(1.0 - gain, 0.0, 1.0)
    worth = np.ones(gain.size)
    for node in range(gain.size - 1, -1, -1):
        worth[node] = max(worth[node] - gain[node], 0.0)
        if nodes.parent[node] >= 0:
            worth[nodes.parent[node]] += worth[node] * nodes.step[node]
    return worth


def _weights(nodes: Tree, laws: np.ndarray, stateless: bool) -> tuple[np.ndarray, np.ndarray]:
    """Best weights ``[m]`` of orders, and the price ``[N]`` of the drafts at every node."""
    from scipy.optimize import linprog
    from scipy.sparse import block_array, coo_array, eye_array

    count, orders = nodes.target.size, len(laws)
    drafts = block_array([[eye_array(count), coo_array(-laws.T)]])
    inner = np.flatnonzero(nodes.parent >= 0) if stateless else np.zeros(0, dtype=np.int64)
    rows = np.arange(inner.size)
    tied = coo_array((np.concatenate([np.ones(inner.size), -nodes.step[inner]]),
                      (np.tile(rows, 2), np.concatenate([inner, nodes.parent[inner]]))),
                     shape=(inner.size, count + orders))
    matrix = block_array([[drafts], [tied]]).tocsr() if inner.size else drafts.tocsr()
    most = np.where(nodes.parent < 0, nodes.step, 1.0) if stateless else nodes.target
    solved = linprog(np.concatenate([-np.ones(count), np.zeros(orders)]), A_ub=matrix,
                     b_ub=np.zeros(count + inner.size),
                     A_eq=np.concatenate([np.zeros(count), np.ones(orders)])[None], b_eq=[1.0],
                     bounds=[*((0.0, high) for high in most), *((0.0, None) for _ in range(orders))], method="highs",
                     options={"primal_feasibility_tolerance": SOLVER_TOLERANCE,
                              "dual_feasibility_tolerance": SOLVER_TOLERANCE})
    if solved.x is None:
        raise NotCertified(f"HiGHS stopped without a solution: {solved.message} Fix: a smaller draft_length.", np.inf)
    weights = np.maximum(solved.x[count:], 0.0)
    return weights / weights.sum(), np.maximum(-solved.ineqlin.marginals[:count], 0.0)
