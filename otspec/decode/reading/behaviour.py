"""What a model can be trusted with, found by trying it on random tokens before it is decoded or recorded.

No list of architectures is ever complete, so nothing here asks for a model's name. A model is *causal* if later tokens
move no earlier logits, and *even* if the length of what follows moves none either; it has *no memory* if a pass is the
same before and after other passes. A causal model without memory can always be decoded by its definition, one pass a
text. Whether the cached, batched, tree-shaped way gives the same logits is tried on a small batch: two texts of
different length in one cache, a tree behind each, one path of it kept and another tree behind that. Models that count
slots, look at the longest text of a batch, or lose their window to a mask of our own differ there; then text after text
is tried, each in the model's own cache, and a pass over every text is what remains.

The trial reaches as far as the run's longest text, since windows and scaled positions show only there.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from otspec.core.errors import BadArgument, OtspecError, TooLarge
from otspec.decode.reading.alone import AloneReader
from otspec.decode.reading.memory import out_of_memory
from otspec.decode.reading.readers import Reader, TreeReader, WholeReader
from otspec.decode.reading.trial import Trial, told
from otspec.decode.reading.window import windows

_KNOWN: weakref.WeakKeyDictionary[Any, dict[Any, Behaviour]] = weakref.WeakKeyDictionary()
SHORTEST = 16  # tokens of the shortest trial


class SlowReading(UserWarning):
    """A model is read by a pass over every text, because a quicker way gives other logits."""


@dataclass(frozen=True)
class Behaviour:
    """How a model is read, and why not better.

    Attributes
    ----------
    way : str
        ``"together"`` (all texts and their drafts in one cache), ``"alone"`` (text after text, in the model's own
        cache) or ``"whole"`` (a pass over every text).
    lacks : str
        What the first way got wrong; empty for ``"together"``.
    make : callable
        ``make(rows=, room=)`` gives the reader.
    bytes_per_token : int
        Cache memory of one token of one text.
    bytes_per_text : int
        Cache memory of a text whatever its length.
    """

    way: str
    lacks: str
    make: Callable[..., Reader]
    bytes_per_token: int = 0
    bytes_per_text: int = 0


def behaviour(model: Any, vocab_size: int, longest: int, which: str, *, trees: bool = True) -> Behaviour:
    """Find out how a model is to be read.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
    longest : int
        Tokens of the longest text of the run.
    which : str
        ``"target"`` or ``"draft"``, for the messages.
    trees : bool
        Whether several nodes may have one parent.

    Returns
    -------
    Behaviour
        Remembered for the model object, its configuration and lengths of the same order.

    Raises
    ------
    BadArgument
        A model that sees later tokens, remembers earlier calls, or cannot be run on tokens alone; the message names
        the property that it lacks.
    ShapeMismatch
        A model of fewer tokens than ``vocab_size``.
    TooLarge
        Memory ran out in the trial.
    """
    import torch

    limit = positions(model)
    step = max(SHORTEST, 1 << max(0, longest.bit_length() - 4))  # lengths within an eighth count as one
    length = -(-longest // step) * step
    length = length if limit is None else max(min(length, limit), min(longest, limit))
    key = (_fingerprint(model), vocab_size, length, trees)
    known = _KNOWN.setdefault(model, {})
    if key not in known:
        try:
            with torch.inference_mode():
                known[key] = _tried(Trial(model, vocab_size, length, limit), which, trees)
        except Exception as error:
            if not out_of_memory(error):
                raise
            raise TooLarge(f"{which}: memory ran out when {type(model).__name__} was tried on texts of {length} "
                           f"tokens. Fix: shorter texts, or a smaller model.", length) from error
    if known[key].way == "whole":
        warnings.warn(f"{which}: {type(model).__name__} is read by one pass over every text, which is slow: "
                      f"{known[key].lacks}.", SlowReading, stacklevel=_level_of_the_caller())
    return known[key]


def _level_of_the_caller() -> int:
    """Stack level, seen from the function that asks, of the first line that is not of this package."""
    package, frame, level = str(Path(__file__).parents[2]), sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(package):
        frame, level = frame.f_back, level + 1
    return level


def positions(model: Any) -> int | None:
    """Most tokens that a text of this model may have; None where the configuration names no limit."""
    config = model.config.get_text_config()
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
        limit = getattr(config, name, None)
        if isinstance(limit, int) and not isinstance(limit, bool) and limit > 0:
            return limit
    return None


def _fingerprint(model: Any) -> str:
    config = model.config.to_dict() | {"dtype": str(model.dtype), "attention": model.config._attn_implementation}
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def _tried(trial: Trial, which: str, trees: bool) -> Behaviour:
    name = f"{which}: {type(trial.model).__name__}"
    try:
        trial.check_width(name)
        lacks = trial.refuses()
    except Exception as error:  # any architecture's own failure, told in our words
        if isinstance(error, OtspecError) or out_of_memory(error):
            raise
        raise BadArgument(f"{name} cannot be run on token ids alone ({told(error)}). "
                          f"Fix: use a causal language model that needs no other input.") from error
    if lacks:
        raise BadArgument(f"{name} {lacks}. Fix: use a causal language model.")
    if not trial.even():
        why = "its logits depend on how long the text is that follows"
        return Behaviour("whole", why, partial(WholeReader, trial.model, trial.vocab_size, limit=trial.limit))
    lacks = ""
    for window in windows(trial.model.config.get_text_config()):
        make = partial(TreeReader, trial.model, trial.vocab_size, window=window, limit=trial.limit)
        wrong, sizes = trial.differs(make, 2 if trees else 1)
        if not wrong:
            return Behaviour("together", "", make, *sizes)
        lacks = lacks or wrong
    trial.slack = 10.0  # recurrent states sum in another order; without masks, what is wrong is wrong by far
    for how in ({}, {"plain": True}, {"singly": True}):
        alone = partial(AloneReader, trial.model, trial.vocab_size, limit=trial.limit, **how)
        wrong, sizes = trial.differs(alone, 2 if trees else 1)
        if not wrong:
            return Behaviour("alone", lacks, alone, *sizes)
    return Behaviour("whole", lacks, partial(WholeReader, trial.model, trial.vocab_size, limit=trial.limit))
