"""A tiny pair whose laws are known by heart: contexts, exact laws, and the trees that a drafter can draw."""

import itertools

import numpy as np

from tests.decode import tiny

SIZE = 6


def pair(draft=2, scale=0.6):
    return tiny.pair(SIZE, draft=draft, scale=scale)


def contexts(count, seed=0, length=5):
    rng = np.random.default_rng(seed)
    texts = {tuple(rng.integers(0, SIZE, length).tolist()) for _ in range(20 * count)}
    return [list(text) for text in sorted(texts)][:count]


def laws(one, text):
    """Law of the next token by a pass over the text alone."""
    logits = tiny._logits(one, tuple(text)).astype(np.float64)
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def exact_chain(models, text, length, expected):
    """Expected tokens of a call: every block of drafts, its chance, and what a rule keeps of it on average."""
    total = 0.0
    for tokens in itertools.product(range(SIZE), repeat=length):
        prefixes = [[*text, *tokens[:i]] for i in range(length + 1)]
        target = np.array([laws(models.target, prefix) for prefix in prefixes])
        draft = np.array([laws(models.draft, prefix) for prefix in prefixes[:-1]])
        chance = draft[np.arange(length), tokens].prod()
        total += chance * float(expected(target, draft, np.array(tokens)))
    return 1.0 + total
