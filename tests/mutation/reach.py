"""Which tests call which function: a run of the tests that notes every call of Python code of the package.

Compiled functions are not seen; they belong to whoever calls the modules that import them. What is called while a test
file is collected, or by a fixture that several tests share, belongs to all tests of that file.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.change import ROOT, Mutant, modules, source

SEARCHED = ("core", "transport", "verifiers", "contracts", "oracles", "testing")
QUICK = 12  # tests of a file, the quickest, that come before the other tests of any file


class Recorder:
    """A plugin of pytest that notes the calls of each test.

    Attributes
    ----------
    tests : dict
        Identity of a test to its seconds and the functions (module:name) it calls.
    shared : dict
        File to the functions called for all of its tests.
    """

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.shared: dict[str, set[str]] = {}
        self._seen: set[Any] = set()

    def _trace(self, frame: Any, event: str, argument: Any) -> None:
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
        yield from self._shared(str(collector.nodeid).split("::")[0])

    @pytest.hookimpl(hookwrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Iterator[None]:
        """What is called by a fixture of several tests."""
        if fixturedef.scope == "function":
            yield
        else:
            yield from self._shared(request.node.nodeid.split("::")[0])

    def _shared(self, file: str) -> Iterator[None]:
        outer, self._seen = self._seen, set()
        before = sys.gettrace()
        sys.settrace(self._trace)
        yield
        sys.settrace(before)
        self.shared.setdefault(file, set()).update(self._watched())
        self._seen |= outer

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """What is called by a test."""
        self._seen, start = set(), time.process_time()
        sys.settrace(self._trace)
        yield
        sys.settrace(None)
        self.tests[item.nodeid] = {"seconds": time.process_time() - start, "calls": sorted(self._watched())}


def test_paths() -> list[Path]:
    """Test files that are searched."""
    return sorted(path for folder in SEARCHED for path in (ROOT / "tests" / folder).rglob("test_*.py"))


def reach(store: Path) -> dict[str, Any]:
    """What each test calls, from the file where that is known; test files that are new or changed are run."""
    known = json.loads(store.read_text()) if store.exists() else {"files": {}, "tests": {}}
    now = {str(path.relative_to(ROOT)): hashlib.sha256(path.read_bytes()).hexdigest() for path in test_paths()}
    for file in [file for file in now if known["files"].get(file) != now[file]]:
        read, write = os.pipe()
        child = os.fork()
        if child == 0:  # in a fork, since the package must not be loaded in the process that mutants are forked from
            os.close(read)
            try:
                _record(file, write)
            finally:
                os._exit(1)
        os.close(write)
        with os.fdopen(read) as lines:
            text = lines.read()
        os.waitpid(child, 0)
        if not text:
            raise RuntimeError(f"{file}: its run under the recorder broke off")
        found = json.loads(text)
        known["tests"] = {name: one for name, one in known["tests"].items() if name.split("::")[0] != file} | found
        known["files"][file] = now[file]
        store.write_text(json.dumps(known))
        print(f"{len(found):5d} tests of {file} in {sum(one['seconds'] for one in found.values()):.0f} s", flush=True)
    known["tests"] = {name: one for name, one in known["tests"].items() if name.split("::")[0] in now}
    return known["tests"]


def _record(file: str, write: int) -> None:
    uncached = functools.lru_cache

    def lru_cache(maxsize: Any = 128, typed: bool = False) -> Any:
        """A cache hides the calls that it saves; the package's own are left out."""
        made = uncached(maxsize, typed)
        return lambda function: function if function.__module__.startswith("otspec.") else made(function)

    out = os.open(os.devnull, os.O_WRONLY)
    os.dup2(out, 1)
    functools.lru_cache = lru_cache  # type: ignore[assignment]
    recorder = Recorder()
    pytest.main([file, "-q", "-n", "0", "-p", "no:cacheprovider", "--no-header"], plugins=[recorder])
    for name, one in recorder.tests.items():
        one["calls"] = sorted({*one["calls"], *recorder.shared.get(name.split("::")[0], ())})
    with os.fdopen(write, "w") as lines:
        lines.write(json.dumps(recorder.tests))
    os._exit(0)


def callers(mutant: Mutant, tests: dict[str, dict[str, Any]]) -> set[str]:
    """Tests that call the function of a mutant; of a whole class or module, and of compiled code, those around it."""
    compiled = {module for module, _ in modules() if "njit" in source(module)}
    names, function = {mutant.module}, mutant.function
    if mutant.module in compiled:  # nobody sees its calls: whoever calls a module that imports it
        names = _importers(mutant.module, compiled)
        function = ""
    found = {name for name, one in tests.items() if any(_within(call, names, function) for call in one["calls"])}
    return found or {name for name, one in tests.items() if any(_within(call, names, "") for call in one["calls"])}


def _within(call: str, names: set[str], function: str) -> bool:
    module, _, name = call.partition(":")
    return module in names and (not function or name == function or name.startswith(function + "."))


def _importers(module: str, compiled: set[str]) -> set[str]:
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


def plan(mutant: Mutant, tests: dict[str, dict[str, Any]], budget: float) -> list[str]:
    """Tests for a mutant in their order: its mirror, then the quickest of every file, then the rest; capped in time."""
    room, *way, stem = mutant.module.split(".")[1:]
    mirror = {f"test_{stem}.py", f"test_{'_'.join((*way, stem))}.py"}
    files: dict[str, list[str]] = {}
    for name in sorted(callers(mutant, tests), key=lambda one: tests[one]["seconds"]):
        files.setdefault(name.split("::")[0], []).append(name)
    order = sorted(files, key=lambda file: (Path(file).name not in mirror, f"/{room}/" not in file, len(files[file])))
    first = [name for file in order for name in files[file][:QUICK]]
    chosen, spent = [], 0.0
    for name in [*first, *(name for file in order for name in files[file][QUICK:])]:
        if spent + tests[name]["seconds"] <= budget or not chosen:
            chosen.append(name)
            spent += tests[name]["seconds"]
    return chosen
