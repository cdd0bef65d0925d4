"""Pairs of laws that have broken scans over a vocabulary."""

import numpy as np

from otspec.transport.winner.laws import ratio_order


def hard_pairs(rng, size):
    """Targets and drafts ``[9 V]``: spread, tied with zeros, over 300 decades, equal, dominant, flat and peaked."""
    spread = rng.dirichlet(np.full(size, 0.3), size=(2, 9)) + 1e-18
    decades = 10.0 ** -rng.uniform(0, 300, (2, size))
    target, draft = spread
    target[1], draft[1] = rng.integers(0, 3, (2, size))
    target[1, 0] += 1
    draft[1, -1] += 1
    target[2], draft[3] = decades
    target[4], draft[4] = 10.0 ** -rng.uniform(0, 300, (2, size))
    target[5] = draft[5] = 1.0
    draft[5] += 1e-15 * rng.normal(size=size)
    draft[6] = np.where(np.arange(size) == size // 2, 1.0, 1e-9 * rng.uniform(1, 5, size))
    target[7] = 1.0
    target[8], draft[8] = np.exp(12 * rng.normal(size=(2, size)))
    return target / target.sum(axis=-1, keepdims=True), draft / draft.sum(axis=-1, keepdims=True)


def in_order(target, draft):
    """Both laws in the order of target/draft."""
    order = ratio_order(target, draft)
    return np.take_along_axis(target, order, axis=-1), np.take_along_axis(draft, order, axis=-1)
