"""Mutation run over the rooms core, transport and verifiers, by hand: ``python -m tests.mutation --n 100 --seed 0``.

A mutant is a module of the package with one change: a comparison, an arithmetic or logical operator, a number, a
condition, ``minimum`` for ``maximum``. It is killed when the doctests of its module or one of the tests that call its
function fail; the likeliest come first, and a run is capped in time, so that some that survive would be killed by the
whole suite. Those that no input can tell from the module are judged by hand and listed, with the reason, in
``equivalent.csv``. The score is the share of killed mutants among those of a random sample that were killed or
survived and are not equivalent; mutants past the time limit are counted apart.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.mutation.change import Mutant, judged_equivalent, key, mutants
from tests.mutation.fresh import judge_afresh
from tests.mutation.reach import Recorder, plan, test_files
from tests.mutation.score import last_fates, report, tabulate
from tests.mutation.server import SURVIVED, Server

MORE = 10  # times the tests for a mutant that has survived


def main() -> int:
    """Judge a random sample and print the score."""
    given = _arguments()
    if given.table:
        tabulate(given.table, given.answered)
        return 0
    lines = _lines(given.lines)
    every = [mutant for mutant in mutants() if given.only in mutant.module and (not lines or mutant.line in lines)]
    sample = random.Random(given.seed).sample(every, min(given.n, len(every)))
    out = Path(given.out) if given.out else Path(tempfile.mkdtemp()) / "mutants.jsonl"
    known = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    done = {(*key(Mutant(*row["mutant"])), row["mutant"][1]) for row in known}
    part, parts = (int(number) for number in given.part.split("/"))
    left = [mutant for mutant in sample if (*key(mutant), mutant.node) not in done][part - 1::parts]
    print(f"{len(every)} mutants in {len({one.module for one in every})} modules, {len(sample)} sampled, "
          f"{len(left)} of them to be judged, seed {given.seed}", flush=True)
    recorder = Recorder(given.record)
    server = Server(recorder, lambda server: _judge(server, left, given, out))
    pytest.main([*(given.tests or test_files()), "-q", "-s", "-n", "0", "-p", "no:cacheprovider"],
                plugins=[recorder, server])
    report(last_fates([str(out)]).get(given.seed, []))
    return 0


def _judge(server: Server, left: list[Mutant], given: Any, out: Path) -> None:
    begun, log = time.monotonic(), Path(tempfile.mkdtemp()) / "log.txt"
    tests = server.reach(Path(given.reach) if given.reach else log.with_name("reach.json"), given.record)
    os.nice(19 - os.nice(0))
    read = {call for calls in server.recorder.shared.values() for call in calls}
    survivors: list[Mutant] = []
    equivalent = judged_equivalent()
    # those that survive the likeliest tests are judged once more by many
    for again, chosen in enumerate((left,) if given.tests else (left, survivors)):
        for number, mutant in enumerate(chosen):
            if time.monotonic() - begun > given.seconds:
                return
            start, budget = time.monotonic(), given.budget * (MORE if again else 1)
            names = list(tests) if given.tests else plan(mutant, tests, budget)
            seconds = sum(tests[name]["seconds"] for name in names)
            fate = server.judge(mutant, names, seconds, log, budget)
            # a function that is called when files are read has done its work before it can be changed
            if fate is None or (fate == SURVIVED and f"{mutant.module}:{mutant.function}" in read):
                fate = judge_afresh(mutant, names, seconds, log)
            if fate == SURVIVED and not again and key(mutant) not in equivalent:
                survivors.append(mutant)
            said = log.read_text(errors="replace").strip().splitlines()[-3:]
            with out.open("a") as lines:
                lines.write(json.dumps({"seed": given.seed, "mutant": mutant, "fate": fate, "tests": len(names),
                                        "seconds": round(time.monotonic() - start, 1), "said": said}) + "\n")
            print(f"{number + 1:4d} {time.monotonic() - begun:6.0f} s  {fate:8s} {mutant.module}:{mutant.line}  "
                  f"{mutant.after}", flush=True)


def _lines(text: str) -> set[int]:
    """Numbers of ``3,10-12``."""
    spans = [[int(end) for end in part.split("-")] for part in text.split(",") if part]
    return {line for span in spans for line in range(span[0], span[-1] + 1)}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="mutants to judge")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="1/1", help="2/3: the second of three processes, each with a file of its own")
    parser.add_argument("--budget", type=float, default=30, help="seconds of tests for one mutant")
    parser.add_argument("--seconds", type=float, default=math.inf, help="stop after so many seconds")
    parser.add_argument("--out", help="file of JSON lines; what is in it is not judged again")
    parser.add_argument("--record", action="store_true", help="run all tests once to see which calls what")
    parser.add_argument("--reach", help="file that keeps which tests call which function")
    parser.add_argument("--only", default="", help="only modules whose name contains this")
    parser.add_argument("--lines", default="", help="only mutants of these lines: 3,10-12")
    parser.add_argument("--tests", nargs="*", metavar="FILE", help="only the tests of these files, all of them, once")
    parser.add_argument("--table", nargs="+", metavar="FILE", help="only write the scores of judged mutants as CSV")
    parser.add_argument("--answered", nargs="*", type=int, default=[], metavar="SEED",
                        help="with --table: seeds whose survivors have tests of their own since")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
