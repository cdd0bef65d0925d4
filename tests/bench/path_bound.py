"""The dual bound on the pocket pair: every shape at both temperatures, with its time, and how it depends on samples.

Rules and the shares of the bound that they reach are those of ``tests.bench.paths``, measured on more contexts.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time

import numpy as np

import otspec as ot
from otspec.decode.arguments import check_warp
from otspec.recording.along import laws_after
from otspec.recording.path_bound import KINDS, path_bounds
from otspec.recording.paths import record_paths, spread
from tests.bench.harness import save

SHAPES = tuple((paths, length) for length in (4, 8) for paths in (1, 2, 4, 8))
TEMPERATURES = (1.0, 0.6)
CONTEXTS, SAMPLES, SEED = 64, 256, 5
SETS = 32  # paths per context that block verification is averaged over


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


def one_path(pair: object) -> list[dict[str, object]]:
    """The bound of one path less what block verification emits on other paths after the same contexts."""
    trace, rows = ot.load_trace("pocket"), []
    for length in (4, 8):
        bound = ot.path_bound(pair, trace, 1, length, contexts=CONTEXTS, seed=SEED, samples=SAMPLES, progress=False)
        batches = record_paths(pair, trace, num_paths=1, draft_length=length, contexts=CONTEXTS, sets=SETS,
                               seed=SEED + 1)
        kept = 1.0 + np.concatenate([ot.verifier("block").expected_accepted(*(part[:, 0] for part in batch))
                                     for batch in batches]).reshape(CONTEXTS, SETS)
        error = float(np.hypot(bound.monte_carlo, np.sqrt(kept.var(axis=1, ddof=1).sum() / SETS) / CONTEXTS))
        off = bound.tokens.mean - float(kept.mean())
        rows.append({"check": "one path: bound - block", "draft_length": length, "num_paths": 1, "difference": off,
                     "stderr": error, "z": off / error, "contexts": CONTEXTS, "samples": SAMPLES})
    return rows


def one_token(pair: object) -> list[dict[str, object]]:
    """The largest distance of the bound one token deep from the optimum of the same laws, context by context."""
    trace, rows = ot.load_trace("pocket"), []
    for paths in (1, 2, 4, 8):
        bound = ot.path_bound(pair, trace, paths, 1, contexts=CONTEXTS, progress=False)
        laws = (laws_after(pair, [text], check_warp(1.0, None, None), 128) for text in
                spread(list(trace.prompts), CONTEXTS))
        best = [1.0 + float(ot.optimal_acceptance(target[0].numpy(), draft[0].numpy(), paths))
                for target, draft in laws]
        rows.append({"check": "one token: |bound - optimum|, largest", "draft_length": 1, "num_paths": paths,
                     "difference": float(np.abs(bound.by_context - best).max()), "contexts": CONTEXTS})
    return rows


def main() -> None:
    """Measure and save."""
    import torch

    torch.set_num_threads(1)
    pair = ot.load_pair("pocket", device="cpu")
    save("path_bound_one_token", one_token(pair), "torch")
    if "--one-token" in sys.argv:
        return
    save("path_bound_one_path", one_path(pair), "torch")
    if "--checks" in sys.argv:
        return
    rows = [found for temperature in TEMPERATURES for kind in KINDS for found in measured(pair, temperature, kind)]
    save("path_bound", rows, "torch")
    save("path_bound_samples", by_samples(pair), "torch")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
