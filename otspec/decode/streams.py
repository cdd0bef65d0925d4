"""Numbers of chance, sequence by sequence, so that a text depends on neither the batch nor the device."""

from __future__ import annotations

import numpy as np


def streams(seed: int, first: int, count: int) -> list[np.random.Generator]:
    """One stream of uniforms per sequence."""
    # an unsigned key: a list of large ints would pass through float64, and neighbouring streams would coincide
    keys = (np.array([seed, number], dtype=np.uint64) for number in range(first, first + count))
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]


def sequence_seeds(seed: int, first: int, count: int) -> np.ndarray:
    """Seeds ``[count]`` int64 of the noise of every sequence: a hash, so that runs with seeds 0 and 1 share none."""
    words = [np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] for number in
             range(first, first + count)]
    return np.asarray(words, dtype=np.uint64).view(np.int64)
