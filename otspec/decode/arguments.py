"""What a decoder or recorder is asked for, checked in one place before any model runs.

Each function names the argument, what was given and what to give instead. Nothing is converted by guess: a string is
no number, ``True`` is no temperature, a mapping is no list of prompts, and an id outside the vocabulary is no token.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, check_temperature, check_top_p
from otspec.core.checks import check_seed as check_seed
from otspec.core.errors import BadArgument


def check_warp(temperature: Any, top_k: Any, top_p: Any) -> dict[str, Any]:
    """Return the arguments of ``law_from_logits``, as plain numbers.

    Parameters
    ----------
    temperature : float
        At least 0 and finite; 0 is greedy.
    top_k : int or None
        At least 1.
    top_p : float or None
        In (0, 1].

    Raises
    ------
    BadArgument

    Examples
    --------
    >>> check_warp(1, None, 0.9)
    {'temperature': 1.0, 'top_k': None, 'top_p': 0.9}
    """
    return {"temperature": check_temperature(temperature),
            "top_k": None if top_k is None else check_positive("top_k", top_k),
            "top_p": None if top_p is None else check_top_p(top_p)}


def as_token_ids(name: str, tokens: Any, vocab_size: int) -> list[int]:
    """Return one flat list of token ids, each checked to lie in the vocabulary.

    Parameters
    ----------
    name : str
        Of the argument, for the messages.
    tokens : iterable of int
        A list, tuple, set, generator, array or tensor (of one axis).
    vocab_size : int

    Raises
    ------
    BadArgument
        No such iterable; something nested; a float, bool or string among the ids; an id outside the vocabulary.

    Examples
    --------
    >>> as_token_ids("tokens", np.array([3, 1]), 5)
    [3, 1]
    """
    fix = "Fix: pass a flat list of token ids, such as pair.encode gives."
    if isinstance(tokens, (str, bytes, Mapping)) or not _iterable(tokens):
        raise BadArgument(f"{name}: {_shown(tokens)} is no list of tokens. {fix}")
    items = tokens.tolist() if hasattr(tokens, "tolist") else list(tokens)
    for place, item in enumerate(items):
        number = item.item() if getattr(item, "ndim", None) == 0 else item  # a scalar of an array library
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
            raise BadArgument(f"{name}[{place}]: {_shown(item)} is no token id. {fix}")
        if not 0 <= number < vocab_size:
            raise BadArgument(f"{name}[{place}] = {number} is outside the vocabulary of {vocab_size}. "
                              f"Fix: ids run from 0 to {vocab_size - 1}; encode texts with the pair's own tokenizer.")
        items[place] = int(number)
    return items


def as_token_lists(pair: Any, prompts: Iterable[Any]) -> list[list[int]]:
    """Return prompts as lists of token ids; strings are encoded by the pair's tokenizer.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
        A tensor or array ``[prompts tokens]`` counts as one list per row.

    Raises
    ------
    BadArgument
        No pair of models but a name; no list of prompts (one string, a mapping, a number), no prompts, an empty one,
        or one that is no list of tokens of the vocabulary.
    """
    if pair is None or isinstance(pair, (str, bytes, os.PathLike, Mapping)):
        fix = "'pocket'" if pair == "pocket" else "target=..., draft=..."
        raise BadArgument(f"pair: {_shown(pair)} is no pair of models. Fix: otspec.load_pair({fix}).")
    if isinstance(prompts, (str, bytes)):
        raise BadArgument("prompts: one string was given. Fix: pass a list, [prompt].")
    if isinstance(prompts, Mapping):
        keys = ", ".join(map(repr, list(prompts)[:4]))
        raise BadArgument(f"prompts: a mapping with the keys {keys} was given, and those are no prompts. "
                          f"Fix: pass its ['input_ids'] (without padding), or the texts themselves.")
    if not _iterable(prompts):
        raise BadArgument(f"prompts: {_shown(prompts)} is no list of prompts. Fix: pass texts or token lists.")
    lists = []
    for number, prompt in enumerate(prompts):
        ids = pair.encode(prompt) if isinstance(prompt, str) else prompt
        lists.append(as_token_ids(f"prompts[{number}]", ids, pair.vocab_size))
        if not lists[-1]:
            raise BadArgument(f"prompts[{number}]: no tokens. Fix: every prompt needs at least one token (such as the "
                              f"model's first token).")
    if not lists:
        raise BadArgument("prompts: none were given. Fix: pass at least one prompt.")
    return lists


def check_stop_tokens(stop_token: Any, vocab_size: int) -> frozenset[int]:
    """Return the tokens after which a text ends; none of them for None.

    Parameters
    ----------
    stop_token : None, int, or iterable of int
        A list, tuple, set, array or tensor, as engines and generation configurations hold them.
    vocab_size : int

    Raises
    ------
    BadArgument
        A string, bool or float; an id outside the vocabulary; something nested.

    Examples
    --------
    >>> sorted(check_stop_tokens([7, 0, 7], 10)), check_stop_tokens(None, 10)
    ([0, 7], frozenset())
    """
    if stop_token is None:
        return frozenset()
    if isinstance(stop_token, (str, bytes)):
        raise BadArgument(f"stop_token: {_shown(stop_token)} is text. Fix: give token ids, such as those of "
                          f"pair.encode(text).")
    if _iterable(stop_token):
        return frozenset(as_token_ids("stop_token", stop_token, vocab_size))
    number = stop_token.item() if getattr(stop_token, "ndim", None) == 0 else stop_token
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)):
        raise BadArgument(f"stop_token: {_shown(stop_token)} is no token id. Fix: give an id, a list of ids, or None.")
    if not 0 <= number < vocab_size:
        raise BadArgument(f"stop_token: {number} is outside the vocabulary of {vocab_size}. "
                          f"Fix: give an id in 0 .. {vocab_size - 1}, or None for no stop token.")
    return frozenset({int(number)})


def _iterable(value: Any) -> bool:
    if getattr(value, "ndim", None) == 0:  # arrays of no axis have the method and raise when it is called
        return False
    return hasattr(value, "__iter__")


def _shown(value: Any) -> str:
    """Kind and beginning of a value, for messages."""
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
