"""Audits of right rules must pass and small deviations must be found: rates and times, with their counts.

``alarms``: audits of right rules (token, multi, block, tree), each with another seed; a failed one is a false alarm.
``power``: a deviation of .05 and of .01 on one instance alone, in the direction that is hardest to tell, found or not
within 5 and 60 seconds of one core, by whole audits.
``time``: the same against a function called row by row, in seconds of one core.
"""

from __future__ import annotations

import argparse
import os
import time
from concurrent.futures import ProcessPoolExecutor
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import beta

import otspec as ot
from otspec.analysis.instances import HAND
from otspec.auditing.evidence import hidden
from tests.auditing.masses import Masses, joint
from tests.auditing.test_mutants import quantile, several, verify
from tests.bench.harness import save

COARSE = 0.2  # few calls for each of many audits; the chance of an alarm does not depend on it
SPREAD = np.array(HAND["spread"][0])


def right_rules() -> dict[str, tuple[Any, dict[str, Any]]]:
    """Functions that are lossless, with how to ask them."""
    return {
        "token": (verify, {"kind": "token", "batch_size": 4096}),
        "multi": (several(None), {"kind": "multi", "scheme": 2, "batch_size": 4096}),
        "block": (Masses("block", "block", joint(ot.verifier("block", 1))), {}),
        "tree": (Masses("tree", "tree", joint(ot.verifier("traversal", 2))), {"scheme": 2}),
    }


def alarms_of(name: str, seeds: range) -> tuple[int, float, float]:
    """Failed audits of a right rule, their smallest p-value, and seconds of one core."""
    rule, how = right_rules()[name]
    failed, smallest, start = 0, 1.0, time.process_time()
    for seed in seeds:
        if isinstance(rule, Masses):
            rule.known.clear()
        report = ot.audit(rule, seed=seed, tv=COARSE, large=False, explain=0, seconds=3600, progress=False,
                          **how)
        failed += report.passed is not True
        smallest = min(smallest, report.p_value)
    return failed, smallest, time.process_time() - start


def alarms(count: int) -> list[dict[str, Any]]:
    """False alarms among ``count`` audits."""
    rows, runs = [], count // 4
    with ProcessPoolExecutor(2) as pool:
        parts = {name: pool.submit(alarms_of, name, range(runs)) for name in right_rules()}
        for name, part in parts.items():
            failed, smallest, seconds = part.result()
            rows.append({"what": f"false alarms, {name}", "tv": COARSE, "runs": runs, "hits": failed,
                         "share": failed / runs, "smallest_p": smallest, "seconds_per_run": seconds / runs})
    return rows


def deviating(tv: float) -> Any:
    """Rows of right tokens, but on one instance a law at distance ``tv``."""
    other = hidden(SPREAD, tv)

    def fn(target: Any, draft: Any, token: Any, rng: Any) -> Any:
        here = np.isclose(target[:, 0], 0.3) & np.isclose(target[:, 4], 0.1)
        return quantile(np.where(here[:, None], other, target) if target.shape[1] == 5 else target,
                        rng.random(len(token)))

    return fn


def power(count: int) -> list[dict[str, Any]]:
    """Share of whole audits that find a deviation on one instance within the time promised, in seconds of one core."""
    rows = []
    for tv, promised in ((0.05, 5.0), (0.01, 60.0)):
        seconds, calls, found = [], [], 0
        for seed in range(count):
            start = time.process_time()
            report = ot.audit(deviating(tv), kind="token", batch_size=4096, tv=tv, seed=seed, large=False, explain=0,
                              seconds=3600, progress=False)
            seconds.append(time.process_time() - start)
            calls.append(report.calls)
            found += report.passed is False and seconds[-1] <= promised
        rows.append({"what": "found on one instance of 20", "tv": tv, "promised_seconds": promised, "runs": count,
                     "hits": found, "share": found / count,
                     "least_share": float(beta.ppf(0.05, found, count - found + 1)),  # one-sided, 95 %
                     "median_seconds": float(np.median(seconds)), "most_seconds": max(seconds),
                     "median_calls": float(np.median(calls))})
    return rows


def one_by_one(tv: float) -> Any:
    """A function called row by row, right but for a deviation of ``tv`` on one instance."""
    ends, wrong = np.cumsum(hidden(SPREAD, tv)), SPREAD[0]

    def fn(target: Any, draft: Any, token: Any, rng: Any) -> Any:
        if target[0] == wrong and target[4] == SPREAD[4]:
            return int(ends.searchsorted(rng.random()))
        if rng.random() * draft[token] < target[token]:
            return token
        below = np.maximum(target - draft, 0).cumsum()
        return int(below.searchsorted(rng.random() * below[-1], side="right"))

    return fn


def timed(count: int) -> list[dict[str, Any]]:
    """Seconds of one core until a deviation is found, in a function called row by row."""
    rows = []
    for tv in (0.05, 0.01):
        seconds, found = [], 0
        for seed in range(count):
            start = time.process_time()
            report = ot.audit(one_by_one(tv), kind="token", tv=tv, seed=seed, large=False, explain=0, seconds=600,
                              progress=False)
            seconds.append(time.process_time() - start)
            found += report.passed is False
        rows.append({"what": "row by row, slowest run", "tv": tv, "runs": count, "hits": found, "share": found / count,
                     "smallest_p": None, "seconds_per_run": max(seconds)})
    return rows


def main() -> None:
    """Run the parts asked for, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("alarms", "power", "time"), action="append")
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    for part in given.part or ("alarms", "power", "time"):
        rows = {"alarms": alarms, "power": power, "time": timed}[part](given.count)
        save(f"audit_{part}", rows, "scipy")


if __name__ == "__main__":
    main()
