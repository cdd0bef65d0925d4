"""Verification of K drafted paths, in the papers' letters, enumerated over all K-tuples of paths.

A model is ``next_law(context)`` from a tuple of tokens to V probabilities; a rule is
``rule(target, draft, context, paths)`` returning branches ``(probability, kept prefix, law of the next token)``, the
K paths of gamma tokens being independent draws from the draft model, in drawing order. A rule is lossless when one
block, completed by the target, has the target's law of gamma + 1 tokens.

Notation: at a prefix with n surviving copies, x_1, x_2, .. are the tokens with q > 0 by p / q ascending, c_j = (q of
the first j)^n the chance that no copy lies beyond them, P_j their target mass. The universal winner law L has the
increments of the least concave majorant of the points (P_j, c_j). Scores: a path's score is uniform on [0, 1] before
its tokens are known; shares of 32 cells say how far they tell it; m is the mean over them of K s^(K-1).
"""

from functools import cache
from itertools import pairwise, product

import numpy as np
from scipy.optimize import linprog

from tests.oracles.block_rules import all_texts, drafted_blocks, last_success, scaled_residual, text_law
from tests.oracles.token_rules import accept, k_seq_loop, positive_part, residual, rrs_iid, smallest_rho


def by_ratio(p, q):
    """Return the tokens with q > 0 by p / q ascending, the lower index first among equals."""
    return sorted((x for x in range(len(q)) if q[x] > 0), key=lambda x: (p[x] / q[x], x))


def capacities(q, order, n):
    """Return c_0, c_1, .., ending at exactly 1."""
    total, sums = sum(q[x] for x in order), [0]
    for x in order:
        sums.append(sums[-1] + q[x])
    return [(s / total) ** n for s in sums[:-1]] + [1]


def universal_law(p, q, n):
    """Return L: the slopes of c against P, pooled until they decrease; tokens with p = 0 keep their increment."""
    order = by_ratio(p, q)
    c = capacities(q, order, n)
    law, blocks = [0] * len(q), []
    for x, (low, high) in zip(order, pairwise(c), strict=True):
        if p[x] <= 0:
            law[x] = high - low
            continue
        block = [p[x], high - low, [x]]
        while blocks and blocks[-1][1] * block[0] < block[1] * blocks[-1][0]:
            width, height, tokens = blocks.pop()
            block = [width + block[0], height + block[1], tokens + block[2]]
        blocks.append(block)
    for width, height, tokens in blocks:
        for x in tokens:
            law[x] = height * p[x] / width
    return law


def merging_cells(q, law, order, n):
    """Return ``[(duration, cell number of each place in order)]`` of the lower hull of (x, F - T c) as T goes 0 to 1.

    An inner knot disappears when it reaches the chord of its neighbours, and never returns.
    """
    c, x, f = capacities(q, order, n), [0], [0]
    for token in order:
        x.append(x[-1] + q[token])
        f.append(f[-1] + law[token])
    return hull_stages(x, f, c)


def hull_stages(x, f, c):
    """Return the stages of `merging_cells` for any convex f >= c over x."""

    def bend(curve, a, j, b):
        return curve[a] * (x[b] - x[j]) + curve[b] * (x[j] - x[a]) - curve[j] * (x[b] - x[a])

    end = x[-1] / x[-1]  # 1 in the type of q, so that rationals stay rational
    knots, now, stages = list(range(len(x))), end - end, []
    while now < end:
        ends = [(max(bend(f, a, j, b) / bend(c, a, j, b), now) if bend(c, a, j, b) > 0 else 2 * end, j)
                for a, j, b in zip(knots, knots[1:], knots[2:], strict=False)]
        until, first = min([*ends, (end, -1)])
        cells = [sum(place >= k for k in knots[1:-1]) for place in range(len(x) - 1)]
        if until > now:
            stages.append((until - now, cells))
        now = until
        knots = [k for k in knots if k != first]
    return stages


@cache
def _winner_tables(p, q, n):
    law, order = universal_law(p, q, n), by_ratio(p, q)
    return law, {x: i for i, x in enumerate(order)}, merging_cells(q, law, order, n)


def winner(p, q, xs):
    """Return (law of the winning token given the drafts xs, L): a uniform draft of the highest cell that holds any."""
    law, rank, stages = _winner_tables(tuple(p), tuple(q), len(xs))
    pick = dict.fromkeys(xs, 0)
    for duration, cells in stages:
        top = max(cells[rank[x]] for x in xs)
        members = [x for x in xs if cells[rank[x]] == top]
        for x in members:
            pick[x] += duration / len(members)
    return pick, law


