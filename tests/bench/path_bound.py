"""The dual bound on the pocket pair: every shape at both temperatures, with its time, and how it depends on samples.

Rules and the shares of the bound that they reach are those of ``tests.bench.paths``, measured on more contexts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time

import otspec as ot
from otspec.recording.path_bound import KINDS, path_bounds
from tests.bench.harness import save

SHAPES = tuple((paths, length) for length in (4, 8) for paths in (1, 2, 4, 8))
TEMPERATURES = (1.0, 0.6)
CONTEXTS, SAMPLES, SEED = 64, 256, 5


def measured(pair: object, temperature: float, kind: str) -> list[dict[str, object]]:
    """All shapes from the same drafts."""
    start = time.perf_counter()
    bounds = path_bounds(pair, ot.load_trace("pocket"), SHAPES, kind=kind, temperature=temperature, contexts=CONTEXTS,
                         seed=SEED, samples=SAMPLES, progress=False)
    seconds = time.perf_counter() - start
    return [row(bound, temperature, seconds / len(SHAPES)) for bound in bounds.values()]


def row(bound: ot.PathBound, temperature: float, seconds: float) -> dict[str, object]:
    """One bound."""
    return {"temperature": temperature, "kind": bound.kind, "num_paths": bound.num_paths,
            "draft_length": bound.draft_length, "bound": bound.tokens.mean, "monte_carlo": bound.monte_carlo,
            "stderr": bound.tokens.stderr, "contexts": len(bound.by_context), "samples": bound.settings["samples"],
            "seconds": seconds}


def by_samples(pair: object) -> list[dict[str, object]]:
    """One shape with more and more paths: what few of them loosen, and the time of the shape alone."""
    rows = []
    for samples in (64, 128, 256, 512):
        start = time.perf_counter()
        bound = ot.path_bound(pair, ot.load_trace("pocket"), 4, 8, contexts=CONTEXTS, seed=SEED, samples=samples,
                              progress=False)
        rows.append(row(bound, 1.0, time.perf_counter() - start))
    return rows


def main() -> None:
    """Measure and save."""
    import torch

    torch.set_num_threads(1)
    pair = ot.load_pair("pocket", device="cpu")
    rows = [found for temperature in TEMPERATURES for kind in KINDS for found in measured(pair, temperature, kind)]
    save("path_bound", rows, "torch")
    save("path_bound_samples", by_samples(pair), "torch")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
