"""Where texts end: the tokens that the caller names, or the target model's own end of text."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.decode.arguments import check_stop_tokens


def stop_tokens(pair: Any, asked: Any) -> frozenset[int]:
    """Return the tokens after which a text ends.

    Parameters
    ----------
    pair : Pair
    asked : "model", int, several of them, or None
        ``"model"``: what the target's generation configuration names, else its configuration; nothing for a pair
        without a tokenizer where nobody has named an end of text for generation.

    Raises
    ------
    BadArgument
        Something that is no token of the vocabulary.
    """
    if isinstance(asked, str) and asked == "model":
        return _of_model(pair)
    return check_stop_tokens(asked, pair.vocab_size)


def _of_model(pair: Any) -> frozenset[int]:
    """End of text of the target; none for a pair without a tokenizer whose end was only filled in by a configuration.

    Every configuration class fills in some ``eos_token_id``. It means something where there are texts, that is, a
    tokenizer, or where somebody has named it for generation.
    """
    config, generation = pair.target.config.get_text_config(), getattr(pair.target, "generation_config", None)
    filled_in = getattr(config, "eos_token_id", None)
    named = getattr(generation, "eos_token_id", None)
    derived = named is None or (getattr(generation, "_from_model_config", False) and named == filled_in)
    if derived and pair.tokenizer is None:
        return frozenset()
    found = filled_in if named is None else named
    # a configuration may name tokens that the model cannot emit
    return frozenset(token for token in np.atleast_1d([] if found is None else found).astype(int).tolist()
                     if 0 <= token < pair.vocab_size)
