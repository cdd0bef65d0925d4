"""What a decoder or recorder is asked for, checked in one place."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.laws import law_from_logits


def as_token_lists(pair: Any, prompts: Iterable[Any]) -> list[list[int]]:
    """Return prompts as lists of token ids; strings are encoded by the pair's tokenizer.

    Raises
    ------
    BadArgument
        No prompts, an empty one, or a token outside the vocabulary.
    """
    if isinstance(prompts, (str, bytes)):
        raise BadArgument("prompts: one string was given. Fix: pass a list, [prompt].")
    lists = [pair.encode(prompt) if isinstance(prompt, str) else np.asarray(prompt) for prompt in prompts]
    if not lists:
        raise BadArgument("prompts: none were given. Fix: pass at least one prompt.")
    for number, tokens in enumerate(lists):
        array = np.asarray(tokens)
        if array.ndim != 1 or array.size == 0:
            raise BadArgument(f"prompts[{number}]: shape {array.shape} is no list of tokens. "
                              f"Fix: every prompt needs at least one token (such as the model's first token).")
        if not np.issubdtype(array.dtype, np.integer):
            raise BadArgument(f"prompts[{number}]: dtype {array.dtype} holds no token ids. Fix: pass whole numbers.")
        outside = np.flatnonzero((array < 0) | (array >= pair.vocab_size))
        if outside.size:
            raise BadArgument(f"prompts[{number}][{outside[0]}] = {array[outside[0]]} is outside the vocabulary of "
                              f"{pair.vocab_size}. Fix: encode the prompt with the pair's tokenizer.")
    return [[int(token) for token in tokens] for tokens in lists]


def check_warp(temperature: float, top_k: int | None, top_p: float | None) -> dict[str, Any]:
    """Return the arguments of ``law_from_logits``, checked before any model runs.

    Raises
    ------
    BadArgument
    """
    if not 0 <= temperature < math.inf:
        raise BadArgument(f"temperature: {temperature} is outside [0, inf). Fix: use 0 (greedy) or a positive number.")
    warp = {"temperature": float(temperature), "top_k": top_k, "top_p": top_p}
    law_from_logits(np.zeros(1), **(warp | {"temperature": 1.0}))
    return warp


def check_seed(seed: Any) -> int:
    """Return a seed as an int in ``0 .. 2**64 - 1``."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise BadArgument(f"seed: {seed!r} is no whole number in 0 .. 2**64-1. Fix: seed=0.")
    return int(seed)


def check_stop_tokens(stop_token: Any, vocab_size: int) -> frozenset[int]:
    """Return the tokens after which a text ends."""
    if stop_token is None:
        return frozenset()
    return frozenset(np.atleast_1d(np.asarray(stop_token)).tolist())
