r"""The best sequence-level rule for K independent paths: a linear programme on the tree of drafted prefixes.

Definitions. A *node* v is a prefix of 1 .. L tokens, with masses :math:`p(v)` under the target and :math:`q(v)` under
the draft model. A rule *passes* v when it keeps at least v; :math:`A(v)` is the probability of that, A(nothing) = 1,
and a call emits :math:`1 + \sum_v A(v)` tokens on average. A *front* is a set of nodes none of which extends another.

Theorem used. A rule stops at a node of the drafted trie, and a trie that meets the extensions of a set of nodes meets
the set; so by Hall's theorem A belongs to some rule if and only if, on every front U,

.. math:: A(U) \le c(q(U)), \qquad c(x) = 1 - (1 - x)^K .

It can be made lossless with a fresh continuation (*stateless*) if and only if moreover
:math:`A(vy) \le A(v) p(y | v)`: where it stops, the next token has the law of the difference. If the rest of the text
may depend on the drafts (*one-call*), only :math:`A(v) \le p(v)` is needed. As c is concave, a front that A overdraws
is found among the vertices of the upper hull of the points (q(U), A(U)), which one pass over the tree gives: pooled
slopes, as in isotonic regression. With one path, :math:`A(vy) = \min(q(vy), A(v) p(y | v))` is the largest solution at
every node, and that is block verification.
[block] [gbv]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from otspec.core.errors import NotCertified

# the programme is relative: row activities are near 1, so this is a relative error of passing masses
SOLVER_TOLERANCE = 1e-10
MET = 1e-9
MAX_ROUNDS = 1000
PATIENCE = 60
# costs this many times larger make the solver's absolute tolerance on prices a relative one of 1e-14
COST_SCALE = 1e4
# a node with less room than this is beyond the solver: its room is granted
INVISIBLE = 1e-13


@dataclass(frozen=True)
class Tree:
    """Nodes of depth 1 .. L in breadth-first order, masses as float64 ``[N]``; those no rule can pass are left out.

    ``step`` is the target's law of the last token given the tokens before it, ``parent`` is -1 at depth 1, and
    ``label`` is the number of a node in the complete tree, where depth d holds ``V**d`` nodes; ``possible`` says which
    nodes of the complete tree have mass under the target.
    """

    target: np.ndarray
    draft: np.ndarray
    step: np.ndarray
    parent: np.ndarray
    label: np.ndarray
    paths: int
    possible: np.ndarray

    @property
    def ceiling(self) -> np.ndarray:
        """Largest passing mass that a node alone allows."""
        return np.minimum(self.target, capacity(self.draft, self.paths))


class BlockSolution(NamedTuple):
    """Both sides of the optimum: passing masses (a rule), and prices of fronts (a bound)."""

    lower: float
    upper: float
    passing: np.ndarray
    fronts: list[np.ndarray]
    prices: np.ndarray


def capacity(mass: Any, paths: int) -> Any:
    """Probability that one of ``paths`` independent paths meets a front of this draft mass.

    Examples
    --------
    >>> round(float(capacity(0.5, 2)), 6)
    0.75
    """
    with np.errstate(divide="ignore"):  # a sure front: log 0
        return -np.expm1(paths * np.log1p(-np.minimum(mass, 1.0)))


def tree(target_steps: list[np.ndarray], draft_steps: list[np.ndarray], paths: int) -> Tree:
    """Tree from the laws of the next token after every prefix of 0 .. L-1 tokens, each ``[V**depth V]``."""
    size = target_steps[0].shape[-1]
    columns: list[tuple[np.ndarray, ...]] = []
    target, draft, offset, kept_before = np.ones(1), np.ones(1), 0, 0
    place, possible = np.array([-1]), []
    for target_step, draft_step in zip(target_steps, draft_steps, strict=True):
        parent = np.repeat(place, size)
        target, draft = (target[:, None] * target_step).ravel(), (draft[:, None] * draft_step).ravel()
        possible.append(target > 0)
        live = np.flatnonzero((target > 0) & (draft > 0))
        columns.append((target[live], draft[live], target_step.ravel()[live], parent[live], offset + live))
        place = np.full(target.size, -1)
        place[live] = kept_before + np.arange(live.size)
        kept_before += live.size
        offset += target.size
    masses, offered, step, parents, label = (np.concatenate(column) for column in zip(*columns, strict=True))
    return Tree(masses, offered, step, parents, label, paths=paths, possible=np.concatenate(possible))


def solve(nodes: Tree, *, stateless: bool) -> BlockSolution:
    """Optimal expected number of kept tokens, by cutting planes; both sides recomputed from repaired solutions.

    Raises
    ------
    NotCertified
        The solver gave up.
    """
    if nodes.target.size == 0:
        return BlockSolution(0.0, 0.0, np.zeros(0), [], np.zeros(0))
    known: dict[bytes, np.ndarray] = {}
    active: dict[bytes, int] = {}
    alone = list(np.arange(nodes.target.size)[:, None])
    best = BlockSolution(0.0, np.inf, np.zeros(nodes.target.size), [], np.zeros(0))
    for now in range(MAX_ROUNDS):
        # a front that has had no price for long only slows the solver down
        known = {key: front for key, front in known.items() if now - active[key] <= PATIENCE}
        fronts = list(known.values())
        passing, prices = _programme(nodes, fronts, stateless)
        priced = [*alone, *fronts]
        upper = bound(nodes, priced, prices, stateless=stateless)
        if upper < best.upper:
            best = best._replace(upper=upper, fronts=priced, prices=prices)
        active |= {key: now for key, price in zip(known, prices[len(alone):], strict=True) if price > 0}
        fresh: dict[bytes, np.ndarray] = {}
        # a point towards the best rule so far gives deeper cuts than the extreme point itself
        for candidate in ((passing + best.passing) / 2, passing):
            if fresh:
                break
            candidate, overdrawn = repaired(nodes, candidate, stateless=stateless)
            fresh |= {front.tobytes(): front for front in overdrawn if front.tobytes() not in known}
            if candidate.sum() > best.lower:
                best = best._replace(lower=float(candidate.sum()), passing=candidate)
        if best.upper - best.lower <= MET or not fresh:
            break
        known |= fresh
        active |= dict.fromkeys(fresh, now)
    used = np.flatnonzero(best.prices > 0)
    return best._replace(fronts=[best.fronts[i] for i in used], prices=best.prices[used])


def bound(nodes: Tree, fronts: list[np.ndarray], prices: np.ndarray, *, stateless: bool) -> float:
    """Upper bound on the expected number of kept tokens that prices >= 0 of fronts prove, whatever they are.

    The reduced gain of a node, ``1 - prices of the fronts that hold it``, plus what its extensions are worth (when
    stateless, they are limited by the node itself), is paid at the node's ceiling where it is positive: the target's
    mass, or the capacity of the node alone.
    """
    worth, credit = np.ones(nodes.target.size), np.zeros(nodes.target.size)
    total, ceiling = 0.0, nodes.ceiling
    for i in np.flatnonzero(prices > 0):
        worth[fronts[i]] -= prices[i]
        total += prices[i] * capacity(nodes.draft[fronts[i]].sum(), nodes.paths)
    if not stateless:
        # what fronts overpay at a node is credit for its extensions
        for node in range(worth.size):
            owed = worth[node] + (credit[nodes.parent[node]] if nodes.parent[node] >= 0 else 0.0)
            total += max(owed, 0.0) * ceiling[node]
            credit[node] = min(owed, 0.0)
        return float(total)
    for node in range(worth.size - 1, -1, -1):
        gain = max(worth[node], 0.0) * nodes.step[node]
        if ceiling[node] < INVISIBLE:
            total += max(worth[node], 0.0) * ceiling[node]
        elif nodes.parent[node] >= 0:
            worth[nodes.parent[node]] += gain
        else:
            total += gain
    return float(total)


def dual(nodes: Tree, fronts: list[np.ndarray], prices: np.ndarray, *, stateless: bool) -> np.ndarray:
    """Prices of the constraints that tie a node to the target, from those of fronts, ``[N]``.

    Stateless: pi(u), of ``A(uy) <= A(u) p(y|u)``; one-call: kappa(u), of ``A(u) <= p(u)``. They prove what `bound` says
    without the fronts: see `otspec.analysis.dual`.
    """
    worth = np.ones(nodes.target.size)
    for i in np.flatnonzero(prices > 0):
        worth[fronts[i]] -= prices[i]
    if stateless:
        # a node that drafts hardly reach is left to the mean over trees
        met = capacity(nodes.draft, nodes.paths) >= INVISIBLE
        for node in range(worth.size - 1, -1, -1):
            worth[node] = max(worth[node], 0.0) if met[node] else 0.0
            if nodes.parent[node] >= 0:
                worth[nodes.parent[node]] += worth[node] * nodes.step[node]
        return worth
    credit = np.zeros(worth.size)
    for node in range(worth.size):
        owed = worth[node] + (credit[nodes.parent[node]] if nodes.parent[node] >= 0 else 0.0)
        # what a node alone is limited by its drafts to is left to the mean over trees
        worth[node] = max(owed, 0.0) if nodes.ceiling[node] == nodes.target[node] else 0.0
        credit[node] = min(owed, 0.0)
    return worth


def repaired(nodes: Tree, passing: np.ndarray, *, stateless: bool) -> tuple[np.ndarray, list[np.ndarray]]:
    """Passing masses of a rule near the given ones, and the fronts that the given ones overdraw."""
    passing = np.clip(passing, 0.0, nodes.ceiling)
    if stateless:
        for node in np.flatnonzero(nodes.parent >= 0).tolist():
            passing[node] = min(passing[node], passing[nodes.parent[node]] * nodes.step[node])
    else:
        # a rule that passes an extension passes the node; no front loses by that
        below = np.zeros(passing.size)
        for node in range(passing.size - 1, -1, -1):
            passing[node] = max(passing[node], below[node])
            if nodes.parent[node] >= 0:
                below[nodes.parent[node]] += passing[node]
    vertices = hull_fronts(nodes, passing)
    ratios = np.array([capacity(nodes.draft[u].sum(), nodes.paths) / passing[u].sum() for u in vertices])
    overdrawn = [u for u, ratio in zip(vertices, ratios, strict=True) if ratio < 1.0]
    # scaling keeps every other constraint: they are homogeneous, or bounded by the target at depth 1
    return passing * min(1.0, ratios.min(initial=1.0)), overdrawn


def hull_fronts(nodes: Tree, passing: np.ndarray) -> list[np.ndarray]:
    """Fronts at the vertices of the upper hull of (draft mass, passing mass) over all fronts."""
    count = passing.size
    edges: list[list[tuple[float, float, float]]] = [[] for _ in range(count)]
    last = np.zeros(count)
    whole: list[tuple[float, float, float]] = []
    for node in range(count - 1, -1, -1):
        pooled = sorted(edges[node], key=lambda edge: -edge[0])
        width = max(nodes.draft[node] - sum(edge[1] for edge in pooled), 0.0)
        rise = max(passing[node] - sum(edge[2] for edge in pooled), 0.0)
        while pooled and pooled[-1][2] * width <= rise * pooled[-1][1]:
            _, more_width, more_rise = pooled.pop()
            width, rise = width + more_width, rise + more_rise
        last[node] = rise / width
        pooled.append((last[node], width, rise))
        edges[node] = []
        (edges[nodes.parent[node]] if nodes.parent[node] >= 0 else whole).extend(pooled)
    above = np.full(count, -1.0)
    for node in np.flatnonzero(nodes.parent >= 0).tolist():
        above[node] = max(above[nodes.parent[node]], last[nodes.parent[node]])
    slopes = sorted({edge[0] for edge in whole if edge[0] > 0}, reverse=True)
    return [np.flatnonzero((last >= slope) & (above < slope)) for slope in slopes]


def _programme(nodes: Tree, fronts: list[np.ndarray], stateless: bool) -> tuple[np.ndarray, np.ndarray]:
    """Passing masses, and prices of every node alone and of the fronts, from HiGHS.

    Its unknowns are in units of the ceilings and its rows in units of the capacities.
    """
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    unit = nodes.ceiling
    limits = np.array([capacity(nodes.draft[u].sum(), nodes.paths) for u in fronts])
    row = np.repeat(np.arange(len(fronts)), [u.size for u in fronts])
    column = np.concatenate([*fronts, np.zeros(0, dtype=np.int64)])
    entry = unit[column] / limits[row]
    heads, tied = _ties(nodes, unit, stateless)
    matrix = coo_array((np.concatenate([entry, tied[0]]), (np.concatenate([row, len(fronts) + tied[1]]),
                                                           np.concatenate([column, tied[2]]))),
                       shape=(len(fronts) + heads, unit.size)).tocsr()
    cost = COST_SCALE / unit.max()
    result = linprog(-unit * cost, A_ub=matrix, bounds=(0.0, 1.0), method="highs",
                     b_ub=np.concatenate([np.ones(len(fronts)), np.zeros(heads)]),
                     options={"primal_feasibility_tolerance": SOLVER_TOLERANCE,
                              "dual_feasibility_tolerance": SOLVER_TOLERANCE})
    if result.x is None:
        raise NotCertified(f"HiGHS stopped without a solution: {result.message} Fix: a smaller draft_length.", np.inf)
    # a node at its ceiling is limited by a front of its own, unless by the target
    own = np.where(unit < nodes.target, -result.upper.marginals, 0.0) / unit
    prices = np.concatenate([own, -result.ineqlin.marginals[: len(fronts)] / limits])
    return result.x * unit, np.maximum(prices, 0.0) / cost


def _ties(nodes: Tree, unit: np.ndarray, stateless: bool) -> tuple[int, tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows ``<= 0`` that tie a node to its extensions: how many, and (entry, row, column) of each coefficient."""
    child = np.flatnonzero(nodes.parent >= 0)
    parent = nodes.parent[child]
    if stateless:
        allowed = nodes.step[child] * unit[parent]
        scale = np.maximum(unit[child], allowed)
        entry = np.concatenate([unit[child] / scale, -allowed / scale])
        return child.size, (entry, np.tile(np.arange(child.size), 2), np.concatenate([child, parent]))
    # what passes an extension passes the node
    heads, row = np.unique(parent, return_inverse=True)
    entry = np.concatenate([unit[child] / unit[parent], -np.ones(heads.size)])
    return heads.size, (entry, np.concatenate([row, np.arange(heads.size)]), np.concatenate([child, heads]))
