"""Lossy rules in the notation of their sources, one list of drafts at a time, and the frontier as a linear programme.

p is the target law, q the draft law. `frontier` lets the programme choose the emitted law together with the plan, so
it assumes nothing of the theorem that it is compared with.
"""

import math

import numpy as np
from scipy.optimize import linprog

from tests.oracles.optimum import set_law


def frontier(p, list_law, budget):
    """Largest Pr[Y in drafts] over all plans whose emitted law is within ``budget`` of p in total variation."""
    sets = sorted(set_law(list_law).items(), key=lambda item: sorted(item[0]))
    arcs = [(i, n) for n, (members, _) in enumerate(sets) for i in sorted(members)]
    size, flows = len(p), len(arcs)
    # variables: accepted flow per (member, set), emitted mass that is not accepted [V], |emitted law - p| [V]
    within = np.zeros((len(sets) + 2 * size + 1, flows + 2 * size))
    limits = np.concatenate([[float(weight) for _, weight in sets], p, -np.asarray(p, dtype=float), [2 * budget]])
    for column, (i, n) in enumerate(arcs):
        within[n, column] = 1.0
        within[len(sets) + i, column], within[len(sets) + size + i, column] = 1.0, -1.0
    for i in range(size):
        over, under = len(sets) + i, len(sets) + size + i
        within[over, flows + i], within[under, flows + i] = 1.0, -1.0
        within[[over, under], flows + size + i] = -1.0
        within[-1, flows + size + i] = 1.0
    total = np.concatenate([np.ones(flows + size), np.zeros(size)])[None]
    cost = -np.concatenate([np.ones(flows), np.zeros(2 * size)])
    found = linprog(cost, A_ub=within, b_ub=limits, A_eq=total, b_eq=[1.0], bounds=(0, None), method="highs")
    if found.status != 0:
        raise ArithmeticError(f"HiGHS stopped with status {found.status}: {found.message}")
    return -found.fun


def rejection(p, q, x):
    """Law of the token after speculative sampling of the draft x."""
    keep = min(1.0, p[x] / q[x])
    excess = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
    mass = sum(excess)
    law = [(1 - keep) * (e / mass if mass > 0 else a) for e, a in zip(excess, p, strict=True)]
    law[x] += keep
    return law


def ensemble(p, q, xs, weight):
    """As in transformers: ratio 1 - w + w p/q, and after a refusal the excess of p over q."""
    x = xs[0]
    keep = min(1.0, 1.0 - weight + weight * p[x] / q[x])
    excess = [max(a - b, 0.0) for a, b in zip(p, q, strict=True)]
    mass = sum(excess)
    law = [(1 - keep) * (e / mass if mass > 0 else a) for e, a in zip(excess, p, strict=True)]
    law[x] += keep
    return law


def typical(p, q, xs, threshold, alpha):
    """As in Medusa: p(x) > min(threshold, alpha exp(-H(p))); the fallback is p on the typical tokens."""
    entropy = -sum(a * math.log(a) for a in p if a > 0)
    bar = min(threshold, alpha * math.exp(-entropy))
    return _first_listed(xs, {y for y, a in enumerate(p) if a > bar}, [a if a > bar else 0.0 for a in p])


def top_k(p, q, xs, count, delta):
    """One of the ``count`` likeliest tokens, at most ``delta`` below the likeliest; the fallback is p."""
    best = sorted(range(len(p)), key=lambda y: (-p[y], y))[:count]
    return _first_listed(xs, {y for y in best if p[y] > 0 and p[y] >= max(p) - delta}, p)


def _first_listed(xs, listed, fallback):
    for x in xs:
        if x in listed:
            return [float(y == x) for y in range(len(fallback))]
    return [a / sum(fallback) for a in fallback]


def cactus(p, q, xs, delta):
    """The target h of the draft x: its mass lifted, the others in proportion; then rejection of x against h."""
    x = xs[0]
    lifted = min(1.0, p[x] + math.sqrt(2 * delta * p[x] * max(1 - p[x], 0.0)))
    h = [lifted if y == x else (a * (1 - lifted) / (1 - p[x]) if p[x] < 1 else 0.0) for y, a in enumerate(p)]
    return rejection(h, q, x)
