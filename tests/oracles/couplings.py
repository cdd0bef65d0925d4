"""Couplings of a ~ p and b ~ q made with shared randomness and no communication, and their agreement.

Gumbel (exponential race): clocks E_i ~ Exp(1) are shared, a = argmin E_i / p_i and b = argmin E_i / q_i.
MinHash: darts (x, u), uniform on tokens times [0, 1], are shared; a is the token of the first dart with
u <= p_x, b of the first with u <= q_x. Theorem (Bavarian et al.): no such coupling can promise an agreement
above (1 - TV) / (1 + TV) for every pair of laws.
"""

import functools
import itertools
import math

import numpy as np
from scipy.integrate import quad
from scipy.optimize import linprog

from tests.oracles.token_rules import positive_part, residual


def gumbel_agreement(p, q):
    """Return Pr[a = b] = ``sum_j 1 / sum_i max(p_i / p_j, q_i / q_j)`` over the j with p_j, q_j > 0."""
    total = 0
    for j in range(len(p)):
        if p[j] > 0 and q[j] > 0:
            total += 1 / sum(max(p[i] / p[j], q[i] / q[j]) for i in range(len(p)))
    return total


def gumbel_by_integration(p, q):
    """Return Pr[a = b] as an integral over the winner's clock of the chance that all others are late."""

    def late(i, j, clock):
        """Return Pr[E_i / p_i > E_j / p_j and E_i / q_i > E_j / q_j | E_j = clock]."""
        threshold = max(clock * p[i] / p[j], clock * q[i] / q[j])
        return math.exp(-threshold)

    def density(clock, j):
        return math.exp(-clock) * math.prod(late(i, j, clock) for i in range(len(p)) if i != j)

    winners = [j for j in range(len(p)) if p[j] > 0 and q[j] > 0]
    return sum(quad(density, 0, math.inf, args=(j,))[0] for j in winners)


def race(clocks, law):
    """Return the winner of the exponential race with shared ``clocks``; zero-probability tokens never win."""
    times = [clock / v if v > 0 else math.inf for clock, v in zip(clocks, law, strict=True)]
    return times.index(min(times))


def gumbel_simulation(p, q, samples, seed):
    """Return the share of ``samples`` shared races in which both sides pick the same token."""
    rng = np.random.default_rng(seed)
    clocks = rng.exponential(size=(samples, len(p))).tolist()
    return sum(race(row, p) == race(row, q) for row in clocks) / samples


def minhash_same_dart(p, q):
    """Return the probability that both sides accept the same dart, (1 - TV) / (1 + TV)."""
    return _sum(min, p, q) / _sum(max, p, q)


def minhash_same_item(p, q):
    """Return Pr[a = b], which also counts different darts on the same token."""
    p_over, q_over = positive_part(p, q), positive_part(q, p)
    later = sum(x * b for x, b in zip(p_over, q, strict=True))
    later += sum(x * a for x, a in zip(q_over, p, strict=True))
    return (_sum(min, p, q) + later) / _sum(max, p, q)


def _sum(pick, p, q):
    return sum(pick(a, b) for a, b in zip(p, q, strict=True))


def minhash_simulation(p, q, samples, seed):
    """Return the shares of ``samples`` shared dart sequences with (the same dart, the same item)."""
    rng = np.random.default_rng(seed)
    same_dart = same_item = 0
    for _ in range(samples):
        first = {}
        throw = 0
        while len(first) < 2:
            x, u = int(len(p) * rng.random()), rng.random()
            for side, law in (("a", p), ("b", q)):
                if side not in first and u <= law[x]:
                    first[side] = (throw, x)
            throw += 1
        same_dart += first["a"] == first["b"]
        same_item += first["a"][1] == first["b"][1]
    return same_dart / samples, same_item / samples


def rounded_down(p, step):
    """Return p rounded down to multiples of ``step``."""
    return [math.floor(v / step) * step for v in p]


def communicated(p, q, rounded):
    """Return (joint law of (a, b), expected retries) of the protocol with few bits, for ``rounded`` <= p.

    Alice draws a ~ p and sends it with chance ``rounded_a / p_a``, else a flag. Bob keeps a with
    chance ``min(1, q_a / rounded_a)``; else he draws b' ~ q until one passes with chance
    ``1 - min(1, rounded / q)``.
    """
    size = len(p)
    retry = residual(q, rounded)
    passing = sum(positive_part(q, rounded))
    joint, refused_total = {(a, b): 0 for a in range(size) for b in range(size)}, 0
    for a in range(size):
        kept = min(rounded[a], q[a])
        refused = p[a] - kept
        joint[a, a] += kept
        refused_total += refused
        for b in range(size):
            joint[a, b] += refused * retry[b]
    retries = refused_total / passing if passing > 0 else 0
    return joint, retries


