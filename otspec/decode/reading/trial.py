"""The trial of a model: random tokens, read by the definition and by a way that may be quicker."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from otspec.core.errors import OtspecError, ShapeMismatch
from otspec.decode.reading.memory import out_of_memory

DEEP = 2  # drafted tokens of a branch
SHORT = 256  # tokens that show whether later ones are seen; longer texts are compared in the branches
COLUMNS = 4096  # tokens of the vocabulary whose logits are compared


class Trial:
    """Random tokens, and the logits that passes over whole texts of them give.

    Logits are kept at some places of a text and for some tokens of the vocabulary only, evenly spread, so that a trial
    on long texts costs time but no memory.
    """

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
        self.ends = [length - 2 * (DEEP + 1), max(1, length // 3)]
        self._places = self._watched(length)
        self._columns = np.unique(np.linspace(0, vocab_size - 1, min(vocab_size, COLUMNS)).round().astype(int))
        self._choosing = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._passes: dict[tuple[int, ...], tuple[list[int], Any]] = {}
        self.slack = 1.0

    def _watched(self, length: int) -> list[int]:
        """Places at which some comparison is made."""
        near = {end + step for end in self.ends for step in range(-1, 2 * (DEEP + 1))}
        halves = {(length >> times) - 1 for times in range(length.bit_length())}
        spread = set(np.linspace(0, length - 1, 16).astype(int).tolist()) | set(range(min(8, length)))
        return sorted(place for place in near | halves | spread if 0 <= place < length)

    def whole(self, text: list[int], places: Sequence[int]) -> Any:
        """Logits ``[m V']`` at some places of a text, of one pass over it, centred; -1 is the last place."""
        key = tuple(text)
        if key not in self._passes:
            size = len(text)
            kept = sorted({*(place for place in self._places if place < size), *range(max(0, size - DEEP - 1), size)})
            self._passes[key] = kept, self.compared(self._pass(text, kept))
        kept, logits = self._passes[key]
        return logits[[kept.index(place % len(text)) for place in places]]

    def _pass(self, text: list[int], places: list[int]) -> Any:
        import torch

        read = {"input_ids": torch.tensor([text], device=self.model.device), "use_cache": False}
        if self._choosing:
            try:
                chosen = torch.tensor(places, device=self.model.device)
                logits = self.model(**read, logits_to_keep=chosen).logits
                if logits.shape[1] == len(places):
                    return logits[0]
            except (TypeError, ValueError, IndexError, RuntimeError) as error:  # a model that keeps the last ones only
                if out_of_memory(error):
                    raise
            self._choosing = False
        return self.model(**read).logits[0, places]

    def compared(self, logits: Any) -> Any:
        """What is compared of logits ``[n V]``: some tokens, up to the constant that no law depends on."""
        import torch

        logits = logits[:, self._columns]
        logits = logits if logits.dtype == torch.float64 else logits.float()
        return logits - logits.mean(dim=-1, keepdim=True)

    def check_width(self, name: str) -> None:
        """Refuse a model of fewer tokens than the vocabulary, which reading some of them would show by chance only."""
        import torch

        embedding = self.model.get_input_embeddings()
        if isinstance(embedding, torch.nn.Embedding) and embedding.num_embeddings < self.vocab_size:
            raise ShapeMismatch(f"{name} reads {embedding.num_embeddings} tokens, but the pair's vocab_size is "
                                f"{self.vocab_size}. Fix: load the pair with otspec.load_pair.")
        found = self._pass(self.text[:2], [0]).shape[-1]
        if found < self.vocab_size:
            raise ShapeMismatch(f"{name} gives {found} logits, but the pair's vocab_size is {self.vocab_size}. "
                                f"Fix: load the pair with otspec.load_pair.")

    def refuses(self) -> str:
        """Say what makes the model no causal language model of its own, if anything does."""
        text = self.text[:SHORT]
        half = len(text) // 2
        fresh = self.whole(text[:half], [-1])
        before = [place for place in self._places if place < half]
        mixed = text[:half] + self.other[half : len(text)]
        if not self.same(self.whole(text, before), self.whole(mixed, before)):
            return "is not causal: its logits move when later tokens change"
        even = self.even()
        if not self.same(self._again(text[:half]), fresh) or (not even and self._scales_for_good()):
            return "remembers earlier calls: the same text read twice gives different logits"
        return ""

    def _again(self, text: list[int]) -> Any:
        self._passes.pop(tuple(text), None)
        return self.whole(text, [-1])

    def _scales_for_good(self) -> bool:
        """Whether positions that were scaled for a long text stay so for a shorter one."""
        shorter = self.text[: 3 * len(self.text) // 4]
        self._again(self.text[:2])  # what is short enough undoes it
        fresh = self._again(shorter)
        self._again(self.text)
        return not self.same(self._again(shorter), fresh)

    def even(self) -> bool:
        """Whether prefixes alone have the logits that they have within a longer text.

        Each is half as long as the one before, so that whatever length matters lies between two of them.
        """
        size = len(self.text)
        return all(self.same(self.whole(self.text, [length - 1]), self.whole(self.text[:length], [-1]))
                   for length in (size >> times for times in range(1, size.bit_length())))

    def same(self, left: Any, right: Any) -> bool:
        """Whether two sets of logits differ by rounding only."""
        import torch

        eps = torch.finfo(self.model.dtype).eps
        # float64 models may keep a float32 softmax; of half precision, nothing finer than a few steps can be asked;
        # models of 30 layers with rounded weights show 1e-5 to 3e-5 in float32
        relative = 16 * eps if eps > 1e-4 else 6e-5 if eps > 1e-10 else 2e-6
        scale = max(float(left.abs().max()), float(right.abs().max()))
        if left.isnan().all() and right.isnan().all():  # told as such when it is decoded
            return True
        return bool((left - right).abs().max() <= self.slack * relative * scale)

    def differs(self, make: Callable[..., Any], branches: int) -> tuple[str, tuple[int, int]]:
        """Say how reading trees behind two texts differs from whole passes; also bytes a token and a text."""
        texts = [self.text[:end] for end in self.ends]
        try:
            reader = make(rows=2)
            return self._read(reader, texts, branches), (reader.bytes_per_slot, reader.bytes_per_text)
        except Exception as error:  # a cache or mask that an architecture does not take
            if isinstance(error, OtspecError) or out_of_memory(error):
                raise
            return f"it cannot be read through a cache with a mask ({told(error)})", (0, 0)

    def _read(self, reader: Any, texts: list[list[int]], branches: int) -> str:
        import torch

        device = self.model.device
        reader.admit([0, 1], [text[:-1] for text in texts])
        for turn in range(2):
            # the first branch goes on as the text does, so that one whole pass serves both rounds
            chains = [[self.text[len(text) : len(text) + DEEP]] +
                      [self.other[5 * turn + DEEP * b : 5 * turn + DEEP * (b + 1)] for b in range(1, branches)]
                      for text in texts]
            nodes = [[text[-1], *(token for chain in chains[row] for token in chain)] for row, text in enumerate(texts)]
            parents = [-1, *(parent for b in range(branches) for parent in (0, *range(b * DEEP + 1, b * DEEP + DEEP)))]
            logits = reader.read(*(torch.tensor(table, device=device) for table in (nodes, [parents] * 2)))
            for row, b in ((row, b) for row in range(2) for b in range(branches)):
                if turn and b and not row:  # a pass over the longest text that shows nothing new
                    continue
                text, chain = texts[row], chains[row][b]
                want = self.whole(self.text, range(len(text) - 1, len(text) + DEEP)) if b == 0 else \
                    self.whole(text + chain, range(len(text) - 1, len(text) + DEEP))
                picked = [0, *range(1 + b * DEEP, 1 + (b + 1) * DEEP)]
                if not self.same(self.compared(logits[row, picked]), want):
                    return ("a cache with a mask of drafted branches gives other logits" if b else
                            "a cache that holds texts of different length gives other logits")
            keep = torch.arange(DEEP + 1, device=device).expand(2, -1)
            texts = [text + self.text[len(text) : len(text) + DEEP + 1] for text in texts]
            reader.keep(keep, torch.full((2,), DEEP + 1, device=device), max(map(len, texts)) - 1)
        return ""


def told(error: Exception) -> str:
    """Kind of an error and its first sentence, for use within one of ours."""
    first = " ".join(str(error).split()).partition(". ")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(first, 120, placeholder='...')}"
