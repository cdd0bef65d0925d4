"""The largest Pr[Y in drafts] over all couplings of a draft-list law with Y ~ p, three ways.

Theorem (duality of the membership transport problem): the optimum is ``1 + min_H (P(H) - Q(H))`` over sets H
of tokens, where Q(H) is the probability that every draft lies in H. The functions below solve the linear
program on (list, y), the smaller one on (member, set), and the minimum over all subsets.
"""

from itertools import combinations

import numpy as np
from scipy.optimize import linprog


def full_lp(p, list_law):
    """Return the optimum of the linear program with one variable per (list, y) and equality marginals."""
    lists, size = sorted(list_law), len(p)
    cost = np.array([-1.0 if y in xs else 0.0 for xs in lists for y in range(size)])
    rows = np.zeros((len(lists) + size, len(lists) * size))
    for n in range(len(lists)):
        for y in range(size):
            rows[n, n * size + y] = 1.0
            rows[len(lists) + y, n * size + y] = 1.0
    marginals = [float(list_law[xs]) for xs in lists] + [float(v) for v in p]
    return _maximum(linprog(cost, A_eq=rows, b_eq=marginals, bounds=(0, None), method="highs"))


def set_law(list_law):
    """Return the law of the set of drafted tokens."""
    law = {}
    for xs, weight in list_law.items():
        law[frozenset(xs)] = law.get(frozenset(xs), 0) + weight
    return law


def flow_lp(p, list_law):
    """Return the optimum of the linear program with one flow per (member i of S, set S)."""
    sets = sorted(set_law(list_law).items(), key=lambda item: sorted(item[0]))
    arcs = [(i, n) for n, (members, _) in enumerate(sets) for i in sorted(members)]
    rows = np.zeros((len(p) + len(sets), len(arcs)))
    for column, (i, n) in enumerate(arcs):
        rows[i, column] = 1.0
        rows[len(p) + n, column] = 1.0
    capacity = [float(v) for v in p] + [float(weight) for _, weight in sets]
    return _maximum(linprog(-np.ones(len(arcs)), A_ub=rows, b_ub=capacity, bounds=(0, None), method="highs"))


def _maximum(solution):
    if solution.status != 0:
        raise ArithmeticError(f"HiGHS stopped with status {solution.status}: {solution.message}")
    return -solution.fun


def gap(p, list_law, members):
    """Return P(H) - Q(H) for the set H of ``members``."""
    inside = frozenset(members)
    return sum(p[i] for i in inside) - sum(w for s, w in set_law(list_law).items() if s <= inside)


def best_subset(p, list_law):
    """Return (optimum, H) by trying all 2^V sets; among equal sets the smallest, then the first."""
    weights = set_law(list_law)
    best, argument = 0, ()
    for size in range(len(p) + 1):
        for members in combinations(range(len(p)), size):
            inside = frozenset(members)
            value = sum(p[i] for i in members) - sum(w for s, w in weights.items() if s <= inside)
            if value < best - 1e-12:  # 1e-12: equal sets differ by the rounding of at most V**k additions
                best, argument = value, members
    return 1 + best, argument


def subset_bound(p, list_law):
    """Return ``1 + min_H (P(H) - Q(H))``, the minimum taken over all 2^V sets of tokens."""
    return best_subset(p, list_law)[0]


def upper_bound_naive(p, q, k):
    """Return ``sum_y min(p_y, 1 - (1 - q_y)^k)``: an upper bound for k i.i.d. drafts, not the optimum."""
    return sum(min(a, 1 - (1 - b) ** k) for a, b in zip(p, q, strict=True))
