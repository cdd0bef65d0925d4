"""Laws of the draft list, as ``{tuple of tokens in drawing order: probability}``.

Definition: drawing without replacement picks the next token in proportion to q among the tokens left. What is
left is always summed afresh, since ``1 - (mass removed)`` loses every digit once the mass left is small. When
fewer than k tokens have q > 0, the surplus draws are absent: lists are shorter.
"""

from itertools import product


def iid(q, k):
    """Return the law of k independent draws from q."""
    law = {}
    for xs in product(range(len(q)), repeat=k):
        weight = 1
        for x in xs:
            weight = weight * q[x]
        if weight > 0:
            law[xs] = weight
    return law


def independent(qs):
    """Return the law of one draw from each of several draft laws, in their order."""
    law = {}
    for xs in product(*(range(len(q)) for q in qs)):
        weight = 1
        for q, x in zip(qs, xs, strict=True):
            weight = weight * q[x]
        if weight > 0:
            law[xs] = weight
    return law


def _extend(q, drawn, k):
    """Return the law of k further draws without replacement after the tokens already drawn."""
    left = [x for x in range(len(q)) if x not in drawn and q[x] > 0]
    if k == 0 or not left:
        return {drawn: 1}
    mass = sum(q[x] for x in left)
    law = {}
    for x in left:
        for xs, weight in _extend(q, (*drawn, x), k - 1).items():
            law[xs] = law.get(xs, 0) + q[x] / mass * weight
    return law


def without_replacement(q, k):
    """Return the law of k successive draws from q without replacement."""
    return _extend(q, (), k)


def by_probability(q):
    """Return the tokens with q > 0, most probable first, the lower index first among equals."""
    return sorted((x for x in range(len(q)) if q[x] > 0), key=lambda x: (-q[x], x))


def hybrid(q, top, k):
    """Return the law of a list: the ``top`` likeliest tokens, then k - top draws without replacement."""
    kept = tuple(by_probability(q)[: min(top, k)])
    return _extend(q, kept, k - len(kept))


def greedy(q, k):
    """Return the law of a list: the k - 1 likeliest tokens, then one draw from the other tokens."""
    support = len(by_probability(q))
    return hybrid(q, min(k, support) - 1, min(k, support))


def spechub(q):
    """Return SpecHub's law of two drafts, in which the likeliest token a always takes part.

    For x other than a: (x, a) has probability q_x and (a, x) has probability q_a q_x / (1 - q_a).
    """
    tokens = by_probability(q)
    hub, others = tokens[0], tokens[1:]
    if not others:
        return {(hub,): 1}
    mass = sum(q[x] for x in others)
    law = {}
    for x in others:
        law[x, hub] = q[x]
        law[hub, x] = q[hub] * q[x] / mass
    return law
