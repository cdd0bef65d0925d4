"""A key-value cache in which token ``j`` of a text lies in slot ``j``.

Rows of a batch hold texts of different lengths, all beginning at slot 0, so nothing is padded on the left and no
position has to be made up. What is drafted goes behind the text, is overwritten by the next round, and the few slots of
the drafts that were kept are moved to their places. The cache therefore never holds more than the texts and one round.

Models see an ordinary cache of transformers: they hand over new keys and values and get back all that may be
attended to. What a token really attends to is said by the additive mask that is passed with it.
"""

from __future__ import annotations

from typing import Any

from transformers.cache_utils import Cache, CacheLayerMixin


class _Layer(CacheLayerMixin):
    """Keys and values of one layer, ``[R S H D]``: slot-major, so that a token is one contiguous piece."""

    is_sliding = False

    def __init__(self, cache: SlotCache) -> None:
        super().__init__()
        self._cache = cache

    def lazy_initialization(self, key_states: Any, value_states: Any) -> None:
        """Make room for every slot of the cache."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self.keys, self.values = (self._room(states) for states in (key_states, value_states))
        self.is_initialized = True

    def _room(self, states: Any) -> Any:
        _, heads, _, width = states.shape
        return states.new_zeros(self._cache.rows, self._cache.capacity, heads, width)

    def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """Write ``[R H n D]`` at the slots of this call and return all slots up to its width."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        return self._written(self.keys, key_states), self._written(self.values, value_states)

    def _written(self, store: Any, states: Any) -> Any:
        cache = self._cache
        rows, slots = cache.at
        store[rows, slots] = states.transpose(1, 2)
        kept = store if cache.chosen is None else store[cache.chosen]
        return kept[:, : cache.width].transpose(1, 2)

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Width of the mask and its offset."""
        return self._cache.width, 0

    def get_seq_length(self) -> int:
        """Slots before those of this call."""
        return self._cache.before

    def get_max_length(self) -> int:
        """No limit: the cache grows."""
        return -1


class SlotCache(Cache):
    """Cache of ``rows`` texts; see the module.

    Parameters
    ----------
    rows, capacity : int
        Number of texts, and slots of each; `reserve` makes more.
    """

    def __init__(self, rows: int, capacity: int) -> None:
        self.rows, self.capacity = rows, capacity
        self.at: Any = None
        self.chosen: Any = None
        self.width = self.before = 0
        self.moves = 0  # how often all keys and values have moved to other memory
        make: Any = lambda **kwargs: _Layer(self)  # noqa: E731  # stands for the class of a layer
        super().__init__(layer_class_to_replicate=make)

    def aim(self, slots: Any, width: int, chosen: Any = None) -> None:
        """Say where the next call writes: ``slots [R n]``, in rows ``chosen [R]`` (default all), seeing ``width``."""
        import torch

        rows = torch.arange(self.rows, device=slots.device) if chosen is None else chosen
        self.at, self.chosen = (rows[:, None], slots), chosen
        self.before, self.width = max(0, width - slots.shape[1]), width

    def reserve(self, capacity: int) -> None:
        """Make room for so many slots, at least doubling, so that growing stays cheap."""
        if capacity <= self.capacity:
            return
        self.capacity, self.moves = max(capacity, 2 * self.capacity), self.moves + 1
        for layer, name, store in self._stores():
            grown = store.new_zeros(store.shape[0], self.capacity, *store.shape[2:])
            grown[:, : store.shape[1]] = store
            setattr(layer, name, grown)

    def move(self, source: Any, destination: Any) -> None:
        """Copy slots ``source [R m]`` of every row to its slots ``destination [R m]``."""
        import torch

        for _, _, store in self._stores():
            rows = torch.arange(len(store), device=store.device)[:, None]
            store[rows, destination] = store[rows, source]

    def select(self, rows: Any) -> None:
        """Keep the rows ``[R']``, in this order."""
        self.rows, self.moves = len(rows), self.moves + 1
        for layer, name, store in self._stores():
            setattr(layer, name, store[rows])

    @property
    def bytes_per_slot(self) -> int:
        """Memory of one slot of one row, in bytes, over all layers that have been written."""
        return sum(store[0, 0].numel() * store.element_size() for _, _, store in self._stores())

    def _stores(self) -> list[tuple[Any, str, Any]]:
        layers: list[Any] = self.layers
        return [(layer, name, getattr(layer, name)) for layer in layers if layer.is_initialized
                for name in ("keys", "values")]
