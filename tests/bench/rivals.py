"""The optimum and the optimal rule against what else solves the same problem, side by side in one run.

On sets, two drafts: OR-tools maximum flow at V = 400 and 2,000, HiGHS at V = 400 and 1,400, the largest of a few tried
that it ends within minutes (2,000 was given up after eight); their time is the solver's alone, the draft sets are made
beforehand. Plans: our Global Resolution on laws of the bundled trace, drafts from the top tokens.
The figures printed by its authors (`published.csv`) stand in the same table with source ``published``.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

import otspec as ot
from otspec.transport.programme.flow import solve_max_flow
from otspec.transport.programme.lp import solve_flow
from tests.bench.harness import by_turns, peaked_pair, save

PUBLISHED = Path(__file__).with_name("published.csv")
COLUMNS = ("source", "method", "vocabulary", "top", "k", "tolerance", "contexts", "solved", "solved_in_100_ms",
           "min_ms", "median_ms", "mean_ms", "at_least", "times_ours", "value_error", "deviation_l1", "machine",
           "remark")
PLANS = ((10, 4, 20), (10, 5, 20), (100, 2, 20), (1000, 2, 5))  # top, k, contexts
BUDGET = 0.1  # seconds a token, of the published claim


def row(**known: object) -> dict[str, object]:
    """One line of the table; what is not known stays empty."""
    return {name: known.get(name) for name in COLUMNS}


def machine() -> str:
    """How busy the machine is."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def measured(method: str, seconds: np.ndarray, ours: float, **labels: object) -> dict[str, object]:
    """Times of one method, and its median against ours."""
    return row(source="measured", method=method, machine=machine(), min_ms=float(seconds.min() * 1e3),
               median_ms=float(np.median(seconds) * 1e3), mean_ms=float(seconds.mean() * 1e3),
               times_ours=float(np.median(seconds) / ours), **labels)


def one_round(target: np.ndarray, draft: np.ndarray, k: int) -> Callable[[], object]:
    """Prepare, draw and accept with the optimal rule, for one list drawn beforehand."""
    scheme = ot.WithReplacement(k)
    rule = ot.verifier("optimal", scheme)
    rng = np.random.default_rng(0)
    tokens = scheme.sample(draft, rng.random(k))
    return lambda: rule.draw(target, draft, tokens, rng.random(rule.num_uniforms))


def once(run: Callable[[], object], repeats: int) -> np.ndarray:
    """Seconds of solvers that are too slow for a warm-up."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return np.array(seconds)


def on_sets(size: int, solvers: dict[str, Callable[[ot.MembershipProblem], ot.AcceptanceBound]],
            repeats: int) -> list[dict[str, object]]:
    """Certified value by us and by solvers on draft sets, two drafts."""
    target, draft = peaked_pair(size)
    problem = ot.MembershipProblem(target, draft, ot.WithReplacement(2))
    problem.sets  # noqa: B018 (kept by the problem, so that the solvers find it made)
    best = float(ot.acceptance_bound(target, draft, 2).upper)
    ours = by_turns({"acceptance_bound": lambda: ot.acceptance_bound(target, draft, 2),
                     "optimal_draw": one_round(target, draft, 2)})
    floor = float(np.median(ours["acceptance_bound"]))
    labels = {"vocabulary": size, "k": 2, "contexts": 1}
    gap = float(ot.acceptance_bound(target, draft, 2).gap)
    table = [measured(name, seconds, floor, solved=1.0, value_error=gap if name == "acceptance_bound" else None,
                      **labels) for name, seconds in ours.items()]
    for name, solve in solvers.items():
        found: list[ot.AcceptanceBound] = []
        seconds = once(lambda solve=solve, found=found: found.append(solve(problem)), repeats)
        table.append(measured(name, seconds, floor, solved=1.0, value_error=abs(float(found[-1].lower) - best),
                              remark="draft sets given", **labels))
    return table


def merged(target: np.ndarray, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same problem with all tokens that cannot be drafted as one token."""
    kept = draft > 0
    return np.append(target[kept], target[~kept].sum()), np.append(draft[kept], 0.0)


