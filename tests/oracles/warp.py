"""Softmax, temperature, top-k and top-p, one token after the other in the order of rank."""

import math


def softmax(logits, T=1.0):
    peak = max(logits)
    weights = [math.exp((x - peak) / T) if x > -math.inf else 0.0 for x in logits]
    return [w / math.fsum(weights) for w in weights]


def ranked(p):
    """Tokens by descending mass; of equal ones the lower id comes first."""
    return sorted(range(len(p)), key=lambda x: (-p[x], x))


def top_k(p, k):
    return {x for x in ranked(p)[:k] if p[x] > 0}


def top_p(p, mass):
    """Tokens before which less than ``mass`` was collected, sums taken largest first."""
    kept, collected = set(), 0.0
    for x in ranked(p):
        if collected < mass and p[x] > 0:
            kept.add(x)
        collected += p[x]
    return kept


def restricted(p, kept):
    total = math.fsum(p[x] for x in kept)
    return [p[x] / total if x in kept else 0.0 for x in range(len(p))]


def truncated(p, k=None, mass=None):
    if k is not None:
        p = restricted(p, top_k(p, k))
    return p if mass is None or mass >= 1 else restricted(p, top_p(p, mass))
