"""Numbers of chance, sequence by sequence, so that a text depends on neither the batch nor the device."""

from __future__ import annotations

import numpy as np

from otspec.core.checks import check_positive, seed_after
from otspec.core.noise import Noise
from otspec.decode.arguments import check_seed


def streams(seed: int, first: int, count: int) -> list[np.random.Generator]:
    """One stream of uniforms per sequence."""
    # an unsigned key: a list of large ints would pass through float64, and neighbouring streams would coincide
    keys = (np.array([seed, seed_after(first, place)], dtype=np.uint64) for place in range(count))
    return [np.random.Generator(np.random.Philox(key=key)) for key in keys]


def sequence_seeds(seed: int, first: int, count: int) -> np.ndarray:
    """Seeds ``[count]`` int64 of the noise of every sequence: a hash, so that runs with seeds 0 and 1 share none."""
    words = [np.random.SeedSequence([seed, seed_after(first, place)]).generate_state(1, np.uint64)[0]
             for place in range(count)]
    return np.asarray(words, dtype=np.uint64).view(np.int64)


def text_noise(seed: int, sequence: int, start: int, length: int) -> Noise:
    """Noise that selected the tokens of one decoded text, which is what a detector needs to know of it.

    Parameters
    ----------
    seed : int
        Of the run.
    sequence : int
        Place of the prompt in the run, plus the run's ``first_sequence``.
    start : int
        Length of the prompt in tokens.
    length : int
        Tokens of the text.

    Returns
    -------
    Noise
        Of batch shape ``[length]``, for `otspec.detect_watermark`.

    Examples
    --------
    >>> text_noise(0, 3, 5, 4).batch
    (4,)
    """
    place = check_positive("start", start)
    key = sequence_seeds(check_seed(seed), check_seed(sequence, "sequence"), 1)[0]
    return Noise(int(key), np.arange(place, place + check_positive("length", length)))
