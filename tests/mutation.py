"""Mutation run over the rooms core, transport and verifiers, by hand: ``python -m tests.mutation --n 100 --seed 0``.

A mutant is a module of the package with one change: a comparison, an arithmetic or logical operator, a number, a
condition, ``minimum`` for ``maximum``. It is killed when the doctests of its module or one of the test files that
belong to it fail, in this order: the mirror of the module, the files that import it, the contracts of its room. The
score is the share of killed mutants among those of a random sample that were killed or survived; survivors are listed,
to be judged by hand, and those past the time limit are counted apart.

Every mutant runs in a fork of a process that has loaded the libraries, but no line of the package. Modules of compiled
scans get a cache of their own, since numba's does not see a changed constant.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import json
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "transport", "verifiers")
SEARCHED = ("core", "transport", "verifiers", "contracts", "oracles", "testing")
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
               ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
              ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
SWAPPED = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "any": "all", "all": "any",
           "zeros_like": "ones_like", "ones_like": "zeros_like"}
FATES = {0: "survived", 1: "killed"}  # by exit status; any other says that the run itself broke, and counts for nothing
TIMEOUT = "timeout"


class Mutant(NamedTuple):
    """One change: module, number of the node in walking order, which of its changes, and where it is."""

    module: str
    node: int
    change: int
    line: int
    text: str


def modules() -> Iterator[tuple[str, Path]]:
    """Modules of the rooms, without the files that only gather names."""
    for room in ROOMS:
        for path in sorted((ROOT / "otspec" / room).rglob("*.py")):
            if path.name != "__init__.py":
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def changed(node: ast.AST, change: int) -> bool:
    """Apply the change to the node in place; False where it has no such change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS and change == 0:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC and change == 0:
        node.op = ARITHMETIC[type(node.op)]()
    elif isinstance(node, ast.BoolOp) and change == 0:
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)) and change == 0:
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float) and change == 0:
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and change in (0, 1):
        node.test = ast.Constant(bool(change) and not isinstance(node, ast.While))
    elif isinstance(node, ast.Attribute) and node.attr in SWAPPED and change == 0:
        node.attr = SWAPPED[node.attr]
    else:
        return False
    return True


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that may be changed: no annotations, texts, decorators or raised messages."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list") or isinstance(tree, (ast.Raise, ast.JoinedStr)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from nodes(child)


def mutants() -> list[Mutant]:
    """Every mutant of the rooms."""
    found = []
    for module, path in modules():
        source = path.read_text(encoding="utf-8")
        for number, node in enumerate(nodes(ast.parse(source))):
            for change in (0, 1):
                other = copy.deepcopy(node)
                if changed(other, change):
                    before, after = (ast.unparse(_head(one)) for one in (node, other))
                    found.append(Mutant(module, number, change, node.lineno, f"{before}  ->  {after}"))
    return found


def _head(node: ast.AST) -> ast.AST:
    return node.test if isinstance(node, (ast.If, ast.While)) else node


def mutated(mutant: Mutant) -> Any:
    """Code of the module with the change."""
    path = ROOT / (mutant.module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text(encoding="utf-8"))
    node = next(one for number, one in enumerate(nodes(tree)) if number == mutant.node)
    changed(node, mutant.change)
    return compile(ast.fix_missing_locations(tree), str(path), "exec")


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


def test_files(module: str) -> list[str]:
    """Test files of a module, those that are likeliest to kill first."""
    room, *way, stem = module.split(".")[1:]
    names = {f"test_{stem}.py", f"test_{'_'.join((*way, stem))}.py"}
    files = sorted(path for folder in SEARCHED for path in (ROOT / "tests" / folder).rglob("test_*.py"))
    mirror = [path for path in files if path.name in names]
    package, _, last = module.rpartition(".")
    imports = re.compile(rf"{re.escape(module)}\b|from {re.escape(package)} import [^\n]*\b{last}\b")
    importing = [path for path in files if imports.search(path.read_text(encoding="utf-8"))]
    kinds = way if room == "verifiers" else []
    contracts = [path for path in files if path.parent.name == "contracts"
                 and any(path.name == f"test_{kind}_verifiers.py" for kind in kinds)]
    family = [path for path in files if path.parts[len(ROOT.parts) + 1] == room
              and (room == "core" or path.name.startswith(tuple(f"test_{kind}" for kind in way))
                   or (room == "transport" and (path.parent.name in way or path.parent.name == room)))]
    return [str(path.relative_to(ROOT)) for path in dict.fromkeys([*mirror, *importing, *contracts, *family])]


def judge(mutant: Mutant, limit: float, log: Path) -> str:
    """Run the tests of a mutant in a fork; what became of it."""
    child = os.fork()
    if child == 0:
        os.setsid()
        os._exit(_tested(mutant, log))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return FATES.get(os.waitstatus_to_exitcode(status), "broken")
        time.sleep(0.1)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TIMEOUT


def _tested(mutant: Mutant, log: Path) -> int:
    import doctest

    import numpy as np
    import pytest

    with log.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
        sys.meta_path.insert(0, Finder(mutant))
        if "njit" in (ROOT / (mutant.module.replace(".", "/") + ".py")).read_text(encoding="utf-8"):
            os.environ["NUMBA_CACHE_DIR"] = tempfile.mkdtemp(prefix="otspec-mutant-")
            import numba

            numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]
        try:
            module = importlib.import_module(mutant.module)
            failed = doctest.testmod(module, extraglobs={"np": np, "ot": importlib.import_module("otspec")},
                                     optionflags=doctest.NORMALIZE_WHITESPACE).failed
        except BaseException as error:  # a mutant may fail in any way
            print("import or doctest:", type(error).__name__, error)
            return 1
        if failed:
            return 1
        return int(pytest.main([*test_files(mutant.module), "-x", "-q", "-n", "0", "-p", "no:cacheprovider",
                                "--no-header", "--tb=line"]))


