"""The quick way: all tests are collected once, and each mutant is a fork whose function has other code.

What is evaluated when a module is read (constants, defaults, decorators) cannot be changed afterwards; those mutants
are judged in a process of their own, see `tests.mutation.fresh`. Compiled functions are compiled again, with all that
call them; numba's cache is left out, since it does not see a changed constant.
"""

from __future__ import annotations

import contextlib
import doctest
import gc
import hashlib
import inspect
import json
import os
import resource
import signal
import sys
import time
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

from tests.mutation.change import ROOT, Mutant, compiled_modules, mutated
from tests.mutation.reach import UNKNOWN, Calls, Recorder, importers

SURVIVED, KILLED, TIMEOUT, BROKEN = "survived", "killed", "timeout", "broken"
# by exit status; any other says that the run itself broke, and counts for nothing
FATES = {0: SURVIVED, 1: KILLED, -signal.SIGXCPU: TIMEOUT, -signal.SIGSEGV: KILLED, -signal.SIGBUS: KILLED,
         -signal.SIGABRT: KILLED}  # compiled code that writes where it must not ends its process
SPARE = 20  # seconds of a core beyond four times those that the tests take by themselves
PATIENCE = 50  # seconds on a busy machine for one of a core
MEMORY = 2**33  # bytes of address space; a mutant may ask for any array
Loop = Callable[["Server"], None]


class Server:
    """A plugin of pytest: what a run would do with the tests is done by ``loop``.

    Attributes
    ----------
    items : dict
        Collected tests by identity.
    """

    def __init__(self, recorder: Recorder, loop: Loop) -> None:
        self.recorder, self._loop = recorder, loop
        self.items: dict[str, Any] = {}
        self.failed: list[str] = []
        self.living: dict[tuple[str, str, int], list[Any]] = {}
        self.dispatchers: list[Any] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: Any) -> bool:
        """Instead of running the tests."""
        assert not session.testsfailed, "a test file cannot be collected"
        self.items = {item.nodeid: item for item in session.items}
        for one in gc.get_objects():  # asked for its type alone: some modules are loaded by whatever else is asked
            if type(one) is types.FunctionType and one.__code__.co_filename.startswith(str(ROOT / "otspec")):
                self.living.setdefault(_place(one.__code__), []).append(one)
            elif issubclass(type(one), Dispatcher):
                self.dispatchers.append(one)
        gc.freeze()  # forks share what is not written to
        self._loop(self)
        return True

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Note what fails."""
        if report.failed:
            self.failed.append(f"{report.nodeid}: {str(report.longrepr)[-300:]}")

    def reach(self, store: Path, record: bool) -> Calls:
        """What each test calls, from the file where that is known; if asked, of other test files by a run."""
        known = json.loads(store.read_text()) if store.exists() else {}
        files: dict[str, list[Any]] = {}
        for item in self.items.values():
            files.setdefault(item.nodeid.split("::")[0], []).append(item)
        for file, items in files.items():
            digest = hashlib.sha256((ROOT / file).read_bytes()).hexdigest()
            if known.get(file, {}).get("digest") == digest:
                continue
            if not record:
                unknown = {"seconds": UNKNOWN, "calls": None}
                known[file] = {"names": [], "tests": {item.nodeid: dict(unknown) for item in items}}
                continue
            out = store.with_suffix(".part")
            with _forked() as child:
                if child == 0:
                    self.recorder.run(items)
                    out.write_text(json.dumps(self.recorder.tests))
                    os._exit(0)
                os.waitpid(child, 0)
            tests = json.loads(out.read_text())
            names = sorted({call for one in tests.values() for call in one["calls"]})
            place = {name: number for number, name in enumerate(names)}
            for one in tests.values():
                one["calls"] = [place[call] for call in one["calls"]]
            known[file] = {"digest": digest, "names": names, "tests": tests}
            store.write_text(json.dumps(known))
            seconds = sum(one["seconds"] for one in tests.values())
            print(f"\n{len(tests)} tests of {file} in {seconds:.0f} s", flush=True)
        for file in files:
            for one in known[file]["tests"].values():
                one["calls"] = None if one["calls"] is None else [known[file]["names"][call] for call in one["calls"]]
        return {name: one for file in files for name, one in known[file]["tests"].items()}

    def judge(self, mutant: Mutant, names: list[str], seconds: float, log: Path, budget: float) -> str | None:
        """What becomes of a mutant; None where it cannot be judged in this process."""
        new = _outermost(mutated(mutant), mutant) if mutant.function else None
        if new is None or _place(new) not in self.living:
            return None
        with _forked() as child:
            if child == 0:
                limit = int(4 * seconds) + SPARE  # of a core: on a busy machine the clock says nothing
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
                os._exit(self._tested(mutant, new, [self.items[name] for name in names], log, budget))
            end = time.monotonic() + PATIENCE * (4 * seconds + SPARE)
            while time.monotonic() < end:
                done, status = os.waitpid(child, os.WNOHANG)
                if done:
                    code = os.waitstatus_to_exitcode(status)
                    return FATES.get(code, BROKEN)
                time.sleep(0.02)
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return TIMEOUT

    def _tested(self, mutant: Mutant, code: types.CodeType, items: list[Any], log: Path,
                budget: float) -> int:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        with log.open("w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            for function in self.living[_place(code)]:
                function.__code__ = code
            self._compile_again(mutant.module)
            module = sys.modules[mutant.module]
            if doctest.testmod(module, extraglobs={"np": np, "ot": sys.modules["otspec"]},
                               optionflags=doctest.NORMALIZE_WHITESPACE).failed:
                print("doctests", flush=True)
                return 1
            end = time.process_time() + 2 * budget
            for item, after in zip(items, [*items[1:], None], strict=True):
                if time.process_time() > end:
                    break
                item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
                if self.failed:
                    print(self.failed[0], flush=True)
                    return 1
        return 0

    def _compile_again(self, module: str) -> None:
        compiled = compiled_modules()
        again = importers(module, compiled) if module in compiled else set()
        for one in self.dispatchers:
            if one.py_func.__module__ in again:
                one._cache = NullCache()
                # compiled again when called: a caller compiled before what it calls would keep the old code
                one._make_finalizer()()
                one._reset_overloads()


@contextlib.contextmanager
def _forked() -> Iterator[int]:
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.setsid()
        try:
            yield 0
        except BaseException as error:  # a mutant may fail in any way; what leaves pytest's own net broke the run
            print(type(error).__name__, error, flush=True)
        os._exit(3)
    yield child


def _place(code: types.CodeType) -> tuple[str, str, int]:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def _outermost(code: types.CodeType, mutant: Mutant) -> types.CodeType | None:
    """Code of the outermost function around the change."""
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType) and one.co_firstlineno <= mutant.line
             and (mutant.function + ".").startswith(one.co_qualname + ".")]
    if not inner:
        return None
    last = max(inner, key=lambda one: one.co_firstlineno)
    return last if last.co_flags & inspect.CO_OPTIMIZED else _outermost(last, mutant)
