"""A draft model whose law after a text is a row of a table, and what a drawn sample must look like."""

import numpy as np
import torch


class Table:
    """Speaks the row of the last token; texts end with token 0."""

    def __init__(self, table, size, texts=None):
        self.table = torch.as_tensor(table)
        self.size, self.vocab_size = size, self.table.shape[1]
        self.texts = texts
        self.calls = []

    def start(self):
        return self.table[:1].expand(self.size, -1)

    def after(self, tokens, parents):
        self.calls.append((tokens, parents))
        return self.table[tokens.clamp(min=0)]


def laws(rng, size=5, zeros=0):
    """A table of laws ``[size size]``, each without ``zeros`` of the tokens."""
    table = rng.dirichlet(np.ones(size), size)
    for row in table:
        row[rng.permutation(size)[:zeros]] = 0
    return table / table.sum(axis=1, keepdims=True)


def children(tokens, parents, node):
    """Children of a node, in the order in which they were drawn; absent ones are left out."""
    return tuple(int(token) for token, above in zip(tokens, parents, strict=True) if above == node and token >= 0)


def chain(tokens, parents, node):
    """Tokens on the way to a node."""
    return [*chain(tokens, parents, int(parents[node - 1])), int(tokens[node - 1])] if node else []


def check_order(draft):
    """Parents stand before their children, and nothing stands behind an absent node."""
    for tokens, parents in zip(draft.tokens.tolist(), draft.parents.tolist(), strict=True):
        for place, parent in enumerate(parents):
            assert 0 <= parent <= place
            if parent and tokens[place] >= 0:
                assert tokens[parent - 1] >= 0


def check_shares(seen, exact):
    """Counts against a law, both keyed by outcome; rare outcomes are pooled, where the normal approximation holds."""
    assert abs(sum(exact.values()) - 1) < 1e-9
    assert set(seen) <= {key for key, share in exact.items() if share > 0}
    count = sum(seen.values())
    kept = [key for key, share in exact.items() if share > 20 / count]
    pairs = [(seen.get(key, 0), exact[key]) for key in kept]
    rest = count - sum(number for number, _ in pairs), 1 - sum(share for _, share in pairs)
    scores = [(number / count - share) / np.sqrt(share * (1 - share) / count)
              for number, share in [*pairs, *([rest] if rest[1] > 20 / count else [])]]
    assert len(kept) > 3
    assert np.abs(scores).max() < 5
    # chi-square has mean len and variance 2 len
    assert np.square(scores).sum() < len(scores) + 6 * np.sqrt(2 * len(scores))
