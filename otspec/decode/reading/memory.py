"""Memory: what a model's cache holds, and whether an error says that there is no more."""

from __future__ import annotations

from typing import Any

_SAID = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out; on a CPU torch has no class for it, only words.

    Examples
    --------
    >>> out_of_memory(MemoryError()), out_of_memory(RuntimeError("shapes differ"))
    (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _SAID)


def cache_bytes(cache: Any) -> int:
    """Bytes of all tensors that a cache of any class holds, each storage counted once."""
    import torch

    found: dict[int, int] = {}
    seen: set[int] = set()
    waiting = [cache]
    while waiting:
        value = waiting.pop()
        if isinstance(value, torch.Tensor):
            found[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif id(value) not in seen and not isinstance(value, (type, str, torch.nn.Module)):
            seen.add(id(value))
            if isinstance(value, dict):
                waiting += value.values()
            elif isinstance(value, (list, tuple)):
                waiting += value
            else:
                waiting += getattr(value, "__dict__", {}).values()
    return sum(found.values())
