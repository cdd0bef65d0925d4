"""Token-level verification rules: the law of the emitted token Y given the list of drafts, from each loop.

A rule is a function ``rule(p, q, xs)`` returning V probabilities, ``xs`` being the list in drawing order. It
is lossless for a list law when mixing these rows over the lists gives p, and its acceptance is Pr[Y in xs]: a
token emitted by the last, residual draw counts whenever it happens to be among the drafts.
"""

from tests.oracles.drafting import by_probability


def positive_part(p, q):
    """Return the entries max(p_x - q_x, 0)."""
    return [max(a - b, 0) for a, b in zip(p, q, strict=True)]


def residual(p, q):
    """Return the normalised positive part of p - q, or p itself when nothing is left of it."""
    part = positive_part(p, q)
    mass = sum(part)
    return [v / mass for v in part] if mass > 0 else list(p)


def accept(target, draft):
    """Return min(1, target / draft) for two probabilities; a token that cannot be drafted is refused."""
    if draft <= 0:
        return 0
    return 1 if target >= draft else target / draft


def single_draft(p, q, xs):
    """Speculative sampling of the first draft; the others are ignored."""
    keep = accept(p[xs[0]], q[xs[0]])
    law = [(1 - keep) * v for v in residual(p, q)]
    law[xs[0]] += keep
    return law


def naive(p, q, xs):
    """Speculative sampling of the first draft, then membership of the residual draw: the same law of Y."""
    return single_draft(p, q, xs)


def nss(p, q, xs):
    """Draw Y from p without looking at the drafts."""
    return list(p)


def rrs_iid(p, q, xs):
    """Recursive rejection: test each draft against q; a refusal replaces the target by its residual."""
    law, survive, r = [0] * len(p), 1, list(p)
    for x in xs:
        keep = accept(r[x], q[x])
        law[x] += survive * keep
        survive *= 1 - keep
        r = residual(r, q)
    return [a + survive * v for a, v in zip(law, r, strict=True)]


def rrs_wor(p, q, xs):
    """Recursive rejection in which a refused token also leaves the draft law, which is renormalised."""
    law, survive, r, left = [0] * len(p), 1, list(p), list(q)
    for x in xs:
        keep = accept(r[x], left[x])
        law[x] += survive * keep
        survive *= 1 - keep
        r = residual(r, left)
        left[x] = 0
        mass = sum(left)
        left = [v / mass for v in left] if mass > 0 else left
    return [a + survive * v for a, v in zip(law, r, strict=True)]


def beta(p, q, rho):
    """Return K-SEQ's chance of accepting one draft, ``sum min(q, p / rho)``."""
    return sum(min(b, a / rho) for a, b in zip(p, q, strict=True))


def smallest_rho(p, q, k):
    """Return the smallest rho in [1, k] with ``1 - (1 - beta)^k <= rho beta``, approached from above."""
    low, high = 1.0, float(k)
    if 1 - (1 - beta(p, q, low)) ** k <= low * beta(p, q, low):
        return low
    while True:
        middle = (low + high) / 2
        if middle in (low, high):
            return high
        b = beta(p, q, middle)
        low, high = (low, middle) if 1 - (1 - b) ** k <= middle * b else (middle, high)


def k_seq_residual(p, q, k, rho):
    """Return the law of the last draw, ``p - min(q, p / rho) (1 - (1 - beta)^k) / beta`` normalised."""
    b = beta(p, q, rho)
    scale = (1 - (1 - b) ** k) / b if b > 0 else k
    return residual(p, [scale * min(v, a / rho) for a, v in zip(p, q, strict=True)])


def k_seq_loop(p, q, xs, k, rho):
    """Run K-SEQ's loop over ``xs`` with the residual that is meant for k drafts, whatever rho is."""
    law, survive = [0] * len(p), 1
    for x in xs:
        keep = accept(p[x], rho * q[x])
        law[x] += survive * keep
        survive *= 1 - keep
    return [a + survive * v for a, v in zip(law, k_seq_residual(p, q, k, rho), strict=True)]


