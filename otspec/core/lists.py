"""Draft lists of one context, one by one: every order of draws without replacement, and lists that are the same."""

from __future__ import annotations

import itertools

import numpy as np


def first_and_group(rows: np.ndarray, base: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the first of each group of equal rows ``[n k]`` of numbers -1 .. base-2, and the group of each row."""
    if base ** rows.shape[1] >= 2**63:  # the key below would wrap around
        _, first, group = np.unique(rows, axis=0, return_index=True, return_inverse=True)
        return first, group.reshape(-1)
    key = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        key = key * base + (column + 1)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    return first, group


def ordered_draws(law: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All ordered draws without replacement ``[n k]`` (padded with -1) and their law."""
    support = np.flatnonzero(law)
    drawn = min(k, support.size)
    flat = itertools.chain.from_iterable(itertools.permutations(support.tolist(), drawn))
    tokens = np.fromiter(flat, dtype=np.int64).reshape(-1, drawn) if drawn else np.zeros((1, 0), dtype=np.int64)
    weight = np.ones(len(tokens))
    left = np.full(len(tokens), law.sum())
    for i in range(drawn):
        if i:
            left = left - law[tokens[:, i - 1]]
            # what is left after a dominant token must be summed, not subtracted: 1 - (1 - 1e-9) loses 7 digits
            for row in np.flatnonzero(left < 1e-3):
                left[row] = np.delete(law, tokens[row, :i]).sum()
        weight *= law[tokens[:, i]] / left
    padding = np.full((len(tokens), k - drawn), -1, dtype=np.int64)
    return np.concatenate([tokens, padding], axis=-1), weight
