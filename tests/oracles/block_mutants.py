"""Planted bugs of block verification: verifiers whose emitted text does not have the target's law.

The bias is the total variation distance between the target's law of gamma + 1 tokens and the law of one
verified block completed by the target. Chained blocks compound it (``block_rules.emitted_law``).
"""

from tests.oracles.block_rules import last_success, rows, scaled_residual, stop_chances, weights
from tests.oracles.token_rules import positive_part, residual


def _branches(table, w, stop):
    gamma = len(w) - 1
    laws = [scaled_residual(w[i], *table[i]) for i in range(gamma)]
    return [(stop[i], i, law) for i, law in enumerate([*laws, list(table[gamma][0])])]


def first_rejection(target, draft, context, xs):
    """Stop at the first failed test instead of keeping the last success."""
    table = rows(target, draft, context, xs)
    w = weights(table, xs)
    stop, survive = [], 1
    for h in stop_chances(table, w, len(xs)):
        stop.append(survive * (1 - h))
        survive *= h
    return _branches(table, w, [*stop, survive])


def weight_as_chance(target, draft, context, xs):
    """Use h_i = w_i before the end of the block too."""
    table = rows(target, draft, context, xs)
    w = weights(table, xs)
    return _branches(table, w, last_success(w[1:]))


def no_clamp(target, draft, context, xs):
    """Carry the product of ratios without clamping it at one; only the chances are clipped."""
    table = rows(target, draft, context, xs)
    w = [1]
    for (p, q), x in zip(table, xs, strict=False):
        w.append(w[-1] * p[x] / q[x])
    h = []
    for i in range(1, len(xs)):
        p, q = table[i]
        left = sum(positive_part([w[i] * v for v in p], q))
        below = left + 1 - w[i]
        h.append(min(1, left / below) if below > 0 else 1)
    return _branches(table, w, last_success([*h, min(1, w[-1])]))


def shared_uniform(target, draft, context, xs):
    """Compare every h_i with one and the same uniform."""
    table = rows(target, draft, context, xs)
    w = weights(table, xs)
    h = stop_chances(table, w, len(xs))
    stop, reached = [0] * (len(h) + 1), 0
    for i in range(len(h), 0, -1):
        stop[i] = max(h[i - 1] - reached, 0)
        reached = max(reached, h[i - 1])
    stop[0] = 1 - reached
    return _branches(table, w, stop)


def token_residual(target, draft, context, xs):
    """Draw the next token from (p - q)_+ instead of (w p - q)_+."""
    table = rows(target, draft, context, xs)
    w = weights(table, xs)
    stop = last_success(stop_chances(table, w, len(xs)))
    laws = [residual(*table[i]) for i in range(len(xs))]
    return [(stop[i], i, law) for i, law in enumerate([*laws, list(table[-1][0])])]


def row_before(target, draft, context, xs):
    """Take S_i on the row that proposed x_i instead of the row after it."""
    table = rows(target, draft, context, xs)
    w = weights(table, xs)
    shifted = [table[0], *table[:-1]]
    return _branches(table, w, last_success(stop_chances(shifted, w, len(xs))))


# name -> (verifier, bias on the memoryless pair H at gamma = 3, as printed)
BLOCK_MUTANTS = {
    "stop_at_first_rejection": (first_rejection, 0.224),
    "h_equals_w": (weight_as_chance, 0.190),
    "no_clamp": (no_clamp, 0.079),
    "one_shared_uniform": (shared_uniform, 0.059),
    "token_residual": (token_residual, 0.022),
}

# Rows after nothing, after token 0, after 1, after 2: the draft is far off, far off, perfect, and mirrored.
MARKOV_TARGET = ((0.2, 0.3, 0.5), (0.8, 0.1, 0.1), (0.3, 0.4, 0.3), (0.2, 0.2, 0.6))
MARKOV_DRAFT = ((0.5, 0.3, 0.2), (0.1, 0.1, 0.8), (0.3, 0.4, 0.3), (0.6, 0.2, 0.2))
ROW_BEFORE_BIAS = 0.1137  # of ``row_before`` on this pair at gamma = 3


def markov(table):
    """Return the model that looks at the last token only; the first row of ``table`` starts a text."""
    return lambda context: list(table[context[-1] + 1 if context else 0])
