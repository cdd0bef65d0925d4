"""Mutation run over the rooms core, transport and verifiers, by hand: ``python -m tests.mutation --n 100 --seed 0``.

A mutant is a module of the package with one change: a comparison, an arithmetic or logical operator, a number, a
condition, ``minimum`` for ``maximum``. It is killed when the doctests of its module or one of the tests that call its
function fail; the likeliest come first, and a run is capped in time, so that some that survive would be killed by the
whole suite. Those that no input can tell from the module are judged by hand and listed, with the reason, in
``equivalent.csv``. The score is the share of killed mutants among those of a random sample that were killed or
survived and are not equivalent; mutants past the time limit are counted apart.

Every mutant runs in a fork of a process that has loaded the libraries, but no line of the package.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.mutation.change import Mutant, judged_equivalent, key, mutants
from tests.mutation.judge import TIMEOUT, judge
from tests.mutation.reach import plan, reach

LIBRARIES = ("numpy", "scipy.optimize", "scipy.stats", "torch", "numba", "array_api_strict", "array_api_compat",
             "pytest", "highspy", "cvxpy")


def main() -> int:
    """Judge a random sample and print the score."""
    given = _arguments()
    os.nice(19 - os.nice(0))
    for library in LIBRARIES:
        importlib.import_module(library)
    every = [mutant for mutant in mutants() if given.only in mutant.module]
    sample = random.Random(given.seed).sample(every, min(given.n, len(every)))
    begun, folder = time.monotonic(), Path(tempfile.mkdtemp())
    out = Path(given.out) if given.out else folder / "mutants.jsonl"
    tests = reach(Path(given.reach) if given.reach else folder / "reach.json")
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    fates = {_identity(Mutant(**{name: row[name] for name in Mutant._fields})): row["fate"] for row in known}
    print(f"{len(every)} mutants in {len({one.module for one in every})} modules, {len(sample)} sampled, "
          f"seed {given.seed}", flush=True)
    for mutant in sample:
        if _identity(mutant) in fates or time.monotonic() - begun > given.seconds:
            continue
        start, names = time.monotonic(), plan(mutant, tests, given.budget)
        fate = judge(mutant, names, sum(tests[name]["seconds"] for name in names), folder / "log.txt")
        fates[_identity(mutant)] = fate
        said = (folder / "log.txt").read_text(errors="replace").strip().splitlines()[-3:]
        with out.open("a") as lines:
            lines.write(json.dumps({**mutant._asdict(), "fate": fate, "seed": given.seed, "tests": len(names),
                                    "seconds": round(time.monotonic() - start, 1), "said": said}) + "\n")
        print(f"{len(fates):4d} {time.monotonic() - begun:6.0f} s  {fate:8s} {mutant.module}:{mutant.line}  "
              f"{mutant.after}", flush=True)
    _report([(mutant, fates[_identity(mutant)]) for mutant in sample if _identity(mutant) in fates], str(out))
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="mutants to judge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests for one mutant, without its import")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many seconds")
    parser.add_argument("--out", help="file of JSON lines; what is in it is not judged again")
    parser.add_argument("--reach", help="file that keeps which tests call which function")
    parser.add_argument("--only", default="", help="only modules whose name contains this")
    return parser.parse_args()


def _identity(mutant: Mutant) -> tuple[object, ...]:
    """Of a mutant, whatever its line."""
    return mutant.module, mutant.function, mutant.before, mutant.after, mutant.node


def _report(judged: list[tuple[Mutant, str]], out: str) -> None:
    equivalent = judged_equivalent()
    fates = [fate if fate != "survived" or key(mutant) not in equivalent else "equivalent" for mutant, fate in judged]
    killed, survived, same = fates.count("killed"), fates.count("survived"), fates.count("equivalent")
    low, high = wilson(killed, killed + survived)
    print(f"score {100 * killed / max(1, killed + survived):.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f}): "
          f"{killed} killed, {survived} survived, {same} equivalent, {fates.count(TIMEOUT)} past the time limit, "
          f"{fates.count('broken')} broken; {100 * killed / max(1, killed + survived + same):.1f} % with the equivalent "
          f"ones; {out}")
    for (mutant, _), fate in zip(judged, fates, strict=True):
        if fate == "survived":
            print(f"  {mutant.module}:{mutant.line} {mutant.function}: {mutant.before}  ->  {mutant.after}")


def wilson(hits: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share. [wilson]."""
    if not count:
        return 0.0, 1.0
    share, spread = hits / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / count + spread / (4 * count)) / (1 + spread)
    return middle - half, middle + half


if __name__ == "__main__":
    sys.exit(main())
