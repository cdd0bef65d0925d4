"""Slow twin of trees of prompt tokens: every stationary policy of a small case, and its gain by linear algebra."""

import itertools

import numpy as np

from tests.oracles.trees import all_shapes


def numbered_rates(shape, rate, depth=0, reach=1.0):
    """Chance that each node is the last one accepted, in the order of a walk from the root."""
    below = [rate(depth, len(shape), rank) * reach for rank in range(len(shape))]
    yield reach - sum(below)
    for child, chance in zip(shape, below, strict=True):
        yield from numbered_rates(child, rate, depth + 1, chance)


def size(shape):
    return 1 + sum(map(size, shape))


def reached(shape, rate, depth=0, reach=1.0):
    return reach + sum(reached(child, rate, depth + 1, reach * rate(depth, len(shape), rank))
                       for rank, child in enumerate(shape))


def outcomes(state, guesses, budget, rate, children):
    """Every ``(tokens, law of the next state)`` that a tree of a state can have."""
    found = set()
    for nodes in range(budget + 1):
        for shape in all_shapes(nodes, state, children):
            last = list(numbered_rates(shape, rate))
            for prompts in itertools.product(range(guesses + 1), repeat=nodes + 1):
                if nodes + sum(prompts) <= budget:
                    law = np.bincount(prompts, weights=last, minlength=guesses + 1)
                    found.add((round(reached(shape, rate), 12), tuple(law.round(12))))
    # what gives no more tokens and the same law is the same tree to the chain
    best = {}
    for tokens, law in found:
        best[law] = max(best.get(law, 0.0), tokens)
    return [(tokens, law) for law, tokens in best.items()]


def best_gain(guesses, budget, rate, children):
    """Most tokens per call of any choice of one tree for each state, from the state that suits it best."""
    best = 0.0
    for choice in itertools.product(*(outcomes(state, guesses, budget, rate, children)
                                      for state in range(guesses + 1))):
        law = np.linalg.matrix_power(np.array([law for _, law in choice]) * 0.5 + np.eye(guesses + 1) * 0.5, 4096)
        best = max(best, float((law @ [tokens for tokens, _ in choice]).max()))
    return best
