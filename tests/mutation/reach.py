"""Which tests call which function: a run of the tests that notes every call of Python code of the package.

Compiled functions are not seen; they belong to whoever calls the modules that import them, and to the test files that
import their module. What is called while a test
file is collected, or by a fixture that several tests share, belongs to all tests of that file.
"""

from __future__ import annotations

import functools
import gc
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.change import ROOT, Mutant, compiled_modules, modules, source

SEARCHED = ("core", "transport", "verifiers", "contracts", "oracles", "testing", "couplings", "analysis")
ALONE = ("test_registration.py", "cli/test_places.py")  # what the rooms do elsewhere
OTHERS = {"test_couplings.py", "test_tree_policies.py"}  # contracts of other rooms
UNKNOWN = 0.01  # seconds that a test is taken to last until it has been recorded; the cap on the run is by the clock
QUICK = 12  # tests of a file, the quickest, that come before the other tests of any file
Calls = dict[str, dict[str, Any]]


class Recorder:
    """A plugin of pytest that notes the calls of each test.

    Attributes
    ----------
    tests : dict
        Identity of a test to its seconds and the functions (module:name) it calls.
    shared : dict
        File to the functions called for all of its tests.
    """

    def __init__(self, active: bool) -> None:
        self._active = active
        self.tests: Calls = {}
        self.shared: dict[str, set[str]] = {}
        self._seen: set[Any] = set()

    def trace(self, frame: Any, event: str, argument: Any) -> None:
        """Note a call."""
        self._seen.add(frame.f_code)

    def _watched(self) -> set[str]:
        names, root = set(), str(ROOT / "otspec") + os.sep
        for code in self._seen:
            if code.co_filename.startswith(root):
                module = code.co_filename[len(str(ROOT)) + 1:-3].replace(os.sep, ".")
                names.add(f"{module}:{code.co_qualname.split('.<')[0]}")
        return names

    @pytest.hookimpl(hookwrapper=True)
    def pytest_make_collect_report(self, collector: Any) -> Iterator[None]:
        """What is called when a file is read."""
        yield from self._together(str(collector.nodeid).split("::")[0])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What is called by a fixture of several tests."""
        if fixturedef.scope == "function" or not self._active:
            yield
        else:
            yield from self._together(request.node.nodeid.split("::")[0])

    def _together(self, file: str) -> Iterator[None]:
        if not self._active:
            yield
            return
        outer, self._seen = self._seen, set()
        before = sys.gettrace()
        sys.settrace(self.trace)
        yield
        sys.settrace(before)
        self.shared.setdefault(file, set()).update(self._watched())
        self._seen |= outer

    def run(self, items: list[Any]) -> None:
        """Run tests and note what they call; caches of the package, which hide calls, are emptied before each."""
        gc.unfreeze()
        cached = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper
                  and str(getattr(one, "__module__", "")).startswith("otspec.")]
        for item, after in zip(items, [*items[1:], None], strict=True):
            for one in cached:
                one.cache_clear()
            self._seen, start = set(), time.process_time()
            sys.settrace(self.trace)
            item.ihook.pytest_runtest_protocol(item=item, nextitem=after)
            sys.settrace(None)
            self.tests[item.nodeid] = {"seconds": time.process_time() - start, "calls": self._watched()}
        for name, one in self.tests.items():
            one["calls"] = sorted({*one["calls"], *self.shared.get(name.split("::")[0], ())})


def test_files() -> list[str]:
    """Test files that are searched."""
    tests = ROOT / "tests"
    found = sorted(path for folder in SEARCHED for path in (tests / folder).rglob("test_*.py"))
    found += [tests / name for name in ALONE]
    return [str(path.relative_to(ROOT)) for path in found if path.name not in OTHERS]


def callers(mutant: Mutant, tests: Calls) -> set[str]:
    """Tests that call the function of a mutant; of a whole class or module, and of compiled code, those around it."""
    compiled = compiled_modules()
    names, function = {mutant.module}, mutant.function
    if mutant.module in compiled:  # nobody sees its calls: whoever calls a module that imports it
        names, function = importers(mutant.module, compiled), ""
    near, named = set(neighbours(mutant.module)), set(neighbours(mutant.module, by_room=False))
    found = {name for name, one in tests.items() if (file := name.split("::")[0]) in near
             if one["calls"] is None or (not function and file in named)
             or any(_within(call, names, function) for call in one["calls"])}
    far = {name for name, one in tests.items() if one["calls"] is not None
           and any(_within(call, names, function) for call in one["calls"])}
    return found | far or {name for name, one in tests.items() if any(_within(call, names, "") for call
                                                                      in one["calls"] or ())}


def _mirror(module: str) -> set[str]:
    """Names that the test file of a module may have."""
    _, *way, stem = module.split(".")[1:]
    return {f"test_{stem}.py", f"test_{'_'.join((*way, stem))}.py"}


def neighbours(module: str, *, by_room: bool = True) -> list[str]:
    """Test files that belong to a module by name or import, or by their room: all known of files never recorded."""
    room, *way, _ = module.split(".")[1:]
    package, _, last = module.rpartition(".")
    imports = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{last}\b")
    names = _mirror(module)
    found = []
    for file in test_files():
        path = Path(file)
        kind = path.name.startswith(tuple(f"test_{part}" for part in way)) or path.parent.name in way
        in_room = (f"/{room}/" in file and (room == "core" or kind)) or (
            path.parent.name == "contracts" and room == "verifiers" and any(part in path.name for part in way))
        if path.name in names or imports.search((ROOT / file).read_text(encoding="utf-8")) or (by_room and in_room):
            found.append(file)
    return found


def _within(call: str, names: set[str], function: str) -> bool:
    module, _, name = call.partition(":")
    # a call is named by the outermost function
    return module in names and (not function or name == function or name.startswith(function + ".")
                                or function.startswith(name + "."))


def importers(module: str, compiled: set[str]) -> set[str]:
    """The module and those that import it, on and on while these are compiled themselves."""
    found, queue = {module}, [module]
    while queue:
        package, _, last = queue.pop().rpartition(".")
        line = re.compile(rf"{re.escape(package)}\.{last}\b|from {re.escape(package)} import [^\n]*\b{last}\b")
        for other, _ in modules():
            if other not in found and line.search(source(other)):
                found.add(other)
                if other in compiled:
                    queue.append(other)
    return found


def plan(mutant: Mutant, tests: Calls, budget: float) -> list[str]:
    """Tests for a mutant in their order, capped in time: of files that name its module, then the quickest of others."""
    room = mutant.module.split(".")[1]
    mirror, named = _mirror(mutant.module), set(neighbours(mutant.module, by_room=False))
    files: dict[str, list[str]] = {}
    for name in sorted(callers(mutant, tests), key=lambda one: tests[one]["seconds"]):
        files.setdefault(name.split("::")[0], []).append(name)
    order = sorted(files, key=lambda file: (Path(file).name not in mirror, file not in named, f"/{room}/" not in file,
                                            len(files[file])))
    chosen: dict[str, float] = {}

    def choose(names: Iterable[str], most: float) -> None:
        for name in names:
            if name not in chosen and (sum(chosen.values()) + tests[name]["seconds"] <= most or not chosen):
                chosen[name] = tests[name]["seconds"]

    choose((name for file in order if file in named for name in files[file]), budget / 2)
    choose((name for file in order for name in files[file][:QUICK]), budget)
    choose((name for file in order for name in files[file][QUICK:]), budget)
    return list(chosen)
