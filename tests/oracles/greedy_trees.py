"""Trees of top tokens and one draw, in the letters of UniVer and RheoSampling: how they grow and how they are verified.

A tree is ``{prefix: [(token, drawn), ..]}``, children in the order in which they were made; ``p`` and ``q`` map a
prefix to the probabilities of target and draft. The drawn child of u has the law ``q~``: q(.|u) without the tokens
before it, renormalised. Nothing is vectorised; a verdict is ``{(prefix, next token): probability}``.
"""


def normalised(weights):
    """Weights over their sum, or None where nothing is left."""
    total = sum(weights)
    return [w / total for w in weights] if total > 0 else None


def tail_law(children, q):
    """Law q~ of the drawn child: q without the tokens chosen before it."""
    before = []
    for token, drawn in children:
        if drawn:
            break
        before.append(token)
    return normalised([0.0 if y in before else mass for y, mass in enumerate(q)])


def local_plan(children, alpha, p, q, draw_first):
    """Children with their entry weights, one refusal after the other, and what is left: ``(plan, alpha, p)``.

    The target scaled by the prefix acceptance alpha meets the laws of the children one by one: q~ of the draw and a
    one-hot law of a chosen token. Refused: p <- norm (alpha p - law)+, alpha <- S / (S + 1 - alpha).
    """
    order = sorted(children, key=lambda child: not child[1]) if draw_first else list(children)
    qt, plan = tail_law(children, q), []
    for token, drawn in order:
        law = qt if drawn else [float(y == token) for y in range(len(p))]
        plan.append((token, min(1.0, alpha * p[token] / law[token])))
        excess = [max(0.0, alpha * p[y] - law[y]) for y in range(len(p))]
        s = sum(excess)
        alpha = s / (s + 1.0 - alpha) if s + 1.0 - alpha > 0 else 1.0
        p = normalised(excess) or p
    return plan, alpha, p


def univer(tree, p, q, *, draw_first=True):
    """Conditional plans top down, decisions in postorder. ``draw_first=False``: children in the order of making."""
    verdict = {}

    def visit(u, alpha, reach):
        """Enter the subtree of u with acceptance alpha; return the chance that nothing there is kept."""
        plan, alpha, rest = local_plan(tree.get(u, []), alpha, p(u), q(u), draw_first)
        for token, weight in plan:
            reach = visit((*u, token), weight, reach)
        for y, mass in enumerate(rest):
            verdict[u, y] = verdict.get((u, y), 0.0) + reach * alpha * mass
        return reach * (1.0 - alpha)

    visit((), 1.0, 1.0)
    return verdict


def flat_walk(tree, p, q):
    """Token by token: the draw against q~, else a token of the residual, which may be a chosen child."""
    verdict = {}

    def visit(u, reach):
        children = dict(tree.get(u, []))
        emitted = p(u)
        if any(children.values()):
            (x,) = (token for token, drawn in children.items() if drawn)
            qt = tail_law(tree[u], q(u))
            kept = min(1.0, p(u)[x] / qt[x])
            residual = normalised([max(0.0, a - b) for a, b in zip(p(u), qt, strict=True)]) or p(u)
            emitted = [kept * (y == x) + (1.0 - kept) * r for y, r in enumerate(residual)]
        for y, mass in enumerate(emitted):
            if y in children:
                visit((*u, y), reach * mass)
            else:
                verdict[u, y] = reach * mass

    visit((), 1.0)
    return verdict


def ranked(q):
    """Tokens the draft knows, likeliest first, of equal ones the lower first."""
    return sorted((y for y in range(len(q)) if q[y] > 0), key=lambda y: -q[y])


def candidates(q, slots, top, drawn):
    """The pool of one node: ``(token, value, drawn)``; the draw is ranked by a proxy that all draws share.

    ``top`` likeliest tokens, the drawn one, then the likeliest of the others. The proxy is the most that a token of
    the tail can have: the least of the top probabilities, or the mass of the tail.
    """
    head = ranked(q)[:top]
    z = sum(mass for y, mass in enumerate(q) if y not in head)
    pool = [(y, q[y], False) for y in head]
    if z > 0:
        pool.append((drawn, min([q[y] for y in head] + [z]), True))
        pool += [(y, q[y], False) for y in ranked(q)[top:] if y != drawn]
    return pool[:slots]


def rheo_tree(q, *, nodes, slots, top, depth, draws):
    """Expand the ``slots`` best nodes of each depth, then keep the ``nodes`` best of all.

    ``draws(u)`` is the token that was drawn from the tail after u. Ties: what was proposed earlier.
    """
    layer, proposed = [((), 1.0)], []
    for _ in range(depth):
        here = [((*u, token), value * chance, drawn) for u, value in layer
                for token, chance, drawn in candidates(q(u), slots, top, draws(u))]
        proposed += here
        layer = [(u, value) for u, value, _ in sorted(here, key=lambda node: -node[1])[:slots]]
    kept = {u for u, value, _ in sorted(proposed, key=lambda node: -node[1])[:nodes] if value > 0}
    tree = {}
    for u, _, drawn in proposed:
        if u in kept:
            tree.setdefault(u[:-1], []).append((u[-1], drawn))
    return tree
