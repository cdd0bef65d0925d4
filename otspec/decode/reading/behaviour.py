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
import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, OtspecError
from otspec.decode.reading.alone import AloneReader
from otspec.decode.reading.readers import Reader, TreeReader, WholeReader
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
    """

    way: str
    lacks: str
    make: Callable[..., Reader]
    bytes_per_token: int = 0


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
    """
    import torch

    limit = positions(model)
    length = max(SHORTEST, 1 << (longest - 1).bit_length())
    length = length if limit is None else max(min(length, limit), min(longest, limit))
    key = (_fingerprint(model), vocab_size, length, trees)
    known = _KNOWN.setdefault(model, {})
    if key not in known:
        with torch.inference_mode():
            known[key] = _tried(_Trial(model, vocab_size, length, limit), which, trees)
    if known[key].way == "whole":
        warnings.warn(f"{which}: {type(model).__name__} is read by one pass over every text, which is slow: "
                      f"{known[key].lacks}.", SlowReading, stacklevel=3)
    return known[key]


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


def _tried(trial: _Trial, which: str, trees: bool) -> Behaviour:
    name = f"{which}: {type(trial.model).__name__}"
    try:
        lacks = trial.refuses()
    except OtspecError:
        raise
    except Exception as error:  # any architecture's own failure, told in our words
        raise BadArgument(f"{name} cannot be run on token ids alone ({type(error).__name__}: {error}). "
                          f"Fix: use a causal language model that needs no other input.") from error
    if lacks:
        raise BadArgument(f"{name} {lacks}. Fix: use a causal language model.")
    if not trial.even():
        why = "its logits depend on how long the text is that follows"
        return Behaviour("whole", why, partial(WholeReader, trial.model, trial.vocab_size, limit=trial.limit))
    lacks = ""
    for window in windows(trial.model.config.get_text_config()):
        make = partial(TreeReader, trial.model, trial.vocab_size, window=window, limit=trial.limit)
        wrong, size = trial.differs(make, 2 if trees else 1)
        if not wrong:
            return Behaviour("together", "", make, size)
        lacks = lacks or wrong
    trial.slack = 10.0  # recurrent states sum in another order; without masks, what is wrong is wrong by far
    for how in ({}, {"plain": True}, {"singly": True}):
        make = partial(AloneReader, trial.model, trial.vocab_size, limit=trial.limit, **how)
        if not trial.differs(make, 2 if trees else 1)[0]:
            return Behaviour("alone", lacks, make)
    return Behaviour("whole", lacks, partial(WholeReader, trial.model, trial.vocab_size, limit=trial.limit))


