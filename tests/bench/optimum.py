"""Optimal acceptance at vocabulary scale against the cost of one sort, and the set programme against bare SciPy."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import csr_array

import otspec as ot
from tests.bench.harness import by_turns, peaked_pair, rows, save


def bare_programme(target: np.ndarray, draft: np.ndarray, k: int) -> float:
    """Flow programme on sets written straight for SciPy: what anyone would build by hand."""
    law: dict[tuple[int, ...], float] = {}
    for combination in itertools.combinations_with_replacement(range(target.size), k):
        counts = np.unique(combination, return_counts=True)[1]
        ways = float(np.prod(range(1, k + 1))) / float(np.prod([np.prod(range(1, c + 1)) for c in counts]))
        key = tuple(sorted(set(combination)))
        law[key] = law.get(key, 0.0) + ways * float(np.prod(draft[list(combination)]))
    members = list(law)
    arcs = [(s, i) for s, key in enumerate(members) for i in key]
    rows_, columns = [], []
    for arc, (s, i) in enumerate(arcs):
        rows_ += [s, len(members) + i]
        columns += [arc, arc]
    matrix = csr_array((np.ones(len(rows_)), (rows_, columns)), shape=(len(members) + target.size, len(arcs)))
    limits = np.concatenate([list(law.values()), target])
    return -linprog(-np.ones(len(arcs)), A_ub=matrix, b_ub=limits, method="highs").fun


def main() -> None:
    """Measure everything."""
    table: list[dict[str, object]] = []
    for size in (32_000, 151_936):
        target, draft = peaked_pair(size)
        ratio = target / draft
        seconds = by_turns({
            "stable_argsort": lambda r=ratio: np.argsort(r, kind="stable"),
            "default_argsort": lambda r=ratio: np.argsort(r),
            "with_replacement_k8": lambda p=target, q=draft: ot.optimal_acceptance(p, q, 8),
            "without_replacement_k2": lambda p=target, q=draft: ot.optimal_acceptance(p, q, ot.WithoutReplacement(2)),
            "without_replacement_k4": lambda p=target, q=draft: ot.optimal_acceptance(p, q, ot.WithoutReplacement(4)),
            "greedy_k4": lambda p=target, q=draft: ot.optimal_acceptance(p, q, ot.Greedy(4)),
        })
        table += rows(seconds, "stable_argsort", vocabulary=size)
    save("optimum", table)
    target, draft = peaked_pair(40)
    assert abs(bare_programme(target, draft, 3) - float(ot.optimal_plan(target, draft, 3).upper)) < 1e-9
    seconds = by_turns({"bare_scipy": lambda: bare_programme(target, draft, 3),
                        "optimal_plan": lambda: ot.optimal_plan(target, draft, 3)}, repeats=5)
    save("programme", rows(seconds, "bare_scipy", vocabulary=40, k=3), "scipy")


if __name__ == "__main__":
    main()
