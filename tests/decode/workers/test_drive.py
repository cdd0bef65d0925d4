"""Executors that fail, break, or do not call back."""

import os
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

from otspec.core.errors import BadArgument, WorkFailed
from otspec.decode.workers import drive as module
from otspec.decode.workers.drive import drive


def run(executor, function, units=range(6), retries=2):
    kept, attempts = {}, []

    def submitted(unit, attempt):
        attempts.append((unit, attempt))
        return function, unit, attempt

    def keep(unit, result):
        assert unit not in kept
        kept[unit] = result

    try:
        drive(executor, units, submitted, keep, retries, "Go on.")
    except BaseException as error:
        return kept, attempts, error
    return kept, attempts, None


def square(unit, attempt):
    return unit**2


def test_everything_is_kept_once():
    with ThreadPoolExecutor(3) as pool:
        kept, attempts, error = run(pool, square)
    assert error is None
    assert kept == {unit: unit**2 for unit in range(6)}
    assert len(attempts) == 6


def test_a_failed_unit_is_tried_again():
    def twice(unit, attempt):
        if unit == 3 and attempt < 2:
            raise ConnectionError("lost")
        return attempt

    with ThreadPoolExecutor(2) as pool:
        kept, attempts, error = run(pool, twice)
    assert error is None
    assert kept == {0: 0, 1: 0, 2: 0, 3: 2, 4: 0, 5: 0}
    assert [a for u, a in attempts if u == 3] == [0, 1, 2]


def test_but_not_for_ever():
    def never(unit, attempt):
        if unit == 1:
            raise ConnectionError("lost")
        return attempt

    with ThreadPoolExecutor(1) as pool:
        kept, _, error = run(pool, never, retries=1)
    assert isinstance(error, WorkFailed)
    assert "1 failed 2 times, at last by ConnectionError: lost. Go on." in str(error)
    assert isinstance(error.__cause__, ConnectionError)
    assert set(kept) == {0, 2, 3, 4, 5}


def test_an_error_of_the_request_is_not_tried_again():
    def refuse(unit, attempt):
        if unit in (1, 4):
            raise BadArgument(f"{unit}: bad.")
        return unit

    with ThreadPoolExecutor(1) as pool:
        kept, attempts, error = run(pool, refuse)
    assert isinstance(error, BadArgument)
    assert str(error) == "1: bad."
    assert error.__notes__ == ["This is 1, 2 in all failed. Go on."]
    assert {attempt for _, attempt in attempts} == {0}
    assert set(kept) == {0, 2, 3, 5}


def test_what_is_finished_meanwhile_is_kept():
    started = threading.Event()

    def work(unit, attempt):
        if unit == 0:
            started.wait(10)
            raise BrokenExecutor("bad.")
        return unit

    class Late(ThreadPoolExecutor):
        """The first unit fails when all others are done."""

        def submit(self, function, unit, attempt):
            future = super().submit(function, unit, attempt)
            if unit == 5:
                future.add_done_callback(lambda _: started.set())
            return future

    with Late(2) as pool:
        kept, _, error = run(pool, work)
    assert isinstance(error, WorkFailed)
    assert kept == {unit: unit for unit in range(1, 6)}


def die(unit, attempt):
    if unit == 2:
        os._exit(1)
    return unit


def test_a_broken_pool_says_how_to_go_on():
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        kept, _, error = run(pool, die)
    assert isinstance(error, WorkFailed)
    assert "its workers died (BrokenProcessPool" in str(error)
    assert str(error).endswith("Go on.")
    assert 2 not in kept


def test_a_pool_that_was_shut_down():
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    kept, _, error = run(pool, square)
    assert isinstance(error, WorkFailed)
    assert "takes no more work" in str(error)
    assert kept == {}


class Cancelling(Executor):
    """Takes back what it was given the first time, as a cluster does that loses its scheduler."""

    def submit(self, function, unit, attempt):
        future = Future()
        if attempt == 0:
            future.cancel()
            future.set_running_or_notify_cancel()
        else:
            future.set_result(function(unit, attempt))
        return future


def test_cancelled_work_is_tried_again():
    kept, attempts, error = run(Cancelling(), square)
    assert error is None
    assert len(kept) == 6
    assert len(attempts) == 12


class Job:
    """A batch system's job: it can be asked, and does not call."""

    def __init__(self, answer):
        self._answer, self._asked = answer, 0

    def done(self):
        self._asked += 1
        return self._asked > 2

    def result(self):
        return self._answer

    def cancel(self):
        pass


class Batch:
    def submit(self, function, unit, attempt):
        return Job(function(unit, attempt))


def test_jobs_are_asked(monkeypatch):
    monkeypatch.setattr(module, "POLL", 0.001)
    kept, _, error = run(Batch(), square)
    assert error is None
    assert kept == {unit: unit**2 for unit in range(6)}