class _Trial:
    """Random tokens, and the logits that passes over whole texts of them give."""

    def __init__(self, model: Any, vocab_size: int, length: int, limit: int | None) -> None:
        self.model, self.vocab_size, self.limit = model, vocab_size, limit
        draw = np.random.default_rng(0)
        self.text = draw.integers(vocab_size, size=length).tolist()
        self.other = draw.integers(vocab_size, size=length).tolist()
        config = model.config.get_text_config()
        special = [getattr(config, name, None) for name in ("pad_token_id", "bos_token_id", "eos_token_id")]
        for place, token in enumerate(token for token in special if isinstance(token, int)):
            if 0 <= token < vocab_size:  # a text may hold any token
                self.text[1 + place] = token
        self._passes: dict[tuple[int, ...], Any] = {}
        self.slack = 1.0

    def whole(self, text: list[int]) -> Any:
        """Logits ``[n V]`` along a text, centred, float64."""
        import torch

        key = tuple(text)
        if key not in self._passes:
            logits = self.model(input_ids=torch.tensor([text], device=self.model.device), use_cache=False).logits
            self._passes[key] = _centred(logits[0, :, : self.vocab_size])
        return self._passes[key]

    def refuses(self) -> str:
        """Say what makes the model no causal language model of its own, if anything does."""
        half = len(self.text) // 2
        fresh = self.whole(self.text[:half])
        full = self.whole(self.text)
        if not self.same(full[:half], self.whole(self.text[:half] + self.other[half:])[:half]):
            return "is not causal: its logits move when later tokens change"
        del self._passes[tuple(self.text[:half])]
        if not self.same(self.whole(self.text[:half]), fresh):
            return "remembers earlier calls: the same text read twice gives different logits"
        return ""

    def even(self) -> bool:
        """Whether prefixes alone have the logits that they have within a longer text.

        Each is half as long as the one before, so that whatever length matters lies between two of them.
        """
        full, size = self.whole(self.text), len(self.text)
        return all(self.same(full[length - 1], self.whole(self.text[:length])[-1])
                   for length in (size >> times for times in range(1, size.bit_length())))

    def same(self, left: Any, right: Any) -> bool:
        """Whether two sets of logits differ by rounding only."""
        import torch

        eps = torch.finfo(self.model.dtype).eps
        # float64 models may keep a float32 softmax; of half precision, nothing finer than a few steps can be asked
        relative = 16 * eps if eps > 1e-4 else 2e-5 if eps > 1e-10 else 2e-6
        scale = max(float(left.abs().max()), float(right.abs().max()))
        if left.isnan().all() and right.isnan().all():  # told as such when it is decoded
            return True
        return bool((left - right).abs().max() <= self.slack * relative * scale)

    def differs(self, make: Callable[..., Any], branches: int) -> tuple[str, int]:
        """Say how reading trees behind two texts in one cache differs from whole passes; also bytes a token."""
        deep = 2
        ends = [len(self.text) - 2 * (deep + 1), max(1, len(self.text) // 3)]
        texts = [self.text[: ends[0]], self.text[: ends[1]]]
        try:
            return self._read(make(rows=2), texts, branches, deep)
        except Exception as error:  # a cache or mask that an architecture does not take
            return f"it cannot be read through a cache with a mask ({type(error).__name__}: {error})"[:300], 0

    def _read(self, reader: Any, texts: list[list[int]], branches: int, deep: int) -> tuple[str, int]:
        import torch

        device = self.model.device
        reader.admit([0, 1], [text[:-1] for text in texts])
        for turn in range(2):
            # the first branch goes on as the text does, so that one whole pass serves both rounds
            chains = [[self.text[len(text) : len(text) + deep]] +
                      [self.other[5 * turn + deep * b : 5 * turn + deep * (b + 1)] for b in range(1, branches)]
                      for text in texts]
            nodes = [[text[-1], *(token for chain in chains[row] for token in chain)] for row, text in enumerate(texts)]
            parents = [-1, *(parent for b in range(branches) for parent in (0, *range(b * deep + 1, b * deep + deep)))]
            logits = reader.read(*(torch.tensor(table, device=device) for table in (nodes, [parents] * 2)))
            for row, text in enumerate(texts):
                for b, chain in enumerate(chains[row]):
                    want = self.whole(self.text)[len(text) - 1 : len(text) + deep] if b == 0 else \
                        self.whole(text + chain)[-deep - 1 :]
                    picked = [0, *range(1 + b * deep, 1 + (b + 1) * deep)]
                    if not self.same(_centred(logits[row, picked]), want):
                        return ("a cache with a mask of drafted branches gives other logits" if b else
                                "a cache that holds texts of different length gives other logits"), 0
            keep = torch.arange(deep + 1, device=device).expand(2, -1)
            texts = [text + self.text[len(text) : len(text) + deep + 1] for text in texts]
            reader.keep(keep, torch.full((2,), deep + 1, device=device), max(map(len, texts)) - 1)
        return "", reader.bytes_per_slot


def _centred(logits: Any) -> Any:
    """Logits up to the constant that no law depends on."""
    logits = logits.double()
    return logits - logits.mean(dim=-1, keepdim=True)
