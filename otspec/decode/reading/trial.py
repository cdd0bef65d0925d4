"""The trial of a model: random tokens, read by the definition and by a way that may be quicker."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np

from otspec.core.errors import OtspecError, ShapeMismatch
from otspec.decode.reading.memory import out_of_memory


class Trial:
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

    def check_width(self, name: str) -> None:
        """Refuse a model of fewer tokens than the vocabulary, which reading some of them would show by chance only."""
        import torch

        embedding = self.model.get_input_embeddings()
        if isinstance(embedding, torch.nn.Embedding) and embedding.num_embeddings < self.vocab_size:
            raise ShapeMismatch(f"{name} reads {embedding.num_embeddings} tokens, but the pair's vocab_size is "
                                f"{self.vocab_size}. Fix: load the pair with otspec.load_pair.")
        # a pass would give as many logits; one is made below in any case
        found = self.whole(self.text[: len(self.text) // 2]).shape[-1]
        if found < self.vocab_size:
            raise ShapeMismatch(f"{name} gives {found} logits, but the pair's vocab_size is {self.vocab_size}. "
                                f"Fix: load the pair with otspec.load_pair.")

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

    def differs(self, make: Callable[..., Any], branches: int) -> tuple[str, tuple[int, int]]:
        """Say how reading trees behind two texts differs from whole passes; also bytes a token and a text."""
        deep = 2
        ends = [len(self.text) - 2 * (deep + 1), max(1, len(self.text) // 3)]
        texts = [self.text[: ends[0]], self.text[: ends[1]]]
        try:
            reader = make(rows=2)
            return self._read(reader, texts, branches, deep), (reader.bytes_per_slot, reader.bytes_per_text)
        except Exception as error:  # a cache or mask that an architecture does not take
            if isinstance(error, OtspecError) or out_of_memory(error):
                raise
            return f"it cannot be read through a cache with a mask ({told(error)})", (0, 0)

    def _read(self, reader: Any, texts: list[list[int]], branches: int, deep: int) -> str:
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
                                "a cache that holds texts of different length gives other logits")
            keep = torch.arange(deep + 1, device=device).expand(2, -1)
            texts = [text + self.text[len(text) : len(text) + deep + 1] for text in texts]
            reader.keep(keep, torch.full((2,), deep + 1, device=device), max(map(len, texts)) - 1)
        return ""


def told(error: Exception) -> str:
    """Kind of an error and its first sentence, for use within one of ours."""
    first = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(first, 120, placeholder='...')}"


def _centred(logits: Any) -> Any:
    """Logits up to the constant that no law depends on."""
    logits = logits.double()
    return logits - logits.mean(dim=-1, keepdim=True)
