"""The fate of one mutant: its doctests and its tests, in a fork that has loaded the libraries but not the package."""

from __future__ import annotations

import importlib.abc
import importlib.util
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.change import ROOT, Mutant, modules, mutated, source
from tests.mutation.reach import _importers

# by exit status; any other says that the run itself broke, and counts for nothing
FATES = {0: "survived", 1: "killed", 2: "killed"}  # 2: a test file can no longer be read
TIMEOUT = "timeout"
SPARE = 45.0  # seconds beyond those that the tests take by themselves


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


def judge(mutant: Mutant, names: list[str], seconds: float, log: Path) -> str:
    """Run the tests of a mutant in a fork, each ``seconds`` long in all; what became of it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(_tested(mutant, names, log))
    end = time.monotonic() + 4 * seconds + SPARE
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return FATES.get(os.waitstatus_to_exitcode(status), "broken")
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMEOUT


def _tested(mutant: Mutant, names: list[str], log: Path) -> int:
    import doctest

    import numpy as np

    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.meta_path.insert(0, Finder(mutant))
        if "njit" in source(mutant.module):
            _compile_again(mutant.module)
        try:
            module = importlib.import_module(mutant.module)
            failed = doctest.testmod(module, extraglobs={"np": np, "ot": importlib.import_module("otspec")},
                                     optionflags=doctest.NORMALIZE_WHITESPACE).failed
        except BaseException as error:  # a mutant may fail in any way
            print("import or doctest:", type(error).__name__, error)
            return 1
        if failed:
            return 1
        files = list(dict.fromkeys(name.split("::")[0] for name in names))
        return int(pytest.main([*files, "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header", "--tb=line"],
                               plugins=[Order(names)]))


def _compile_again(module: str) -> None:
    """The compiled code of a module and of those that call it is not taken from, or put into, numba's cache.

    The cache does not see a changed constant.
    """
    from numba.core.dispatcher import Dispatcher

    enable = Dispatcher.enable_caching
    again = _importers(module, {name for name, _ in modules() if "njit" in source(name)})

    def enable_caching(self: Any) -> None:
        if self.py_func.__module__ not in again:
            enable(self)

    Dispatcher.enable_caching = enable_caching
