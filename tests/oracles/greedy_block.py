"""Greedy block verification: the most tokens from one block, paid for by a modified target afterwards.

With R_i = p(x^i) / q(x^i) not clamped, prefixes are tried from the longest down and x^i is kept with chance
``min(1, sum (R_i p - q)_+ / sum (q - R_i p)_+)`` on the row after x^i (R_gamma itself at the end). The next
token and every later position of the same block then follow the law proportional to ``(R p - q)_+``, R
running on.
"""

from tests.oracles.block_rules import drafted_blocks
from tests.oracles.token_rules import positive_part


def ratios(target, draft, start, xs):
    """Return R_0, ..., R_len(xs) after ``start``."""
    r = [1]
    for i, x in enumerate(xs):
        context = start + tuple(xs[:i])
        r.append(r[-1] * target(context)[x] / draft(context)[x])
    return r


def keep_chances(target, draft, start, xs):
    """Return the chances that x^0, ..., x^gamma is kept when it is its turn; x^0 always is."""
    r, chances = ratios(target, draft, start, xs), [1]
    for i in range(1, len(xs)):
        context = start + tuple(xs[:i])
        p, q = [r[i] * v for v in target(context)], draft(context)
        short = sum(positive_part(q, p))
        chances.append(min(1, sum(positive_part(p, q)) / short) if short > 0 else 1)
    return [*chances, min(1, r[-1])]


def modified(target, draft, start, gamma):
    """Return the target to be used after a refusal inside the block drafted at ``start``."""

    def next_law(context):
        done = context[len(start) :]
        if len(done) >= gamma:
            return target(context)
        r = ratios(target, draft, start, done)[-1]
        part = positive_part([r * v for v in target(context)], draft(context))
        mass = sum(part)
        return [v / mass for v in part] if mass > 0 else target(context)

    return next_law


def iterate(target, draft, start, gamma):
    """Return the branches ``(probability, emitted tokens, target from now on)`` of one iteration."""
    branches, after = [], modified(target, draft, start, gamma)
    for xs, mass in drafted_blocks(draft, start, gamma).items():
        chances = keep_chances(target, draft, start, xs)
        for tau in range(gamma, -1, -1):
            weight, mass = mass * chances[tau], mass * (1 - chances[tau])
            law = (target if tau == gamma else after)(start + xs[:tau])
            for y, v in enumerate(law):
                if weight * v > 0:
                    branches.append((weight * v, (*xs[:tau], y), target if tau == gamma else after))
    return branches


def expected_total(target, draft, gamma, iterations, start=()):
    """Return the expected number of tokens of so many iterations, the modified target carried along."""
    if iterations == 0:
        return 0
    total = 0
    for weight, text, later in iterate(target, draft, start, gamma):
        total += weight * (len(text) + expected_total(later, draft, gamma, iterations - 1, start + text))
    return total


def emitted_law(target, draft, gamma, length, start=()):
    """Return the law of the first ``length`` tokens emitted, the modified target carried along."""
    if length <= 0:
        return {(): 1}
    law = {}
    for weight, text, later in iterate(target, draft, start, gamma):
        cut = text[:length]
        for rest, v in emitted_law(later, draft, gamma, length - len(cut), start + cut).items():
            law[cut + rest] = law.get(cut + rest, 0) + weight * v
    return law
