"""Where the time and the memory of a decoding run go."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

PARTS = ("draft", "target", "rule", "prediction")
PENDING = 64  # events kept before those that have happened are read


class Stopwatch:
    """Time of the parts of a run, and its peak of memory, from the moment the watch is made.

    On a CUDA device a part is the time between two events of its stream. They are read rounds later, when they have
    happened anyway, so that nobody waits for the device on their account. Its count of the most memory begins anew.

    Parameters
    ----------
    device : str or torch.device
    clock : callable
        Seconds of the host, which count where the device is the host itself: wall time, or ``time.process_time`` on a
        machine that has other work to do.

    Examples
    --------
    >>> watch = Stopwatch("cpu")
    >>> with watch("draft"):
    ...     pass
    >>> list(watch.split())
    ['draft', 'target', 'rule', 'prediction', 'bookkeeping']
    """

    def __init__(self, device: Any, clock: Callable[[], float] = time.perf_counter) -> None:
        import torch

        self._device, self._clock = torch.device(device), clock
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._pending: deque[tuple[str, Any, Any]] = deque()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        self._begun = clock()

    @contextlib.contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Add the time of the block to a part."""
        begin = self._now()
        yield
        self._pending.append((part, begin, self._now()))
        if len(self._pending) >= PENDING or self._device.type != "cuda":
            self._settle(wait=False)

    def split(self) -> dict[str, float]:
        """Seconds of every part since the beginning; bookkeeping is what belongs to none, so that they add up."""
        self._settle(wait=True)
        total = self._clock() - self._begun
        return {**self._seconds, "bookkeeping": max(0.0, total - sum(self._seconds.values()))}

    def peak_bytes(self) -> int | None:
        """Most memory in use: of the device since the beginning; on a CPU, of the process since it began."""
        import torch

        if self._device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self._device))
        try:
            import resource
        except ImportError:  # no such count on this system
            return None
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak) if sys.platform == "darwin" else int(peak) * 1024

    def _now(self) -> Any:
        if self._device.type != "cuda":
            return self._clock()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record(torch.cuda.current_stream(self._device))
        return event

    def _settle(self, *, wait: bool) -> None:
        """Add up the parts that are over; ``wait``: all of them."""
        while self._pending:
            part, begin, end = self._pending[0]
            if self._device.type != "cuda":
                self._seconds[part] += end - begin
            elif wait or end.query():
                end.synchronize()
                self._seconds[part] += begin.elapsed_time(end) / 1000
            else:
                return
            self._pending.popleft()