def list_gumbel_agreement(p, q, sheets, drafted):
    """Return Pr[y in list] of ``drafted`` of the ``sheets``, by nested integration over the two clocks that matter.

    Let y = j at time t. On the sheet that decided, no token may be earlier under q; on another sheet all clocks are
    late by exponentials, token i starting to run at ``t p_i / q_i``, and j must come first.
    """

    def other_sheet(j, t):
        def density(s):
            return q[j] * math.exp(-sum(max(q[i] * s - t * p[i], 0) for i in range(len(p))))

        starts = sorted({t * p[i] / q[i] for i in range(len(p)) if q[i] > 0 and p[i] * q[j] >= p[j] * q[i]})
        ends = [*starts[1:], starts[-1] + 60 / sum(q)]
        return sum(quad(density, a, b, epsabs=1e-13)[0] for a, b in zip(starts, ends, strict=True))

    def density(t, j):
        winner = math.exp(-t * sum(max(q[i] * p[j] / q[j] - p[i], 0) for i in range(len(p))))
        missed = 1 - other_sheet(j, t)
        share = drafted / sheets
        hit = share * (1 - (1 - winner) * missed ** (drafted - 1)) + (1 - share) * (1 - missed**drafted)
        return sheets * math.exp(-sheets * t) * hit

    drafted_tokens = [j for j in range(len(p)) if p[j] > 0 and q[j] > 0]
    return sum(p[j] * quad(density, 0, 40 / sheets, args=(j,), epsabs=1e-11, limit=200)[0] for j in drafted_tokens)


def race_list_agreement(p, q, k):
    """Return Pr[the target's token is among the first k of the drafter's race], summed over who precedes it.

    Given y = j at time t, the set of those that precede j has each token i independently; the integral over t of a
    product of ``e^{-a t}`` and ``1 - e^{-a t}`` is a sum over subsets of the latter.
    """
    total = 0
    for j in range(len(p)):
        if not (p[j] > 0 and q[j] > 0):
            continue
        rates = [max(q[i] * p[j] / q[j] - p[i], 0) for i in range(len(p)) if i != j]
        for size in range(min(k, len(p))):
            for before in itertools.combinations(range(len(rates)), size):
                late = sum(rate for i, rate in enumerate(rates) if i not in before)
                for count in range(size + 1):
                    for signs in itertools.combinations(before, count):
                        total += p[j] * (-1) ** count / (1 + late + sum(rates[i] for i in signs))
    return total


def best_shared_strategy(laws, pairs):
    """Return the largest promise of any protocol with shared randomness: max over protocols of min over ``pairs``.

    A protocol is a random function from laws to tokens, the same for both parties, so the linear programme has one
    variable for each function; each law's token must have that law, and the smallest agreement over the pairs of
    indices is maximised. The parties know only their own law, and which laws may occur.
    """
    size, count = len(laws[0]), len(laws)
    functions = [f for f in itertools.product(range(size), repeat=count)
                 if all(laws[i][x] > 0 for i, x in enumerate(f))]
    marginals = [[float(f[i] == x) for f in functions] + [0.0] for i in range(count) for x in range(size)]
    promises = [[-float(f[i] == f[j]) for f in functions] + [1.0] for i, j in pairs]
    found = linprog([0.0] * len(functions) + [-1.0], A_ub=promises, b_ub=[0.0] * len(pairs), A_eq=marginals,
                    b_eq=[laws[i][x] for i in range(count) for x in range(size)], bounds=(0, None), method="highs")
    return -found.fun


def least_entropy(p, q):
    """Return the least entropy, in bits, of a joint law of p and q, over every order of filling cells.

    Every vertex of the transport polytope is got by choosing cells one after the other and filling each as far as both
    marginals allow, because its support is a forest, which has leaves. ``p`` and ``q`` are Fractions.
    """
    @functools.cache
    def rest(rows, columns):
        if not any(rows):
            return 0.0
        best = math.inf
        for i, j in itertools.product(range(len(rows)), range(len(columns))):
            mass = min(rows[i], columns[j])
            if mass > 0:
                left = (*rows[:i], rows[i] - mass, *rows[i + 1 :]), (*columns[:j], columns[j] - mass, *columns[j + 1 :])
                best = min(best, rest(*left) - float(mass) * math.log2(mass))
        return best

    return rest(tuple(p), tuple(q))
