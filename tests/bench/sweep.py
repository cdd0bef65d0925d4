"""Contexts per second of trace-scale analysis, with a sort of the same rows as the floor."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import otspec as ot
from tests.bench.harness import by_turns, peaked_pair, rows, save

DRAFTS = 8


def batch(size: int, contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of laws ``[contexts V]`` with seeds of their own."""
    pairs = [peaked_pair(size, seed) for seed in range(contexts)]
    return tuple(np.stack(laws) for laws in zip(*pairs, strict=True))


def main() -> None:
    """Measure everything."""
    table: list[dict[str, object]] = []
    for size, contexts in ((2_048, 128), (32_000, 8)):
        target, draft = batch(size, contexts)
        ratio = target / draft
        hand = ot.WithoutReplacement(DRAFTS)
        seconds = by_turns({
            "stable_argsort": lambda r=ratio: np.argsort(r, axis=-1, kind="stable"),
            "default_argsort": lambda r=ratio: np.argsort(r, axis=-1),
            "optimal_acceptance": lambda p=target, q=draft: ot.optimal_acceptance(p, q, DRAFTS),
            "winner_law_universal": lambda p=target, q=draft: ot.winner_law(p, q, DRAFTS),
            "winner_law_minimal": lambda p=target, q=draft: ot.winner_law(p, q, DRAFTS, kind="minimal"),
            "optimal_acceptance_without_replacement": lambda p=target, q=draft, s=hand: ot.optimal_acceptance(p, q, s),
            "sweep_all_rules": lambda p=target, q=draft: ot.sweep((p, q), ks=[DRAFTS], progress=False),
        }, repeats=7)
        for row in rows(seconds, "stable_argsort", vocabulary=size, k=DRAFTS, contexts=contexts):
            table.append({**row, "contexts_per_second": contexts / (float(row["median_ms"]) * 1e-3)})
    save("sweep", table, "numba")


if __name__ == "__main__":
    main()
