"""Verification of one drafted block, enumerated exactly over all blocks of gamma tokens.

A model is ``next_law(context)`` from a tuple of tokens to V probabilities; a verifier is
``verify(target, draft, context, xs)`` returning the branches ``(probability, tau, law of the next token)``:
the first tau drafted tokens are kept and one more token is emitted from the law. It is lossless when the text
emitted by one block after another has the target's law.

Notation: w_0 = 1, w_i = min(1, w_{i-1} p(x_i) / q(x_i)) along the block, S_i = sum of (w_i p - q)_+ on the
row after x^i, and h_i = S_i / (S_i + 1 - w_i), except h_gamma = w_gamma. Theorem: Pr[tau >= i | block] = w_i.
"""

from functools import cache
from itertools import product

from tests.oracles.token_rules import accept, positive_part, residual


def rows(target, draft, context, xs):
    """Return the pairs (p, q) of next-token laws after each prefix of ``xs``, the whole of it included."""
    prefixes = [tuple(context) + tuple(xs[:i]) for i in range(len(xs) + 1)]
    return [(target(c), draft(c)) for c in prefixes]


def scaled_residual(w, p, q):
    """Return the law proportional to (w p - q)_+, or p where nothing is left of it."""
    scaled = [w * v for v in p]
    return residual(scaled, q) if sum(positive_part(scaled, q)) > 0 else list(p)


def token_wise(target, draft, context, xs):
    """Test the tokens one by one and stop at the first refusal."""
    table, survive, branches = rows(target, draft, context, xs), 1, []
    for i, x in enumerate(xs):
        p, q = table[i]
        keep = accept(p[x], q[x])
        branches.append((survive * (1 - keep), i, residual(p, q)))
        survive *= keep
    branches.append((survive, len(xs), list(table[-1][0])))
    return branches


def weights(table, xs):
    """Return w_0, ..., w_gamma."""
    w = [1]
    for (p, q), x in zip(table, xs, strict=False):
        w.append(min(1, w[-1] * p[x] / q[x]))
    return w


def stop_chances(table, w, gamma):
    """Return h_1, ..., h_gamma; h = 1 where w = 1 and nothing is left of the residual."""
    h = []
    for i in range(1, gamma):
        p, q = table[i]
        left = sum(positive_part([w[i] * v for v in p], q))
        h.append(left / (left + 1 - w[i]) if left + 1 - w[i] > 0 else 1)
    return [*h, w[gamma]]


def last_success(h):
    """Return the law of the last i with eta_i <= h_i for independent uniforms, tau = 0 if there is none."""
    law, later = [0] * (len(h) + 1), 1
    for i in range(len(h), 0, -1):
        law[i] = later * h[i - 1]
        later *= 1 - h[i - 1]
    law[0] = later
    return law


def block(target, draft, context, xs):
    """Block verification: keep the longest prefix whose own test succeeds; the tests do not stop early."""
    gamma, table = len(xs), rows(target, draft, context, xs)
    w = weights(table, xs)
    stop = last_success(stop_chances(table, w, gamma))
    laws = [scaled_residual(w[i], *table[i]) for i in range(gamma)]
    return [(stop[i], i, law) for i, law in enumerate([*laws, list(table[gamma][0])])]


def drafted_blocks(draft, context, gamma):
    """Return the law of the drafted block of gamma tokens."""
    law = {(): 1}
    for _ in range(gamma):
        law = {
            (*xs, x): weight * v
            for xs, weight in law.items()
            for x, v in enumerate(draft(tuple(context) + xs))
            if v > 0
        }
    return law


def stop_law(verify, target, draft, gamma, context=()):
    """Return ``{block: [Pr[tau = 0 | block], ..., Pr[tau = gamma | block]]}``."""
    table = {}
    for xs in drafted_blocks(draft, context, gamma):
        law = [0] * (gamma + 1)
        for weight, tau, _ in verify(target, draft, context, xs):
            law[tau] += weight
        table[xs] = law
    return table


def expected_accepted(verify, target, draft, gamma, context=()):
    """Return E[tau], the expected number of drafted tokens kept from one block."""
    stops = stop_law(verify, target, draft, gamma, context)
    blocks = drafted_blocks(draft, context, gamma)
    return sum(weight * sum(i * v for i, v in enumerate(stops[xs])) for xs, weight in blocks.items())


def token_formula(target, draft, gamma, context=()):
    """Return E[tau] of token verification, ``sum_i E prod_{j <= i} min(1, ratio_j)``."""
    total = 0
    for xs, weight in drafted_blocks(draft, context, gamma).items():
        product_so_far = 1
        for (p, q), x in zip(rows(target, draft, context, xs), xs, strict=False):
            product_so_far *= accept(p[x], q[x])
            total += weight * product_so_far
    return total


def block_formula(target, draft, gamma, context=()):
    """Return E[tau] of block verification, ``sum_i E[w_i]``."""
    blocks = drafted_blocks(draft, context, gamma)
    return sum(m * sum(weights(rows(target, draft, context, xs), xs)[1:]) for xs, m in blocks.items())


def ideal(target, draft, gamma, context=()):
    """Return ``sum_i sum_{x^i} min(p(x^i), q(x^i))``, the most that one block alone allows."""
    total = 0
    for length in range(1, gamma + 1):
        other = drafted_blocks(target, context, length)
        total += sum(min(m, other.get(xs, 0)) for xs, m in drafted_blocks(draft, context, length).items())
    return total


def text_law(model, length, context=()):
    """Return the law of the next ``length`` tokens of a model, as ``{text: probability}``."""
    return drafted_blocks(model, context, length)


def emitted_law(verify, target, draft, gamma, length, context=()):
    """Return the law of the first ``length`` tokens emitted by as many fresh blocks as it takes."""

    @cache
    def chunks(at):
        law = {}
        for xs, mass in drafted_blocks(draft, at, gamma).items():
            for weight, tau, following in verify(target, draft, at, xs):
                if weight > 0:
                    for y, v in enumerate(following):
                        text = (*xs[:tau], y)
                        law[text] = law.get(text, 0) + mass * weight * v
        return law

    @cache
    def emitted(at, wanted):
        if wanted == 0:
            return {(): 1}
        law = {}
        for text, mass in chunks(at).items():
            if mass > 0:
                cut = text[:wanted]
                for rest, v in emitted(at + cut, wanted - len(cut)).items():
                    law[cut + rest] = law.get(cut + rest, 0) + mass * v
        return law

    return emitted(tuple(context), length)


def memoryless(law):
    """Return the model whose next-token law is ``law`` in every context."""
    return lambda context: law


def text_tv(a, b):
    """Return the total variation distance of two laws of texts."""
    return sum(abs(a.get(text, 0) - b.get(text, 0)) for text in {*a, *b}) / 2


def all_texts(size, length):
    """Return every text of ``length`` tokens over ``size`` tokens."""
    return list(product(range(size), repeat=length))


def completed_law(verify, target, draft, gamma, length, context=()):
    """Return the law of ``length`` tokens: one block, then the target itself; the bias of a single block."""
    law = {}
    for xs, mass in drafted_blocks(draft, context, gamma).items():
        for weight, tau, following in verify(target, draft, context, xs):
            for y, v in enumerate(following):
                text = (*xs[:tau], y)[:length]
                share = mass * weight * v
                if share > 0:
                    for rest, u in text_law(target, length - len(text), tuple(context) + text).items():
                        law[text + rest] = law.get(text + rest, 0) + share * u
    return law
