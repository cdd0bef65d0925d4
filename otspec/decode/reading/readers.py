"""Ways to get a model's laws along drafted trees; all give what a pass over each text alone gives.

A reader holds the texts of a batch. `admit` reads a text, `read` adds drafted nodes behind the texts and returns the
logits after each, `keep` makes some of them part of the texts and drops the others. A node is numbered by its place
among those read since the last `keep`; its parent is a number, or -1 for the end of the text.

* `TreeReader` reads all nodes of all texts in one call, with one cache row a text. The mask shows a node its text and
  its ancestors, and nothing else.
* `otspec.decode.reading.alone.AloneReader` reads text after text, each with the model's own cache.
* `WholeReader` is the definition: the logits after a text are the last ones of a pass over exactly that text. It needs
  no cache, mask or position, so every causal model can be read with it; it costs a pass a node.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any, Protocol

import numpy as np

from otspec.core.errors import ShapeMismatch
from otspec.decode.recorded import Recorder

ROWS = 64  # texts of one length that a whole pass reads together
PART = 256  # tokens of a text that are read in one call
STEP = 64  # slots by which the width of recorded calls grows


class Reader(Protocol):
    """What the decoder asks of a way to read a model."""

    def admit(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Begin ``texts`` in the given rows, which are free."""

    def read(self, tokens: Any, parents: Any, last: int = 0) -> Any:
        """Logits ``[B n V]`` after ``tokens [B n]`` (``[B last V]`` of the last few) with ``parents [B n]``."""

    def keep(self, nodes: Any, count: Any, most: int) -> None:
        """Make the first ``count [B]`` of ``nodes [B m]`` part of the texts, a chain each, and drop the others.

        ``most`` bounds the lengths of the texts after it, on the host.
        """

    def select(self, rows: Any) -> None:
        """Keep the rows ``[B']`` of the batch, in this order."""


def call(model: Any, vocab_size: int, last: int = 0, **arguments: Any) -> Any:
    """Logits ``[R n V]`` of one call of a model, or of the ``last`` tokens only.

    Raises
    ------
    ShapeMismatch
        Fewer logits than the vocabulary has tokens.
    """
    return call_with(model, vocab_size, last, **arguments)[0]


def call_with(model: Any, vocab_size: int, last: int = 0, **arguments: Any) -> tuple[Any, Any]:
    """Logits as `call` gives them, and all that the model gave."""
    accepted = inspect.signature(model.forward).parameters
    if last and "logits_to_keep" in accepted:
        arguments["logits_to_keep"] = last
    out = model(**arguments)
    if out.logits.shape[-1] < vocab_size:
        raise ShapeMismatch(f"{type(model).__name__}: {out.logits.shape[-1]} logits, expected at least {vocab_size}. "
                            f"Fix: load the pair with otspec.load_pair.")
    return out.logits[:, -last:, :vocab_size], out


