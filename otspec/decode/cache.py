"""What the models have read: prompts as token lists, and one key-value cache per model with masked-out slots.

Every token that a model reads takes one *slot* of its cache, for good. A drafted token that is rejected later keeps
its slot and is hidden by the attention mask, so that sequences which accept different numbers of tokens still form
one batch without moving any memory. Positions are passed explicitly, since slots no longer count them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch
from otspec.core.laws import law_from_logits
from otspec.decode.arguments import as_token_lists as as_token_lists
from otspec.decode.arguments import check_warp as check_warp

_ATTENTION = {"full_attention", "sliding_attention"}


def left_pad(prompts: Sequence[Sequence[int]], fill: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens ``[B T]`` aligned at their ends, and which of them are real ``[B T]``."""
    width = max(map(len, prompts))
    tokens = np.full((len(prompts), width), fill, dtype=np.int64)
    real = np.zeros((len(prompts), width), dtype=bool)
    for row, prompt in enumerate(prompts):
        tokens[row, width - len(prompt):] = prompt
        real[row, width - len(prompt):] = True
    return tokens, real


def check_room(pair: Any, *, slots: int, positions: int) -> None:
    """Refuse, before any model runs, texts that would outgrow what a model can hold.

    Parameters
    ----------
    pair : Pair
    slots : int
        Most tokens that a cache may come to hold, the hidden ones included.
    positions : int
        Length of the longest text.

    Raises
    ------
    BadArgument
        More positions than the model knows, more slots than its attention window, or a model with a recurrent state,
        from which rejected tokens cannot be hidden.
    """
    for which in ("target", "draft"):
        model = getattr(pair, which)
        config = model.config.get_text_config()
        limit = getattr(config, "max_position_embeddings", None)
        if limit is not None and positions > limit:
            raise BadArgument(f"max_new_tokens: texts of up to {positions} tokens exceed the {limit} positions of the "
                              f"{which} model. Fix: shorten the prompts, max_new_tokens or draft_length.")
        kinds = set(getattr(config, "layer_types", None) or ())
        if getattr(model, "_is_stateful", False) or kinds - _ATTENTION:
            raise BadArgument(f"{which}: {type(model).__name__} keeps a state from which rejected tokens cannot be "
                              f"removed. Fix: use models whose layers are all attention.")
        window = getattr(config, "sliding_window", None)
        if window is not None and (not kinds or "sliding_attention" in kinds) and slots > window:
            raise BadArgument(f"max_new_tokens: up to {slots} cache slots exceed the attention window of {window} "
                              f"tokens of the {which} model. Fix: shorten the prompts, max_new_tokens or draft_length.")


class CachedModel:
    """One causal model and the cache of what it has read, on ``R`` rows that grow together.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
        Logits are cut to this width.
    """

    def __init__(self, model: Any, vocab_size: int) -> None:
        from transformers import DynamicCache

        self._model = model
        self._vocab_size = vocab_size
        self._cache = DynamicCache()
        accepted = inspect.signature(model.forward).parameters
        self._cuts_logits = "logits_to_keep" in accepted
        # transformers 5.24 calls the cache by its name
        self._cache_name = "cache" if "cache" in accepted else "past_key_values"

    def read(self, tokens: Any, positions: Any, mask: Any, keep: int = 0) -> Any:
        """Read tokens and return the logits after them.

        Parameters
        ----------
        tokens, positions : [R n] int64 tensors
        mask : [R slots + n] bool tensor
            Which slots may be attended to, the new ones included.
        keep : int
            Logits of the last ``keep`` tokens only; 0 means of all.

        Returns
        -------
        [R n V] (or ``[R keep V]``)
        """
        extra = {self._cache_name: self._cache} | ({"logits_to_keep": keep} if keep and self._cuts_logits else {})
        out = self._model(input_ids=tokens, position_ids=positions, attention_mask=mask.long(), use_cache=True, **extra)
        if out.logits.shape[-1] < self._vocab_size:
            raise ShapeMismatch(f"{type(self._model).__name__}: {out.logits.shape[-1]} logits, expected at least "
                                f"{self._vocab_size}. Fix: load the pair with otspec.load_pair.")
        return out.logits[:, -keep:, : self._vocab_size]

    def select(self, rows: Any) -> None:
        """Make row ``r`` a copy of row ``rows[r]`` (``[R']`` int64 tensor)."""
        self._cache.batch_select_indices(rows)


def laws(logits: Any, warp: dict[str, Any], which: str) -> Any:
    """Laws in float64 of a model's logits at the settings of ``warp``; the model is named if they define none."""
    try:
        return law_from_logits(logits, **warp)
    except NotALaw as error:
        raise NotALaw(f"{which} model: {error}") from None
