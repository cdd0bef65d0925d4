"""Calls on a CUDA device, recorded once for each shape and then replayed: one launch in place of thousands.

The rounds of a run do the same small operations on arrays of the same shapes again and again, and a device waits longer
for each of them to be launched than it computes. A call that has been made a few times with the same shapes is recorded
as a CUDA graph; later calls copy their arguments in, replay it and copy the answers out. Nothing else changes: the same
kernels compute the same numbers. A call that makes the host wait cannot be recorded and is made as before. What a model
does in Python beside its numbers, such as a hook that prints, happens in the first calls only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

WARM = 2  # calls of one kind before it is recorded
MOST = 32  # recordings that are kept; each holds its own arguments and answers


class Recorder:
    """Records calls by the function and the shapes of its arguments; see the module."""

    def __init__(self) -> None:
        self._calls: dict[Any, Any] = {}
        self._pool: Any = None
        self._kept = 0

    def __call__(self, function: Callable[..., Any], *arguments: Any, key: Any = None) -> Any:
        """Call a function of tensors on a CUDA device, which gives a tensor or a tuple of them.

        Parameters
        ----------
        function : callable
            Depends on nothing but its arguments and what ``key`` stands for.
        arguments : tensors
        key : hashable, optional
            What the call is known by beside shapes and dtypes; default the function, see `name_of`.
        """
        known = (name_of(function) if key is None else key, *((tuple(a.shape), a.dtype) for a in arguments))
        call = self._calls.get(known, 0)
        if isinstance(call, _Recording):
            return call.replay(arguments)
        if call is None:
            return function(*arguments)
        if call < WARM or self._kept >= MOST:  # a call that was only seen costs nothing and takes no place
            self._calls[known] = min(call + 1, WARM)
            return function(*arguments)
        self._calls[known] = made = self._record(function, arguments)
        if made is None:
            return function(*arguments)
        self._kept += 1
        return made.replay(arguments)

    def forget(self) -> None:
        """Drop all recordings: what they read or write has moved."""
        self._calls.clear()
        self._kept = 0
        self._pool = None  # an empty pool cannot be used again

    def _record(self, function: Callable[..., Any], arguments: tuple[Any, ...]) -> _Recording | None:
        import torch

        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        held = [a.clone() for a in arguments]
        torch.cuda.synchronize()
        try:
            torch.cuda.set_sync_debug_mode("error")  # a call that waits says so here, where that does no harm
            function(*held)
        except RuntimeError:
            return None
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            answer = function(*held)
        return _Recording(graph, held, answer)


class _Recording:
    """A recorded call with the places of its arguments and answers."""

    def __init__(self, graph: Any, held: list[Any], answer: Any) -> None:
        self._graph, self._held, self._answer = graph, held, answer

    def replay(self, arguments: tuple[Any, ...]) -> Any:
        """Answers to other arguments of the same shapes, in memory of their own."""
        for place, given in zip(self._held, arguments, strict=True):
            place.copy_(given)
        self._graph.replay()
        if isinstance(self._answer, tuple):
            return tuple(part.clone() for part in self._answer)
        return self._answer.clone()


def name_of(function: Any) -> Any:
    """What a function is known by: a method by its object and name, a partial by the parts it is made of.

    Examples
    --------
    >>> name_of(max) == name_of(max), name_of(max) == name_of(min)
    (True, False)
    """
    if isinstance(function, functools.partial):
        return (name_of(function.func), *map(name_of, function.args), *sorted(function.keywords.items()))
    owner = getattr(function, "__self__", None)
    named = getattr(function, "__name__", None)
    if owner is None or named is None or isinstance(owner, type(functools)):
        return function
    return id(owner), named