class TreeReader:
    """One cache row a text, trees by mask; see the module.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
    rows : int
        Texts of the batch.
    room : int
        Slots to begin with.
    window : Window, optional
        Makes the masks of a model with attention windows; default: all of the text is seen.
    limit : int, optional
        Positions that the model knows; nodes past the last one, which no text can reach, are read there.
    """

    def __init__(self, model: Any, vocab_size: int, rows: int, room: int = 64, window: Any = None,
                 limit: int | None = None) -> None:
        import torch

        from otspec.decode.reading.slots import SlotCache

        self._model, self._vocab_size, self._window, self._limit = model, vocab_size, window, limit
        self._cache, self._recorder = SlotCache(rows, room), Recorder()
        accepted = inspect.signature(model.forward).parameters
        # transformers 5.24 calls the cache by its name
        self._cache_name = "cache" if "cache" in accepted else "past_key_values"
        self._lowest = torch.finfo(model.dtype).min
        self._lengths = torch.zeros(rows, dtype=torch.int64, device=model.device)
        self._most = 0
        self._above = torch.zeros(rows, 0, 0, dtype=torch.bool, device=model.device)

    bytes_per_text = 0

    @property
    def bytes_per_slot(self) -> int:
        """Memory of one token of one text, in bytes."""
        return self._cache.bytes_per_slot

    def admit(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Read whole texts into free rows; junk behind the shorter ones is overwritten before it can be seen."""
        import torch

        device = self._lengths.device
        width = max(map(len, texts))
        padded = np.zeros((len(texts), width), dtype=np.int64)
        for row, text in enumerate(texts):
            padded[row, : len(text)] = text
        chosen = torch.as_tensor(list(rows), device=device)
        self._lengths[chosen] = torch.as_tensor([len(text) for text in texts], device=device)
        self._most = max(self._most, width)
        if width == 0:
            return
        tokens = torch.from_numpy(padded).to(device)
        whole = len(rows) == self._cache.rows and list(rows) == list(range(len(rows)))
        # part by part, so that the scores of a long text are never all in memory
        for start in range(0, width, PART):
            slots = torch.arange(start, min(start + PART, width), device=device)
            seen = (torch.arange(int(slots.shape[0]) + start, device=device) <= slots[:, None])[None]
            places = slots.expand(len(texts), -1)
            self._call(tokens[:, start : start + PART], places, places, seen.expand(len(texts), -1, -1), 1,
                       None if whole else chosen)

    def read(self, tokens: Any, parents: Any, last: int = 0) -> Any:
        """Logits after nodes; see `Reader`."""
        import torch

        size, new = tokens.shape
        before = self._above.shape[-1]
        own = torch.eye(new, dtype=torch.bool, device=tokens.device).expand(size, -1, -1)
        above = torch.cat([self._above.new_zeros(size, new, before), own], dim=2)
        earlier = torch.cat([self._above, self._above.new_zeros(size, before, new)], dim=2)
        if before:
            at = parents.clamp(min=0, max=before - 1)[:, :, None].expand(-1, -1, before + new)
            above |= earlier.gather(1, at) & ((parents >= 0) & (parents < before))[:, :, None]
        # a parent may stand among the new nodes themselves; where the host can see that none does, nothing is left
        for j in range(1, new) if parents.device.type != "cpu" or int(parents.max()) >= before else ():
            at = (parents[:, j] - before).clamp(min=0, max=j - 1)[:, None, None].expand(-1, 1, before + new)
            above[:, j] |= above[:, :j].gather(1, at)[:, 0] & (parents[:, j] >= before)[:, None]
        self._above = torch.cat([earlier, above], dim=1)
        places = self._lengths[:, None] + above.sum(dim=2) - 1
        slots = self._lengths[:, None] + before + torch.arange(new, device=tokens.device)
        width = self._most + before + new
        seen = torch.arange(width, device=tokens.device) < self._lengths[:, None, None]
        behind = self._lengths[:, None, None] + torch.arange(before + new, device=tokens.device)
        seen = seen.expand(-1, new, -1).scatter(2, behind.expand(-1, new, -1), above)
        return self._call(tokens, places, slots, seen, last)

    def keep(self, nodes: Any, count: Any, most: int) -> None:
        """Move the chosen nodes behind their texts; see `Reader`. ``nodes=None``: they are the first ones."""
        import torch

        if nodes is not None:
            ahead = torch.arange(nodes.shape[1], device=nodes.device)
            # past the count, a node moves onto itself
            source = torch.where(ahead < count[:, None], nodes, ahead)
            self._cache.move(self._lengths[:, None] + source, self._lengths[:, None] + ahead)
        self._lengths = self._lengths + count
        self._most = most
        self._above = self._above[:, :0, :0]

    def select(self, rows: Any) -> None:
        """Keep some rows; see `Reader`."""
        self._cache.select(rows)
        self._recorder.forget()
        self._lengths, self._above = self._lengths[rows], self._above[rows]

    def _call(self, tokens: Any, places: Any, slots: Any, seen: Any, last: int, chosen: Any = None) -> Any:
        import torch

        width, moves = seen.shape[-1], self._cache.moves
        self._cache.reserve(width)
        if self._cache.moves > moves:
            self._recorder.forget()
        recording = chosen is None and tokens.is_cuda and self._window is None
        if recording:  # a recorded call has one width; the slots added are hidden
            width = min(self._cache.capacity, -(-width // STEP) * STEP)
            seen = torch.nn.functional.pad(seen, (0, width - seen.shape[-1]))
        if self._limit is not None:
            places = places.clamp(max=self._limit - 1)
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=seen.device)
        mask = mask.masked_fill_(~seen, self._lowest)[:, None]
        if self._window is not None:
            mask = self._window(mask, places, self._places_of(places, slots, width), self._lowest)
        if not recording:
            return self._forward(last, width, chosen, tokens, places, slots, mask)
        return self._recorder(partial(self._forward, last, width, None), tokens, places, slots, mask, key=last)

    def _forward(self, last: int, width: int, chosen: Any, tokens: Any, places: Any, slots: Any, mask: Any) -> Any:
        self._cache.aim(slots, width, chosen)
        return call(self._model, self._vocab_size, last, input_ids=tokens, position_ids=places, attention_mask=mask,
                    use_cache=True, **{self._cache_name: self._cache})

    def _places_of(self, places: Any, slots: Any, width: int) -> Any:
        """Position of the token in every slot ``[B width]``: the slot's number, but for drafted nodes."""
        import torch

        plain = torch.arange(width, device=places.device).expand(len(places), -1)
        depth = self._above.sum(dim=2) - 1
        if depth.shape[1] == 0 or depth.shape[0] != len(places):
            return plain
        behind = self._lengths[:, None] + torch.arange(depth.shape[1], device=places.device)
        return plain.scatter(1, behind, self._lengths[:, None] + depth)


class WholeReader:
    """A pass over every text alone; see the module. Texts live on the host.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
    rows : int
    limit : int, optional
        Positions that the model knows; what stands past the last one, which no text can reach, is left out.
    """

    def __init__(self, model: Any, vocab_size: int, rows: int, limit: int | None = None) -> None:
        self._model, self._vocab_size, self._limit = model, vocab_size, limit
        self._texts: list[list[int]] = [[] for _ in range(rows)]
        self._nodes: list[list[list[int]]] = [[] for _ in range(rows)]

    bytes_per_slot = bytes_per_text = 0  # no cache

    def admit(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Take down the texts; nothing is read before it is asked for."""
        for row, text in zip(rows, texts, strict=True):
            self._texts[row], self._nodes[row] = list(text), []

    def read(self, tokens: Any, parents: Any, last: int = 0) -> Any:
        """Logits after nodes; see `Reader`."""
        numbers, above = tokens.tolist(), parents.tolist()
        for b, nodes in enumerate(self._nodes):
            for token, parent in zip(numbers[b], above[b], strict=True):
                nodes.append([*(nodes[parent] if parent >= 0 else []), token])
        shown = last or tokens.shape[1]
        asked = [(text + chain)[: self._limit] for text, nodes in zip(self._texts, self._nodes, strict=True)
                 for chain in nodes[-shown:]]
        return last_logits(self._model, self._vocab_size, asked).unflatten(0, (len(numbers), shown))

    def keep(self, nodes: Any, count: Any, most: int) -> None:
        """Add the chosen nodes to the texts; see `Reader`."""
        for b, kept in enumerate(count.tolist()):
            places = range(kept) if nodes is None else nodes[b, :kept].tolist()
            self._texts[b] += [self._nodes[b][place][-1] for place in places]
            self._nodes[b] = []

    def select(self, rows: Any) -> None:
        """Keep some rows; see `Reader`."""
        chosen = rows.tolist()
        self._texts, self._nodes = [self._texts[b] for b in chosen], [self._nodes[b] for b in chosen]


def last_logits(model: Any, vocab_size: int, texts: Sequence[Sequence[int]]) -> Any:
    """Logits ``[n V]`` after each text, by passes over texts of one length; equal texts are read once."""
    import torch

    by_length: dict[int, list[tuple[int, ...]]] = {}
    for text in dict.fromkeys(map(tuple, texts)):
        by_length.setdefault(len(text), []).append(text)
    found: dict[tuple[int, ...], Any] = {}
    for _, group in sorted(by_length.items()):
        for start in range(0, len(group), ROWS):
            part = group[start : start + ROWS]
            logits = call(model, vocab_size, 1, input_ids=torch.tensor(part, device=model.device), use_cache=False)
            found.update(zip(part, logits[:, 0], strict=True))
    return torch.stack([found[tuple(text)] for text in texts])
