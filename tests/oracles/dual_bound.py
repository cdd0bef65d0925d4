"""The dual bound in the letters of its proof, every K-tuple of drafted paths by itself.

A model is ``next_law(prefix)`` from a tuple of tokens to V probabilities. ``pi`` and ``kappa`` are functions of a
prefix of 1 .. L tokens. Nothing is vectorised, and nothing knows what the best function is.
"""

from itertools import combinations, permutations, product

import numpy as np
from scipy.optimize import linprog


def all_prefixes(size, length):
    """All prefixes of 1 .. L tokens, in order of length."""
    return [text for depth in range(1, length + 1) for text in product(range(size), repeat=depth)]


def mass(next_law, text):
    """Probability of a prefix."""
    total = 1.0
    for i, token in enumerate(text):
        total *= next_law(text[:i])[token]
    return total


def stateless_bound(target, draft, length, paths, pi):
    """``1 + E_p pi(y) + E_T max_v sum_{u <= v} g(u)``, ``g(u) = 1 + E_p pi(uy) - pi(u)``, pi = 0 below depth L."""
    size = len(target(()))

    def mean_below(u):
        return sum(target(u)[y] * pi[(*u, y)] for y in range(size)) if len(u) < length else 0.0

    gain = {u: 1.0 + mean_below(u) - pi[u] for u in all_prefixes(size, length)}
    return 1.0 + mean_below(()) + _mean_best(draft, size, length, paths, gain)


def one_call_bound(target, draft, length, paths, kappa):
    """``1 + sum_u P(u) kappa(u) + E_T max_v sum_{u <= v} (1 - kappa(u))``."""
    size = len(target(()))
    prefixes = all_prefixes(size, length)
    gain = {u: 1.0 - kappa[u] for u in prefixes}
    return 1.0 + sum(mass(target, u) * kappa[u] for u in prefixes) + _mean_best(draft, size, length, paths, gain)


def _mean_best(draft, size, length, paths, gain):
    """Mean over K-tuples of drafted paths of the largest sum of gains along a path; nothing kept counts 0."""
    texts = list(product(range(size), repeat=length))
    chance = {text: mass(draft, text) for text in texts}
    total = 0.0
    for drawn in product(texts, repeat=paths):
        weight, best = 1.0, 0.0
        for text in drawn:
            weight *= chance[text]
            score = 0.0
            for depth in range(1, length + 1):
                score += gain[text[:depth]]
                best = max(best, score)
        total += weight * best
    return total


def mean_of_subsets(values, size, function):
    """Mean of a function over all subsets of ``size`` of the values."""
    chosen = list(combinations(values, size))
    return sum(map(function, chosen)) / len(chosen)


def child_sets(law, width):
    """Law of the set of the first ``width`` tokens drawn without replacement."""
    live = [y for y in range(len(law)) if law[y] > 0]
    sets = {}
    for order in permutations(live, min(width, len(live))):
        chance, left = 1.0, 1.0
        for y in order:
            chance *= law[y] / left
            left -= law[y]
        sets[frozenset(order)] = sets.get(frozenset(order), 0.0) + chance
    return sets


def trees(draft, widths, prefix=()):
    """Law of the drafted tree, a set of prefixes, with ``widths`` children without replacement by depth."""
    if not widths:
        return {frozenset(): 1.0}
    law = {}
    for children, chance in child_sets(draft(prefix), widths[0]).items():
        below = [trees(draft, widths[1:], (*prefix, y)).items() for y in sorted(children)]
        for chosen in product(*below):
            nodes = frozenset((*prefix, y) for y in children).union(*(nodes for nodes, _ in chosen))
            weight = chance
            for _, part in chosen:
                weight *= part
            law[nodes] = law.get(nodes, 0.0) + weight
    return law


def tree_optimum(target, draft, widths):
    """``1 + max sum_u a(u)`` of trees with ``widths`` children without replacement by depth."""
    law = [(chance, nodes) for nodes, chance in trees(draft, widths).items()]
    return _optimum(target, law)


def optimum_on_trees(target, drafted):
    """``1 + max sum_u a(u)`` of drafted trees ``(probability, DraftTree)``."""
    law = {}
    for chance, tree in drafted:
        nodes = []
        for node in range(1, len(tree)):
            way = []
            while node:
                way.append(int(tree.tokens[node]))
                node = int(tree.parents[node])
            nodes.append(tuple(reversed(way)))
        law[frozenset(nodes)] = law.get(frozenset(nodes), 0.0) + chance
    return _optimum(target, [(chance, nodes) for nodes, chance in law.items()])


def _optimum(target, law):
    """``1 + max sum_u a(u)``: one variable per tree ``(probability, prefixes)`` and node where the rule stops."""
    stops = [(n, v) for n, (_, nodes) in enumerate(law) for v in sorted(nodes)]
    prefixes = sorted({v[:depth] for _, v in stops for depth in range(1, len(v) + 1)}, key=lambda u: (len(u), u))
    keeps = {u: np.array([law[n][0] * (v[: len(u)] == u) for n, v in stops]) for u in prefixes}
    keeps[()] = np.zeros(len(stops))
    rows = [[float(n == m) for m, _ in stops] for n in range(len(law))]
    limits = [1.0] * len(law)
    for u in prefixes:
        step = target(u[:-1])[u[-1]]
        rows.append(keeps[u] - step * keeps[u[:-1]])
        limits.append(step if len(u) == 1 else 0.0)
    solved = linprog(-sum(keeps.values()), A_ub=np.array(rows), b_ub=limits, bounds=(0, None), method="highs")
    return 1.0 - solved.fun
