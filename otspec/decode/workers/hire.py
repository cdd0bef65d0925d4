"""Let workers call a function of a pair, and take its results in order."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from otspec.decode.workers.drive import check_retries, ordered
from otspec.decode.workers.models import Recipe, check_same, known_of, models_for

RESUME = "Fix: run the same call again; what was written is kept."
Hired = Callable[[Iterable[tuple[Any, ...]]], Iterator[Any]]


def hired(pair: Any, executor: Any, retries: int, function: Callable[..., Any], threads: int | None = None) -> Hired:
    """Return a function that maps ``function(pair, *arguments)`` over arguments, on an executor or here.

    Parameters
    ----------
    pair : Pair
    executor : concurrent.futures.Executor or None
    retries : int
        As in `otspec.decode.workers.drive.drive`.
    function : callable
        Of a module, so that workers find it by its name.
    threads : int, optional
        CPU threads of torch in every worker; as many as here unless given.

    Raises
    ------
    BadArgument
    """
    _, recipe = models_for(pair, executor)
    check_retries(retries)
    if executor is None:
        return lambda units: (function(pair, *arguments) for arguments in units)
    import torch

    known, count, ticket = known_of(pair), threads or torch.get_num_threads(), uuid.uuid4().hex

    def results(units: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        # a batch is named by its number, since what it is made of may be large and need not be hashable
        arguments: dict[int, tuple[Any, ...]] = {}

        def numbered() -> Iterator[int]:
            for number, unit in enumerate(units):
                arguments[number] = unit
                yield number

        def submitted(number: int, attempt: int) -> tuple[Any, ...]:
            if recipe is None:
                return limited, function, pair, count, *arguments[number]
            return call, function, recipe, known, count, f"{ticket}-{number}-{attempt}", *arguments[number]

        for number, result in enumerate(ordered(executor, numbered(), submitted, retries, RESUME)):
            del arguments[number]
            yield result

    return results


def call(function: Callable[..., Any], recipe: Recipe, known: dict[str, Any], threads: int, ticket: str,
         *arguments: Any) -> Any:
    """Call a function with the pair of a recipe, in a worker; every attempt has a ticket of its own."""
    pair = recipe.load()
    check_same(pair, known)
    return limited(function, pair, threads, *arguments)


def limited(function: Callable[..., Any], pair: Any, threads: int, *arguments: Any) -> Any:
    """Call a function of a pair with so many CPU threads."""
    with thread_limit(threads):
        return function(pair, *arguments)


@contextlib.contextmanager
def thread_limit(count: int) -> Iterator[None]:
    """Let torch use so many CPU threads inside the block.

    torch keeps the number for every thread that has used it, so the thread that computes must set its own.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