def optimal(p, q, xs):
    """Token rule: the winner, kept with chance min(1, p / L), else the residual of p - L."""
    pick, law = winner(p, q, xs)
    out = [0] * len(p)
    for x, chance in pick.items():
        keep = accept(p[x], law[x])
        out[x] += chance * keep
        for y, v in enumerate(residual(p, law)):
            out[y] += chance * (1 - keep) * v
    return out


_rho = cache(smallest_rho)


def k_seq(p, q, xs):
    """Token rule: K-SEQ for as many drafts as there are copies, at its smallest rho."""
    return k_seq_loop(p, q, xs, len(xs), _rho(tuple(p), tuple(q), len(xs)))


def token_walk(rule):
    """Return the path rule that applies a token rule at each depth to the copies that survive."""

    def verify(target, draft, context, paths):
        branches, at = [], [(1, (), tuple(paths))]
        for depth in range(len(paths[0])):
            onward = []
            for weight, kept, copies in at:
                here = tuple(context) + kept
                law = rule(target(here), draft(here), [path[depth] for path in copies])
                stop = [0] * len(law)
                for y, v in enumerate(law):
                    left = tuple(path for path in copies if path[depth] == y)
                    if left:
                        onward.append((weight * v, (*kept, y), left))
                    else:
                        stop[y] = v
                if sum(stop) > 0:
                    branches.append((weight * sum(stop), kept, [v / sum(stop) for v in stop]))
            at = onward
        return branches + [(weight, kept, target(tuple(context) + kept)) for weight, kept, _ in at]

    return verify


recursive = token_walk(rrs_iid)
k_seq_paths = token_walk(k_seq)
optimal_walk = token_walk(optimal)


def traversal(target, draft, context, paths):
    """Leaves first: a node is tested after its children; a refused child leaves (a p - q)_+ and a = S / (S + 1 - a)."""
    gamma = len(paths[0])

    def visit(kept, copies, a):
        """Return the branches inside the subtree of a node entered with weight a, and the chance that all fail."""
        here = tuple(context) + kept
        p, branches, through = target(here), [], 1
        if len(kept) < gamma:
            q = list(draft(here))
            for x in dict.fromkeys(path[len(kept)] for path in copies):
                child = min(1, a * p[x] / q[x])
                inside, through_child = visit((*kept, x), [c for c in copies if c[len(kept)] == x], child)
                branches += [(through * weight, at, law) for weight, at, law in inside]
                through *= through_child
                left = positive_part([a * v for v in p], q)
                mass = sum(left)
                p = [v / mass for v in left] if mass > 0 else p
                a = mass / (mass + (1 - a)) if mass > 0 else 0
                q[x] = 0
                rest = sum(q)
                q = [v / rest for v in q] if rest > 0 else q
        return [*branches, (through * a, kept, p)], through * (1 - a)

    return visit((), paths, 1)[0]


def winner_block(target, draft, context, paths):
    """Pick a winner among the surviving copies at each depth, then block verification with L as the draft law."""
    gamma, branches = len(paths[0]), []

    def follow(weight, kept, copies, table):
        here = tuple(context) + kept
        if len(kept) == gamma:
            branches.extend((weight * v, kept[:i], law) for v, i, law in block_on([*table, (target(here), None)], kept))
            return
        p = target(here)
        pick, law = winner(p, draft(here), [path[len(kept)] for path in copies])
        for x, chance in pick.items():
            if chance > 0:
                left = [path for path in copies if path[len(kept)] == x]
                follow(weight * chance, (*kept, x), left, [*table, (p, law)])

    follow(1, (), paths, [])
    return branches


def block_on(table, xs):
    """Return the branches ``(probability, tau, law)`` of block verification on given pairs (p, q) of rows."""
    w, h, laws = 1, [], [scaled_residual(1, *table[0])]
    for i, x in enumerate(xs, start=1):
        p, q = table[i - 1]
        w = min(1, w * p[x] / q[x])
        p, q = table[i]
        if i == len(xs):
            h.append(w)
            laws.append(list(p))
            break
        left = sum(positive_part([w * v for v in p], q))
        h.append(left / (left + (1 - w)) if left + (1 - w) > 0 else 1)
        laws.append(scaled_residual(w, p, q))
    return [(v, i, law) for (i, v), law in zip(enumerate(last_success(h)), laws, strict=True)]


def root(increasing, value, low, high):
    """Return where an increasing function takes a value, by bisection."""
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < value else (low, middle)
    return (low + high) / 2


