"""Work in threads: NumPy, compiled scans and models release the interpreter's lock, so threads are enough."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any


def workers() -> int:
    """Threads to use: one per core, or as many as ``OMP_NUM_THREADS`` says."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, int(asked)) if asked.isdecimal() and int(asked) > 0 else cores


def in_threads(function: Callable[[Any], Any], items: Iterable[Any], count: int | None = None) -> Iterator[Any]:
    """Results of ``function`` in order; after an error or an interrupt nothing new is started.

    Examples
    --------
    >>> list(in_threads(abs, [-1, -2]))
    [1, 2]
    """
    pool = ThreadPoolExecutor(workers() if count is None else count)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