def deviation_of_ours(target: np.ndarray, draft: np.ndarray, k: int) -> float | None:
    """L1 distance of the optimal rule's output law from the target by enumeration, or None where it is too large."""
    try:
        law = ot.output_law("optimal", *merged(target, draft), k)
    except ot.TooLarge:
        return None
    return float(np.abs(law - merged(target, draft)[0]).sum())


def plans(top: int, k: int, contexts: int, tolerance: float = 1e-3) -> list[dict[str, object]]:
    """Global Resolution and the optimal rule on contexts of the bundled trace."""
    trace = ot.load_trace("pocket")
    rows = np.linspace(0, len(trace) - 1, contexts).astype(int)
    target, draft = trace.laws(rows)
    draft = ot.truncate(draft, top_k=top)
    rule = ot.verifier("global_resolution", k, tolerance=tolerance)
    rule.solve(target[0], draft[0])  # the index arrays of the draft sets are kept from here on
    spent: dict[str, list[float]] = {"ours": [], "theirs": []}
    solved, errors, deviations = [], [], []
    for p, q in zip(target, draft, strict=True):
        run = one_round(p, q, k)
        run()
        spent["ours"].append(float(np.median(once(run, 3))))
        fresh = ot.verifier("global_resolution", k, tolerance=tolerance)
        start = time.perf_counter()
        try:
            plan = fresh.solve(p, q)
        except (ot.NotCertified, ot.TooLarge):
            plan = None
        spent["theirs"].append(time.perf_counter() - start)
        solved.append(plan is not None)
        if plan is not None:
            errors.append(float(ot.optimal_acceptance(p, q, k)) - plan.matched)
            deviations.append(plan.deviation)
    ours, theirs = (np.array(spent[name]) for name in ("ours", "theirs"))
    labels = {"vocabulary": trace.vocab_size, "top": top, "k": k, "contexts": contexts}
    bound = ot.acceptance_bound(target, draft, k)
    floor = float(np.median(ours))
    exact = deviation_of_ours(target[0], draft[0], k)
    return [
        measured("optimal_draw", ours, floor, solved=1.0, solved_in_100_ms=float((ours <= BUDGET).mean()),
                 value_error=float(np.max(bound.gap)), deviation_l1=exact,
                 remark="too many lists to enumerate" if exact is None else "deviation: one context, every list",
                 **labels),
        measured("global_resolution", theirs, floor, tolerance=tolerance, solved=float(np.mean(solved)),
                 solved_in_100_ms=float((np.array(solved) & (theirs <= BUDGET)).mean()),
                 value_error=max(errors, default=None), deviation_l1=max(deviations, default=None),
                 remark="our implementation; worst context", **labels),
    ]


def published() -> list[dict[str, object]]:
    """The authors' own figures."""
    lines = ot.Table.from_csv(PUBLISHED).rows
    return [row(source="published", vocabulary=128_256, **line) for line in lines]


def main() -> None:
    """Measure everything."""
    solvers: dict[str, Callable[[ot.MembershipProblem], ot.AcceptanceBound]] = {
        "max_flow": lambda problem: solve_max_flow(problem, isolated=False)}
    packages = ["scipy", "highspy", "numba"]
    if find_spec("ortools") is None:
        print("OR-tools is not installed, so its rows are missing. Fix: pip install ortools.")  # noqa: T201
        solvers = {}
    else:
        packages.append("ortools")
    table = on_sets(400, solvers | {"highs": solve_flow}, repeats=2)
    table += on_sets(1_400, {"highs": solve_flow}, repeats=1)
    if solvers:
        table += on_sets(2_000, solvers, repeats=1)
    for top, k, contexts in PLANS:
        table += plans(top, k, contexts)
    save("rivals", table + published(), *packages)


if __name__ == "__main__":
    main()