@cache
def score_cells(k, count=32):
    """Return the edges of the cells of scores, (s + s^K) / 2 in equal steps, and the mean of K s^(K-1) in each."""
    edges = [0.0, *(root(lambda s: (s + s**k) / 2, i / count, 0.0, 1.0) for i in range(1, count)), 1.0]
    return edges, [(b**k - a**k) / (b - a) for a, b in pairwise(edges)]


def capacity_below(x, shares, capacity):
    """Return C(x), what the lowest x of the scores can win."""
    total = low = 0.0
    for share, c in zip(shares, capacity, strict=True):
        total += c * min(max(x - low, 0.0), share)
        low += share
    return total


@cache
def split_scores(p, q, weight, shares, k):
    """Return ``{token: (shares, m)}``: the shares of each token and the mean capacity of its scores.

    h minimises weight P - C; m is max(r, low) below it and min(r, high) above it, r = weight p / q; a token's scores
    are uniform on its cell of the hull of F - T C, T uniform.
    """
    _, capacity = score_cells(k)
    order, x, share = by_ratio(p, q), [0.0], [0.0]
    for token in order:
        x.append(min(1.0, x[-1] + q[token] / sum(q)))
        share.append(share[-1] + weight * p[token])
    c = [capacity_below(at, shares, capacity) for at in x]
    h = min(range(len(x)), key=lambda j: share[j] - c[j])
    found, below, above = {}, order[:h], order[h:]

    def mass(m, tokens):
        return sum(q[y] * m(weight * p[y] / q[y]) for y in tokens) / sum(q)

    low = root(lambda t: mass(lambda r: max(r, t), below), c[h], 0.0, 1e6) if below else 0.0
    high = root(lambda t: mass(lambda r: min(r, t), above), c[-1] - c[h], 0.0, 1e6) if above else 0.0
    for tokens, first, level in ((below, 0, lambda r: max(r, low)), (above, h, lambda r: min(r, high))):
        if not tokens:
            continue
        here, f = x[first : first + len(tokens) + 1], [c[first]]
        for y in tokens:
            f.append(f[-1] + q[y] * level(weight * p[y] / q[y]))
        stages = hull_stages([v - here[0] for v in here], [v - f[0] for v in f],
                             [v - c[first] for v in c[first : first + len(here)]])
        for place, y in enumerate(tokens):
            mine = [0.0] * len(shares)
            for duration, cells in stages:
                inside = [i for i in range(len(tokens)) if cells[i] == cells[place]]
                a, b = here[inside[0]], here[inside[-1] + 1]
                start = 0.0
                for j, size in enumerate(shares):
                    mine[j] += duration * max(0.0, min(b, start + size) - max(a, start)) / (b - a)
                    start += size
            found[y] = tuple(mine), sum(v * w for v, w in zip(mine, capacity, strict=True))
    return found


def highest(shares, mine):
    """Return the chance that the score of ``shares[mine]`` is the highest of all."""
    chance, lows = 0.0, [0.0] * len(shares)
    for cell in zip(*shares, strict=True):
        others = [1.0]  # coefficients of a polynomial in the place within the cell
        for path, (low, share) in enumerate(zip(lows, cell, strict=True)):
            if path != mine:
                others = [a * low + b * share for a, b in zip([*others, 0.0], [0.0, *others], strict=True)]
        chance += cell[mine] * sum(v / (degree + 1) for degree, v in enumerate(others))
        lows = [low + share for low, share in zip(lows, cell, strict=True)]
    return chance


def score_block(target, draft, context, paths):
    """Split the law of each path's score row by row; the highest score wins; block verification with q m(uy) / m(u)."""
    edges, _ = score_cells(len(paths))
    ends, tables = [], []
    for path in paths:
        shares, m, weight, table = tuple(b - a for a, b in pairwise(edges)), 1.0, 1.0, []
        for i, x in enumerate(path):
            here = tuple(context) + path[:i]
            p, q = tuple(target(here)), tuple(draft(here))
            split = split_scores(p, q, weight, shares, len(paths))
            table.append((p, [q[y] * split[y][1] / m if y in split else 0.0 for y in range(len(q))]))
            shares, m = split[x]
            weight = min(m, weight * p[x] / q[x])
        ends.append(shares)
        tables.append([*table, (target(tuple(context) + path), None)])
    return [(highest(ends, i) * v, path[:tau], law) for i, path in enumerate(paths)
            for v, tau, law in block_on(tables[i], path)]


PATH_RULES = {
    "recursive": recursive,
    "k_seq": k_seq_paths,
    "optimal_walk": optimal_walk,
    "traversal": traversal,
    "winner_block": winner_block,
    "score_block": score_block,
}


