"""Different drafters at V=2048: how often, how fast and with how many priority orders the optimum is certified.

Three methods: the laminar plan alone, the search from laminar plans, the search alone. Times are the CPU seconds of the
one thread that works.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import functools
import time
from collections.abc import Callable, Iterator

import numpy as np

import otspec as ot
from otspec.transport.drafters.laminar import LaminarPlan, laminar_plan
from otspec.transport.drafters.laminar_mixture import laminar_mixture
from otspec.transport.drafters.minimum_norm import MinimumNorm, independent_capacity, minimum_norm_law
from tests.bench.harness import save

CONTEXTS = range(0, 512, 8)
SEEDS = range(8)
SIZE = 2048
FULL = 151_936
TEMPERATURES = (0.5, 0.8, 1.0, 1.4, 0.6, 0.7, 0.9, 1.2)
WIDTH = 1e-9  # the certified contract
CONTEXT_SHIFT = 17  # "other" is the drafter's law some contexts further on

Instances = Iterator[tuple[np.ndarray, np.ndarray]]
Solver = Callable[[np.ndarray, np.ndarray], LaminarPlan | MinimumNorm]
TRACE: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], list[np.ndarray]]] = {
    "q, q^(1/.6)": lambda q, unigram, other: [q, ot.temper(q, 0.6)],
    "q, q^(1/1.6)": lambda q, unigram, other: [q, ot.temper(q, 1.6)],
    "q, unigram": lambda q, unigram, other: [q, unigram],
    "q, other context": lambda q, unigram, other: [q, other],
    "temperatures .5 .8 1 1.4": lambda q, unigram, other: [ot.temper(q, t) for t in TEMPERATURES[:4]],
    "eight temperatures": lambda q, unigram, other: [ot.temper(q, t) for t in TEMPERATURES],
    "q, q, unigram, other": lambda q, unigram, other: [q, q, unigram, other],
}


def from_trace(family: str) -> Instances:
    """Contexts of the bundled trace with the drafters of a family."""
    trace = ot.load_trace("pocket")
    target, draft = trace.laws(slice(0, len(trace)))
    unigram = draft.mean(axis=0)
    for i in CONTEXTS:
        yield target[i], np.array(TRACE[family](draft[i], unigram, draft[(i + CONTEXT_SHIFT) % len(draft)]))


def noisy(k: int, size: int = SIZE) -> Instances:
    """Gaussian logits and noisy copies of them, one temperature per drafter."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        logits = 3 * rng.normal(size=size)
        laws = [np.exp((logits + 0.8 * rng.normal(size=size)) / t) for t in TEMPERATURES[:k]]
        yield _law(np.exp(logits)), np.array([_law(law) for law in laws])


def unrelated(k: int, size: int = SIZE) -> Instances:
    """Uniformly random laws that have nothing to do with each other."""
    for seed in SEEDS:
        laws = np.random.default_rng(seed).dirichlet(np.ones(size), k + 1)
        yield laws[0], laws[1:]


def zipf(k: int, size: int = SIZE) -> Instances:
    """Noisy copies of one Zipf-like law."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        laws = np.exp(-1.1 * np.log1p(np.arange(size)) + rng.normal(size=(k + 1, size)))
        laws = np.array([_law(law) for law in laws])
        yield laws[0], laws[1:]


SYNTHETIC = {"noisy copies": noisy, "unrelated": unrelated, "zipf": zipf}


def _law(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def laminar(target: np.ndarray, drafts: np.ndarray) -> LaminarPlan:
    """The laminar plan alone."""
    return laminar_plan(target, drafts)


def search(target: np.ndarray, drafts: np.ndarray) -> MinimumNorm:
    """The search alone, from one priority order; half the rules, since it is spared the ways that start from a plan."""
    return minimum_norm_law(target, independent_capacity(drafts), tol=0.9 * WIDTH, max_iterations=4000)


def both(target: np.ndarray, drafts: np.ndarray) -> MinimumNorm:
    """Laminar plans, mixed where the optimum is 1, and the search from them, as `acceptance_bound` runs them."""
    first = laminar_mixture(target, drafts, tol=0.9 * WIDTH)
    return minimum_norm_law(target, independent_capacity(drafts), first=first, tol=0.9 * WIDTH)


def measured(family: str, instances: Instances, solve: Solver) -> dict[str, object]:
    """One row: every instance of a family solved once."""
    gaps, seconds, orders, optimum = [], [], [], []
    for target, drafts in instances:
        start = time.thread_time()
        found = solve(target, drafts)
        seconds.append(time.thread_time() - start)
        gaps.append(found.value_upper - found.value_lower)
        orders.append(found.weights.size if isinstance(found, MinimumNorm) else 0)
        optimum.append(found.value_upper)
    closed = np.array(gaps) <= WIDTH
    # open ones are hard for one reason: an optimum next to 1
    easiest_open = float(np.min(np.array(optimum)[~closed])) if not closed.all() else float("nan")
    return {"family": family, "size": target.size, "k": drafts.shape[0], "method": solve.__name__,
            "instances": closed.size, "certified": float(closed.mean()), "mean_gap": float(np.mean(gaps)),
            "largest_gap": float(max(gaps)), "lowest_open_upper_end": easiest_open,
            "median_cpu_s": float(np.median(seconds)), "mean_cpu_s": float(np.mean(seconds)),
            "max_cpu_s": float(max(seconds)),
            "median_orders": float(np.median(orders)), "max_orders": max(orders)}


def main() -> None:
    """Measure every family, the laminar plan alone at a full vocabulary."""
    warm = np.full((2, 4), 0.25)
    both(warm[0] * [1.5, 0.5, 1.5, 0.5], warm)
    families = [(family, functools.partial(from_trace, family)) for family in TRACE]
    for k in (2, 4, 8):
        families += [(f"{name}, k={k}", functools.partial(make, k)) for name, make in SYNTHETIC.items()]
    table = [measured(f"{name}, k=4, full vocabulary", make(4, FULL), laminar) for name, make in SYNTHETIC.items()]
    for solve in (laminar, both, search):
        for family, make in families:
            if solve is search and family.endswith("k=8"):
                continue  # minutes for what the other two rows say already
            table.append(measured(family, make(), solve))
        save("drafters", table, "scipy", "numba")  # after every method: the search alone takes longest


if __name__ == "__main__":
    main()
