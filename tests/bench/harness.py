"""Timing by turns, and a CSV that says on what machine and with which versions it was made."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np

from otspec.core.table import Table

RESULTS = Path(__file__).parent / "results"


def by_turns(candidates: dict[str, Callable[[], object]], *, repeats: int = 21) -> dict[str, np.ndarray]:
    """Seconds ``[repeats]`` of each candidate, one after the other in every round, after one warm-up each."""
    for run in candidates.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: np.array(values) for name, values in seconds.items()}


def rows(seconds: dict[str, np.ndarray], floor: str, **labels: object) -> list[dict[str, object]]:
    """One row per candidate: min and median in milliseconds, and the median ratio to ``floor`` round by round."""
    return [{**labels, "what": name, "min_ms": float(values.min() * 1e3), "median_ms": float(np.median(values) * 1e3),
             f"ratio_to_{floor}": float(np.median(values / seconds[floor])), "repeats": values.size}
            for name, values in seconds.items()]


def processor() -> str:
    """Model name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def save(name: str, table: list[dict[str, object]], *packages: str) -> None:
    """Print the table and write it with hardware and versions."""
    metadata = {"processor": processor(), "cores": os.cpu_count(), "python": platform.python_version(),
                **{package: version(package) for package in ("otspec", "numpy", *packages)}}
    result = Table(table, metadata)
    RESULTS.mkdir(exist_ok=True)
    result.to_csv(RESULTS / f"{name}.csv")
    print(result)  # noqa: T201


def peaked_pair(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Zipf-like target and draft laws that overlap about as two related language models do."""
    rng = np.random.default_rng(seed)
    base = -1.1 * np.log1p(np.arange(size))[rng.permutation(size)]
    laws = [np.exp(base + noise * rng.normal(size=size)) for noise in (1.0, 1.0)]
    return laws[0] / laws[0].sum(), laws[1] / laws[1].sum()
