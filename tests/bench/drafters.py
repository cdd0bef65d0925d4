"""Different drafters at V=2048: how often, how fast and with how many priority orders the optimum is certified."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable, Iterator

import numpy as np

import otspec as ot
from otspec.transport.minimum_norm import independent_capacity, minimum_norm_law
from tests.bench.harness import save

CONTEXTS = range(0, 512, 8)
SEEDS = range(8)
SIZE = 2048
WIDTH = 1e-9  # the certified contract
CONTEXT_SHIFT = 17  # "other" is the drafter's law some contexts further on

Instances = Iterator[tuple[np.ndarray, np.ndarray]]
TRACE: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], list[np.ndarray]]] = {
    "q, q^(1/.6)": lambda q, unigram, other: [q, ot.temper(q, 0.6)],
    "q, q^(1/1.6)": lambda q, unigram, other: [q, ot.temper(q, 1.6)],
    "q, unigram": lambda q, unigram, other: [q, unigram],
    "q, other context": lambda q, unigram, other: [q, other],
    "temperatures .5 .8 1 1.4": lambda q, unigram, other: [ot.temper(q, t) for t in (0.5, 0.8, 1.0, 1.4)],
    "q, q, unigram, other": lambda q, unigram, other: [q, q, unigram, other],
}


def from_trace(family: str) -> Instances:
    """Contexts of the bundled trace with the drafters of a family."""
    trace = ot.load_trace("pocket")
    target, draft = trace.laws(slice(0, len(trace)))
    unigram = draft.mean(axis=0)
    for i in CONTEXTS:
        yield target[i], np.array(TRACE[family](draft[i], unigram, draft[(i + CONTEXT_SHIFT) % len(draft)]))


def noisy(k: int) -> Instances:
    """Gaussian logits and noisy copies of them, one temperature per drafter."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        logits = 3 * rng.normal(size=SIZE)
        laws = [np.exp((logits + 0.8 * rng.normal(size=SIZE)) / t) for t in (0.5, 0.8, 1.0, 1.4)[:k]]
        yield _law(np.exp(logits)), np.array([_law(law) for law in laws])


def unrelated(k: int) -> Instances:
    """Uniformly random laws that have nothing to do with each other."""
    for seed in SEEDS:
        laws = np.random.default_rng(seed).dirichlet(np.ones(SIZE), k + 1)
        yield laws[0], laws[1:]


def zipf(k: int) -> Instances:
    """Noisy copies of one Zipf-like law."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        laws = np.exp(-1.1 * np.log1p(np.arange(SIZE)) + rng.normal(size=(k + 1, SIZE)))
        laws = np.array([_law(law) for law in laws])
        yield laws[0], laws[1:]


def _law(weights: np.ndarray) -> np.ndarray:
    return weights / weights.sum()


def measured(family: str, instances: Instances) -> dict[str, object]:
    """One row: every instance of a family solved once."""
    gaps, seconds, orders, optimum = [], [], [], []
    for target, drafts in instances:
        start = time.process_time()
        found = minimum_norm_law(target, independent_capacity(drafts), tol=0.9 * WIDTH)
        seconds.append(time.process_time() - start)
        gaps.append(found.value_upper - found.value_lower)
        orders.append(found.weights.size)
        optimum.append(found.value_upper)
    closed = np.array(gaps) <= WIDTH
    # open ones are hard for one reason: an optimum next to 1
    easiest_open = float(np.min(np.array(optimum)[~closed])) if not closed.all() else float("nan")
    return {"family": family, "k": drafts.shape[0], "instances": closed.size, "certified": float(closed.mean()),
            "largest_gap": float(max(gaps)), "lowest_open_optimum": easiest_open,
            "median_cpu_s": float(np.median(seconds)), "max_cpu_s": float(max(seconds)),
            "median_orders": float(np.median(orders)), "max_orders": max(orders)}


def main() -> None:
    """Measure every family."""
    warm = np.full((2, 4), 0.25)
    minimum_norm_law(warm[0], independent_capacity(warm))
    table = [measured(family, from_trace(family)) for family in TRACE]
    for k in (2, 4):
        for name, make in (("noisy copies", noisy), ("unrelated", unrelated), ("zipf", zipf)):
            table.append(measured(f"{name}, k={k}", make(k)))
    save("drafters", table, "scipy", "numba")


if __name__ == "__main__":
    main()
