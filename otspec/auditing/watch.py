"""A clock over functions that may never come back."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE = 10.0  # seconds beyond those allowed in which a batch that was begun may end


class Hung(BaseException):
    """The time is up and the function has not come back; no ``except Exception`` of its own may catch it."""


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """Raise `Hung` in what is called here, once so many seconds have passed, and again every second.

    It needs the alarm signal of Unix and the main thread, and leaves an alarm that somebody else has set; elsewhere it
    does nothing. Code that is compiled is interrupted when it comes back to Python.

    Examples
    --------
    >>> try:
    ...     with watched(0.01):
    ...         while True:
    ...             pass
    ... except Hung:
    ...     print("stopped")
    stopped
    """
    free = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
    if not free or signal.getitimer(signal.ITIMER_REAL)[0] > 0:
        yield
        return

    def ring(*_: object) -> None:
        raise Hung

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
