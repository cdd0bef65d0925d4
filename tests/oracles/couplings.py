"""Couplings of a ~ p and b ~ q made with shared randomness and no communication, and their agreement.

Gumbel (exponential race): clocks E_i ~ Exp(1) are shared, a = argmin E_i / p_i and b = argmin E_i / q_i.
MinHash: darts (x, u), uniform on tokens times [0, 1], are shared; a is the token of the first dart with
u <= p_x, b of the first with u <= q_x. Theorem (Bavarian et al.): no such coupling can promise an agreement
above (1 - TV) / (1 + TV) for every pair of laws.
"""

import math

import numpy as np
from scipy.integrate import quad

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