def k_seq(p, q, xs, rho=None):
    """Test each draft with min(1, p / (rho q)), then draw the residual; the default rho is the smallest."""
    k = len(xs)
    rho = smallest_rho(p, q, k) if rho is None else rho
    b = beta(p, q, rho)
    if 1 - (1 - b) ** k > rho * b + 1e-12:  # 1e-12: rounding of a sum over V terms at the root itself
        least = smallest_rho(p, q, k)
        raise ValueError(f"rho={rho} is below the smallest valid value {least}; use a larger one")
    return k_seq_loop(p, q, xs, k, rho)


def greedy(p, q, xs):
    """Single-draft test of the last, random draft against q off the fixed ones, which the residual may hit.

    ``xs`` comes from ``drafting.greedy``: all tokens but the last are the likeliest ones.
    """
    fixed = xs[:-1]
    off = [0 if x in fixed else v for x, v in enumerate(q)]
    mass = sum(off)
    return single_draft(p, [v / mass for v in off], xs[-1:])


def spechub(p, q, xs):
    """SpecHub's verification for ``drafting.spechub``: first x from (x, a), then x from (a, x), then a.

    The mass of the pairs that is not turned into x goes to the hub a: from (a, x) first, then from (x, a).
    Whatever is still missing of p afterwards is the residual.
    """
    hub, size = by_probability(q)[0], len(p)
    others = [x for x in range(size) if x != hub and q[x] > 0]
    if not others:
        return single_draft(p, [1 if x == hub else 0 for x in range(size)], xs)
    mass = sum(q[x] for x in others)
    behind = {x: q[hub] * q[x] / mass for x in others}
    taken_first = {x: min(p[x], q[x]) for x in others}
    taken_behind = {x: min(p[x] - taken_first[x], behind[x]) for x in others}
    spare_behind = sum(behind[x] - taken_behind[x] for x in others)
    spare_first = sum(q[x] - taken_first[x] for x in others)
    hub_behind = accept(p[hub], spare_behind)
    hub_left = max(p[hub] - spare_behind, 0)
    hub_first = accept(hub_left, spare_first)
    missing = [0 if x == hub else p[x] - taken_first.get(x, 0) - taken_behind.get(x, 0) for x in range(size)]
    missing[hub] = max(hub_left - spare_first, 0)
    rest = residual(missing, [0] * size)
    x = xs[0] if xs[1] == hub else xs[1]
    if xs[1] == hub:
        keep, keep_hub = accept(p[x], q[x]), hub_first
    else:
        keep, keep_hub = accept(p[x] - taken_first[x], behind[x]), hub_behind
    law = [(1 - keep) * (1 - keep_hub) * v for v in rest]
    law[x] += keep
    law[hub] += (1 - keep) * keep_hub
    return law


RULES = {
    "single_draft": single_draft,
    "naive": naive,
    "nss": nss,
    "rrs_iid": rrs_iid,
    "rrs_wor": rrs_wor,
    "k_seq": k_seq,
    "greedy": greedy,
    "spechub": spechub,
}


def output_law(rule, p, q, list_law):
    """Return the law of Y when lists are drawn from ``list_law`` and verified by ``rule``."""
    law = [0] * len(p)
    for xs, weight in list_law.items():
        law = [a + weight * v for a, v in zip(law, rule(p, q, xs), strict=True)]
    return law


def acceptance(rule, p, q, list_law):
    """Return Pr[Y in drafts] when lists are drawn from ``list_law`` and verified by ``rule``."""
    total = 0
    for xs, weight in list_law.items():
        row = rule(p, q, xs)
        total += weight * sum(row[x] for x in set(xs))
    return total


def tv(a, b):
    """Return the total variation distance, half the sum of |a - b|."""
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / 2
