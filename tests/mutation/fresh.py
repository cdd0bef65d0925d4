"""The slow way: the doctests and tests of one mutant in a process that imports it."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.mutation import server
from tests.mutation.change import ROOT, Mutant, compiled_modules, mutated
from tests.mutation.reach import importers
from tests.mutation.server import BROKEN, KILLED, PATIENCE, TIMEOUT

FATES = server.FATES | {2: KILLED}  # a test file can no longer be read
SPARE = 60  # seconds of a core beyond four times those that the tests take by themselves: imports, compilation


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant where its module is imported."""

    def __init__(self, mutant: Mutant) -> None:
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Only that module."""
        return importlib.util.spec_from_loader(name, self, origin=str(ROOT / (name.replace(".", "/") + ".py"))) \
            if name == self.mutant.module else None

    def exec_module(self, module: Any) -> None:
        """Run the changed code under the name and file of the module."""
        module.__file__ = module.__spec__.origin
        exec(mutated(self.mutant), module.__dict__)


class Order:
    """A plugin of pytest that keeps the tests of a list, in its order."""

    def __init__(self, names: list[str]) -> None:
        self.place = {name: place for place, name in enumerate(names)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Drop the others."""
        items[:] = sorted((item for item in items if item.nodeid in self.place),
                          key=lambda item: self.place[item.nodeid])


def judge_afresh(mutant: Mutant, names: list[str], seconds: float, log: Path) -> str:
    """Run the tests of a mutant, ``seconds`` long in all, in a process of its own; what became of it."""
    limit = int(4 * seconds) + SPARE
    with log.open("w") as out:
        process = subprocess.Popen([sys.executable, "-m", "tests.mutation.fresh"], cwd=ROOT, stdin=subprocess.PIPE,
                                   stdout=out, stderr=out, text=True, start_new_session=True)
        try:
            process.communicate(json.dumps([mutant, names, limit]), timeout=PATIENCE * limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return TIMEOUT
    return FATES.get(process.returncode, BROKEN)


def _tested(mutant: Mutant, names: list[str]) -> int:
    import doctest

    import numpy as np

    sys.meta_path.insert(0, Finder(mutant))
    if mutant.module in compiled_modules():
        _compile_again(mutant.module)
    try:
        module = importlib.import_module(mutant.module)
        if doctest.testmod(module, extraglobs={"np": np, "ot": importlib.import_module("otspec")},
                           optionflags=doctest.NORMALIZE_WHITESPACE).failed:
            return 1
    except BaseException as error:  # a mutant may fail in any way
        print("import or doctest:", type(error).__name__, error)
        return 1
    files = list(dict.fromkeys(name.split("::")[0] for name in names))
    # the mirror alone first: most mutants need no more, and reading the other files takes longer than its tests
    for part in (files[:1], files[1:]):
        if part:
            chosen = [name for name in names if name.split("::")[0] in part]
            status = int(pytest.main([*part, "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header",
                                      "--tb=line"], plugins=[Order(chosen)]))
            if status:
                return status
    return 0


def _compile_again(module: str) -> None:
    """The compiled code of a module and of those that call it is not taken from, or put into, numba's cache.

    The cache does not see a changed constant.
    """
    from numba.core.dispatcher import Dispatcher

    enable = Dispatcher.enable_caching
    again = importers(module, compiled_modules())

    def enable_caching(self: Any) -> None:
        if self.py_func.__module__ not in again:
            enable(self)

    Dispatcher.enable_caching = enable_caching


if __name__ == "__main__":
    asked, wanted, limit = json.loads(sys.stdin.read())
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    sys.exit(_tested(Mutant(*asked), wanted))