def drafted_paths(draft, context, gamma, k):
    """Return the law of the K-tuple of paths, in drawing order."""
    one = drafted_blocks(draft, context, gamma)
    law = {}
    for paths in product(one, repeat=k):
        mass = 1
        for path in paths:
            mass = mass * one[path]
        law[paths] = mass
    return law


def chunk_law(rule, target, draft, gamma, k, context=()):
    """Return ``{(kept prefix, next token): probability}`` of one block."""
    law = {}
    for paths, mass in drafted_paths(draft, context, gamma, k).items():
        for weight, kept, following in rule(target, draft, tuple(context), paths):
            for y, v in enumerate(following):
                if weight * v > 0:
                    law[kept, y] = law.get((kept, y), 0) + mass * weight * v
    return law


def expected_accepted(rule, target, draft, gamma, k, context=()):
    """Return E[tau], the expected length of the kept prefix."""
    return sum(mass * len(kept) for (kept, _), mass in chunk_law(rule, target, draft, gamma, k, context).items())


def completed_law(rule, target, draft, gamma, k, context=()):
    """Return the law of gamma + 1 tokens: one block, then the target itself."""
    law = {}
    for (kept, y), mass in chunk_law(rule, target, draft, gamma, k, context).items():
        text = (*kept, y)
        for rest, v in text_law(target, gamma + 1 - len(text), tuple(context) + text).items():
            law[text + rest] = law.get(text + rest, 0) + mass * v
    return law


def emitted_law(rule, target, draft, gamma, k, length, context=()):
    """Return the law of the first ``length`` tokens emitted by as many fresh blocks as it takes."""
    chunks = cache(lambda at: chunk_law(rule, target, draft, gamma, k, at))

    def emitted(at, wanted):
        if wanted == 0:
            return {(): 1}
        law = {}
        for (kept, y), mass in chunks(at).items():
            cut = (*kept, y)[:wanted]
            for rest, v in emitted(at + cut, wanted - len(cut)).items():
                law[cut + rest] = law.get(cut + rest, 0) + mass * v
        return law

    return emitted(tuple(context), length)


def _trie(paths):
    return sorted({path[:i] for path in paths for i in range(len(path) + 1)})


def _draft_sets(draft, context, gamma, k):
    law = {}
    for paths, mass in drafted_paths(draft, context, gamma, k).items():
        law[frozenset(paths)] = law.get(frozenset(paths), 0) + mass
    return sorted(law.items(), key=lambda item: sorted(item[0]))


def _maximum(gain, rows, totals):
    # presolve calls totals that differ by rounding infeasible
    solution = linprog(-np.array(gain), A_eq=np.array(rows).T, b_eq=totals, bounds=(0, None), method="highs",
                       options={"presolve": False})
    if solution.status != 0:
        raise ArithmeticError(f"HiGHS stopped with status {solution.status}: {solution.message}")
    return -solution.fun


def one_call_optimum(target, draft, gamma, k, context=()):
    """Return the largest E[tau] of one call: drafts coupled with one target text, the matched prefix maximised."""
    sets, texts = _draft_sets(draft, context, gamma, k), text_law(target, gamma, context)
    gain, rows = [], []
    for (n, (paths, _)), (m, text) in product(enumerate(sets), enumerate(texts)):
        gain.append(max(len(v) for v in _trie(paths) if text[: len(v)] == v))
        row = np.zeros(len(sets) + len(texts))
        row[[n, len(sets) + m]] = 1
        rows.append(row)
    return _maximum(gain, rows, [mass for _, mass in sets] + list(texts.values()))


def stateless_optimum(target, draft, gamma, k, context=()):
    """Return the largest E[tau] of a rule whose block, completed by the target, has the target's law.

    One variable per set of paths, node of its trie and next token.
    """
    sets, size = _draft_sets(draft, context, gamma, k), len(target(tuple(context)))
    texts = all_texts(size, gamma + 1)
    full = text_law(target, gamma + 1, context)
    gain, rows = [], []
    for n, (paths, _) in enumerate(sets):
        for node, y in product(_trie(paths), range(size)):
            block = (*node, y)
            rest = text_law(target, gamma + 1 - len(block), tuple(context) + block)
            gain.append(len(node))
            completed = [rest.get(text[len(block):], 0) if text[: len(block)] == block else 0 for text in texts]
            rows.append(np.array([*(float(i == n) for i in range(len(sets))), *completed]))
    return _maximum(gain, rows, [mass for _, mass in sets] + [full.get(text, 0) for text in texts])
