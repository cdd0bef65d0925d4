"""Reading one text at a time with the model's own cache: for models that count slots, or keep a state.

The cache of a text holds the text and nothing else, so whatever a model counts, it counts right. Drafted chains are
read behind a copy of it, those of one length together; what was kept is read once more, into the cache itself. Nothing
has to be taken out of a cache, so a recurrent state serves as well as keys and values.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

from otspec.decode.reading.memory import cache_bytes
from otspec.decode.reading.readers import call_with

_NAMES = ("cache", "past_key_values", "cache_params", "state")


class AloneReader:
    """Every text by itself, in a cache of its own; see `otspec.decode.reading.readers.Reader`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    vocab_size : int
    rows : int
    plain : bool
        Begin with a cache that grows by layers as they come, instead of the one that the model makes.
    singly : bool
        Read behind a cache token after token: some recurrences take up a state with one token only.
    limit : int, optional
        Positions that the model knows; what stands past the last one, which no text can reach, is left out.
    """

    def __init__(self, model: Any, vocab_size: int, rows: int, *, plain: bool = False,
                 singly: bool = False, limit: int | None = None) -> None:
        self._model, self._vocab_size, self._plain, self._singly = model, vocab_size, plain, singly
        self._limit, self._lengths = limit, [0] * rows
        self._caches: list[Any] = [None] * rows
        self._unread: list[list[int]] = [[] for _ in range(rows)]
        self._nodes: list[list[list[int]]] = [[] for _ in range(rows)]
        accepted = inspect.signature(model.forward).parameters
        self._name = next((name for name in _NAMES if name in accepted), None)

    @property
    def bytes_per_slot(self) -> int:
        """Memory of one more token of a text, as the caches of the shortest and the longest text show it."""
        return self._memory()[0]

    @property
    def bytes_per_text(self) -> int:
        """Memory of a text whatever its length, such as a recurrent state."""
        return self._memory()[1]

    def _memory(self) -> tuple[int, int]:
        sizes = sorted((length - len(unread), cache_bytes(cache)) for cache, length, unread
                       in zip(self._caches, self._lengths, self._unread, strict=True) if cache is not None)
        if not sizes:
            return 0, 0
        (short, least), (long, most) = sizes[0], sizes[-1]
        slope = max(0, most - least) // (long - short) if long > short else most // max(1, long)
        return slope, max(0, most - slope * long)

    def admit(self, rows: Sequence[int], texts: Sequence[Sequence[int]]) -> None:
        """Begin texts; they are read with the first nodes."""
        for row, text in zip(rows, texts, strict=True):
            self._caches[row], self._unread[row], self._nodes[row] = None, list(text), []
            self._lengths[row] = len(text)

    def read(self, tokens: Any, parents: Any, last: int = 0) -> Any:
        """Logits after nodes, text after text."""
        import torch

        shown, rows = last or tokens.shape[1], []
        for b, (new, above) in enumerate(zip(tokens.tolist(), parents.tolist(), strict=True)):
            nodes = self._nodes[b]
            for token, parent in zip(new, above, strict=True):
                nodes.append([*(nodes[parent] if parent >= 0 else []), token])
            fits = None if self._limit is None else self._limit - self._lengths[b]
            rows.append(self._after(b, [chain[:fits] for chain in nodes[-shown:]]))
        return torch.stack(rows)

    def keep(self, nodes: Any, count: Any, most: int) -> None:
        """Note what was kept; it is read with the next nodes."""
        for b, kept in enumerate(count.tolist()):
            places = range(kept) if nodes is None else nodes[b, :kept].tolist()
            self._unread[b] += [self._nodes[b][place][-1] for place in places]
            self._lengths[b] += kept
            self._nodes[b] = []

    def select(self, rows: Any) -> None:
        """Keep some rows."""
        chosen = rows.tolist()
        self._caches, self._unread = [self._caches[b] for b in chosen], [self._unread[b] for b in chosen]
        self._nodes, self._lengths = [self._nodes[b] for b in chosen], [self._lengths[b] for b in chosen]

    def _after(self, b: int, chains: list[list[int]]) -> Any:
        """Logits ``[n V]`` after chains behind text ``b``."""
        import torch

        if self._unread[b]:
            _, self._caches[b] = self._call([self._unread[b]], self._caches[b])
            self._unread[b] = []
        found: list[Any] = [None] * len(chains)
        for length in sorted({len(chain) for chain in chains}):
            group = [place for place, chain in enumerate(chains) if len(chain) == length]
            for part in ([group] if _repeats(self._caches[b]) else [[place] for place in group]):
                cache = copy.deepcopy(self._caches[b])
                if cache is not None and len(part) > 1:
                    cache.batch_repeat_interleave(len(part))
                logits, _ = self._call([chains[place] for place in part], cache)
                for place, row in zip(part, logits, strict=True):
                    found[place] = row
        return torch.stack(found)

    def _call(self, texts: list[list[int]], cache: Any) -> tuple[Any, Any]:
        """Logits ``[g V]`` after texts of one length behind a cache, and the cache after them."""
        import torch

        if cache is None and self._plain:
            from transformers import DynamicCache

            cache = DynamicCache()
        read = torch.tensor(texts, device=self._model.device)
        for part in (read.split(1, dim=1) if self._singly and cache is not None else (read,)):
            if cache is not None and self._name is None:
                raise TypeError("it takes no cache")
            extra = {str(self._name): cache} if cache is not None else {}
            logits, out = call_with(self._model, self._vocab_size, 1, use_cache=True, input_ids=part, **extra)
        made = next((getattr(out, name) for name in _NAMES if getattr(out, name, None) is not None), None)
        if made is None:
            raise TypeError("it gives back no cache")
        return logits[:, 0], made


def _repeats(cache: Any) -> bool:
    """Whether all layers of a cache can be laid out for several chains; those with a state of their own cannot."""
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = getattr(cache, "layers", ())
    return cache is None or (bool(layers) and all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer)
                                                  for layer in layers))