def main() -> int:
    """Judge a random sample and print the score."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="mutants to judge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=300, help="seconds for one mutant")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many seconds")
    parser.add_argument("--out", help="file of JSON lines; what is in it is not judged again")
    parser.add_argument("--only", default="", help="only modules whose name contains this")
    given = parser.parse_args()
    for library in ("numpy", "scipy.optimize", "scipy.stats", "torch", "numba", "array_api_strict",
                    "array_api_compat", "pytest", "highspy", "cvxpy"):
        importlib.import_module(library)
    every = [mutant for mutant in mutants() if given.only in mutant.module]
    sample = random.Random(given.seed).sample(every, min(given.n, len(every)))
    out = Path(given.out) if given.out else Path(tempfile.mkdtemp()) / "mutants.jsonl"
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(row["module"], row["node"], row["change"]): row["fate"] for row in known}
    begun, log = time.monotonic(), Path(tempfile.mkdtemp()) / "log.txt"
    print(f"{len(every)} mutants in {len({one.module for one in every})} modules, {len(sample)} sampled, "
          f"seed {given.seed}", flush=True)
    for mutant in sample:
        if mutant[:3] in done or time.monotonic() - begun > given.seconds:
            continue
        fate = judge(mutant, given.limit, log)
        done[mutant[:3]] = fate
        said = log.read_text(errors="replace").strip().splitlines()[-3:]
        with out.open("a") as lines:
            lines.write(json.dumps({**mutant._asdict(), "fate": fate, "said": said}) + "\n")
        print(f"{len(done):4d} {time.monotonic() - begun:6.0f} s  {fate:8s} {mutant.module}:{mutant.line}  "
              f"{mutant.text}", flush=True)
    fates = [done[mutant[:3]] for mutant in sample if mutant[:3] in done]
    killed, survived = fates.count("killed"), fates.count("survived")
    score = killed / max(1, killed + survived)
    stderr = math.sqrt(score * (1 - score) / max(1, killed + survived))
    print(f"score {100 * score:.1f} % (standard error {100 * stderr:.1f}): {killed} killed, {survived} survived, "
          f"{fates.count(TIMEOUT)} past the time limit, {fates.count('broken')} broken; {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
