"""Hand units to an executor, keep what comes back, try again where a worker died."""

from __future__ import annotations

import contextlib
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from itertools import islice
from typing import Any

from otspec.core.checks import whole
from otspec.core.errors import BadArgument, OtspecError, WorkFailed

POLL = 0.5  # seconds between two looks at jobs that do not call
AHEAD = 32  # units in the hands of an executor, where results are wanted in order and wait for each other in memory
Keep = Callable[[Any, Any], None]


def drive(executor: Executor, units: Iterable[Any], submitted: Callable[[Any, int], tuple[Any, ...]], keep: Keep,
          retries: int, resume: str) -> None:
    """Do all units; one that fails does not keep the others from being done, its error is raised when they are.

    Where this ends early, finished units are kept and the others are called off.

    Parameters
    ----------
    executor : concurrent.futures.Executor
    units : iterable
    submitted : callable
        ``submitted(unit, attempt)`` gives the function and its arguments.
    keep : callable
        ``keep(unit, result)``, called in this thread.
    retries : int
        How often a unit is tried again after anything but an error of otspec's own, which would only come again.
    resume : str
        What to do about it, for the message.

    Raises
    ------
    WorkFailed
        A unit failed once too often, or the executor takes no more work.
    OtspecError
        What a unit was refused for.
    """
    run = _Drive(executor, submitted, keep, retries, resume)
    try:
        for unit in units:
            run.submit(unit, 0)
        while run.open:
            run.take(run.next())
    finally:
        run.close()
    raise_first(run.failed, resume)


def ordered(executor: Executor, units: Iterable[Any], submitted: Callable[[Any, int], tuple[Any, ...]], retries: int,
            resume: str) -> Iterator[Any]:
    """Yield the results of units in their order; some are done ahead. Arguments and errors are those of `drive`."""
    results: dict[Any, Any] = {}
    run = _Drive(executor, submitted, results.__setitem__, retries, resume)
    waiting, order = iter(units), deque[Any]()
    try:
        while True:
            for unit in islice(waiting, AHEAD - len(order)):
                run.submit(unit, 0)
                order.append(unit)
            if not order:
                return
            while order[0] not in results:
                run.take(run.next())
                raise_first(run.failed, resume)
            yield results.pop(order.popleft())
    finally:
        run.close()


def check_retries(retries: Any) -> int:
    """Return how often a unit is tried again.

    Raises
    ------
    BadArgument
    """
    number = whole(retries)
    if number is None or number < 0:
        raise BadArgument(f"retries: {retries!r} is no whole number of at least 0. Fix: retries=2.")
    return number


def raise_first(failed: list[tuple[Any, OtspecError]], resume: str) -> None:
    """Raise the first error, if there is one, with a note on the others."""
    if failed:
        unit, error = failed[0]
        error.add_note(f"This is {unit}, {len(failed)} in all failed. {resume}")
        raise error


class _Drive:
    def __init__(self, executor: Executor, submitted: Any, keep: Keep, retries: int, resume: str) -> None:
        self._executor, self._submitted, self._keep = executor, submitted, keep
        self._retries, self._resume = retries, resume
        self.open: dict[Future[Any], tuple[Any, int]] = {}
        self._asked: list[Any] = []
        self.failed: list[tuple[Any, OtspecError]] = []
        self.ready: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()

    def submit(self, unit: Any, attempt: int) -> None:
        try:
            future = self._executor.submit(*self._submitted(unit, attempt))
        except RuntimeError as error:  # broken or shut down
            raise WorkFailed(f"executor: it takes no more work ({type(error).__name__}: {error}). "
                             f"{self._resume}") from error
        self.open[future] = unit, attempt
        if hasattr(future, "add_done_callback"):
            future.add_done_callback(self.ready.put)
        else:
            self._asked.append(future)

    def next(self) -> Any:
        """Wait for a future that is done; the jobs of batch systems do not call, so they are asked."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self.ready.get(timeout=POLL if self._asked else None)
            for future in [future for future in self._asked if future.done()]:
                self._asked.remove(future)
                self.ready.put(future)

    def take(self, future: Future[Any]) -> None:
        """Keep a result, or try the unit again."""
        unit, attempt = self.open.pop(future)
        try:
            result = future.result()
        except OtspecError as error:
            self.failed.append((unit, error))
        except BrokenExecutor as error:
            raise WorkFailed(f"executor: its workers died ({type(error).__name__}: {error}). {self._resume}") from error
        except (Exception, CancelledError) as error:
            if attempt < self._retries:
                self.submit(unit, attempt + 1)
                return
            lost = WorkFailed(f"executor: {unit} failed {attempt + 1} times, at last by {type(error).__name__}: "
                              f"{error}. {self._resume}")
            lost.__cause__ = error
            self.failed.append((unit, lost))
        else:
            self._keep(unit, result)

    def close(self) -> None:
        """Call off what has not begun, and keep what has been finished meanwhile."""
        for future in self.open:
            future.cancel()
        finished = []
        for future, (unit, _) in self.open.items():
            with contextlib.suppress(Exception, CancelledError):  # what failed or was called off is not done
                if future.done():
                    finished.append((unit, future.result()))
        for unit, result in finished:
            self._keep(unit, result)
        self.open.clear()
