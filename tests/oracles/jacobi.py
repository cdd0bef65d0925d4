"""Speculative Jacobi decoding of an order-1 chain, iteration by iteration, every coin a branch of one recursion.

``p[a][b]`` is the target's chance of b after a. The window holds tokens ``x`` with the laws ``q`` they were drawn from.
A *bug* replaces one line of the algorithm; the text is then biased, which is what the tests must notice.
"""

from fractions import Fraction

BUGS = ("old law", "new law", "greedy redraw", "no residual", "law one slot off")


def jacobi(p, start, window, length, coupling, fill, bug=None):
    """Law of the text as ``{tokens: mass}``, and expected calls until it is long enough."""
    texts, calls = {}, [0]
    for a, mass in enumerate(start):
        for x, q, m in filled(p, a, [], [], window, fill, mass):
            iterate(p, (a,), x, q, m, window, length, coupling, fill, bug, texts, calls)
    return texts, calls[0]


def iterate(p, text, x, q, mass, window, length, coupling, fill, bug, texts, calls):
    if mass == 0:
        return
    calls[0] += mass
    size = len(p)
    now = [p[b] for b in (text[-1], *x)]  # p_1 .. p_{W+1}
    for y, m in outcomes(x, q, now, coupling, bug):
        kept = 0
        while kept < window and y[kept] == x[kept]:
            kept += 1
        longer = text + tuple(y[: kept + 1])
        if len(longer) > length:
            key = longer[1 : length + 1]
            texts[key] = texts.get(key, 0) + mass * m
            continue
        stored = now[kept + 1 :]
        if bug == "old law":
            stored = [q[i] if i < window else now[i] for i in range(kept + 1, window + 1)]
        if bug == "law one slot off":
            stored = now[kept:window]
        carried = y[kept + 1 :]
        if bug == "greedy redraw":
            carried = [max(range(size), key=law.__getitem__) for law in now[kept + 1 :]]
        for x2, q2, m2 in filled(p, longer[-1], list(carried), list(stored), window, fill, mass * m):
            iterate(p, longer, x2, q2, m2, window, length, coupling, fill, bug, texts, calls)


def outcomes(x, q, now, coupling, bug):
    """All new tokens ``y_1 .. y_{W+1}`` with their chances."""
    found = [((), Fraction(1) if isinstance(now[0][0], Fraction) else 1.0, True)]
    for i, law in enumerate(now):
        found = [((*y, b), m * chance, alive and i < len(x) and b == x[i]) for y, m, alive in found
                 for b, chance in enumerate(given(x, q, law, i, alive, coupling, bug)) if chance]
    return [(y, m) for y, m, _ in found]


def given(x, q, law, i, alive, coupling, bug):
    if i == len(x) or (coupling == "independent" and not alive):
        return law
    old = law if bug == "new law" else q[i]
    # a stored law that is wrong may miss the token; any algorithm then keeps it
    accept = min(1, law[x[i]] / old[x[i]]) if old[x[i]] else 1
    over = list(law) if bug == "no residual" else [max(a - b, 0) for a, b in zip(law, old, strict=True)]
    total = sum(over)
    rest = [v / total for v in over] if total else law
    return [(1 - accept) * r + (accept if b == x[i] else 0) for b, r in enumerate(rest)]


def filled(p, last, x, q, window, fill, mass):
    if len(x) == window:
        yield x, q, mass
        return
    size, previous = len(p), x[-1] if x else last
    law = [(1 if b == previous else 0) if fill == "repeat" else type(p[0][0])(1) / size for b in range(size)]
    for b, chance in enumerate(law):
        if chance:
            yield from filled(p, last, [*x, b], [*q, law], window, fill, mass * chance)
