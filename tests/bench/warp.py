"""Laws of float32 logits as a model gives them: top-k and top-p against the plain softmax of the same rows.

One core, NumPy and torch, memory that was used before; logits peaked (as of a language model), broad and nearly flat;
laws in both precisions.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import ctypes
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

import otspec as ot
from tests.bench.harness import by_turns, rows, save

ENTRIES, REPEATS = 2**19, 21  # of a batch: 4 MB of float64
VOCABULARIES = (2_048, 49_152, 151_936)
SCALES = {"peaked": 4.0, "broad": 1.0, "flat": 0.01}
SETTINGS: dict[str, dict[str, Any]] = {
    "softmax": {}, "top_p .95": {"top_p": 0.95}, "top_p .5": {"top_p": 0.5}, "top_k 50": {"top_k": 50},
    "top_k 50, top_p .95": {"top_k": 50, "top_p": 0.95},
}
WARM = {"softmax, T = .7": {"temperature": 0.7}, "T = .7, top_p .95": {"temperature": 0.7, "top_p": 0.95}}
SINGLE = {"softmax, float32": {"dtype": "float32"}, "top_p .95, float32": {"dtype": "float32", "top_p": 0.95}}


def sorted_top_p(logits: np.ndarray, top_p: float = 0.95) -> np.ndarray:
    """Top-p by a stable sort of the whole vocabulary, for comparison."""
    law = ot.law_from_logits(logits)
    order = np.argsort(-law, axis=-1, kind="stable")
    ranked = np.take_along_axis(law, order, axis=-1)
    kept = np.empty(law.shape, bool)
    np.put_along_axis(kept, order, np.cumsum(ranked, axis=-1) - ranked < top_p, axis=-1)
    law = np.where(kept, law, 0)
    return law / law.sum(axis=-1, keepdims=True)


def measure(size: int, shape: str, library: str) -> list[dict[str, object]]:
    """Rows of one vocabulary, one shape of logits and one library."""
    batch = max(1, ENTRIES // size)
    scores = SCALES[shape] * np.random.default_rng(0).standard_normal((batch, size), np.float32)
    logits = scores if library == "numpy" else torch.from_numpy(scores)
    candidates: dict[str, Callable[[], object]] = {
        name: partial(ot.law_from_logits, logits, **how) for name, how in (SETTINGS | WARM | SINGLE).items()}
    if library == "torch":
        candidates["torch.softmax alone"] = partial(torch.softmax, logits, -1, dtype=torch.float64)
    if library == "numpy" and shape == "peaked":
        candidates["top_p .95 by sorting"] = partial(sorted_top_p, scores)
    seconds = by_turns(candidates, repeats=REPEATS)
    return rows(seconds, "softmax", vocabulary=size, batch=batch, logits=shape, library=library)


def reuse_memory() -> None:
    """Let the C library keep freed memory: pages fresh from the system cost up to five softmaxes, by chance."""
    keep = ctypes.CDLL(None).mallopt
    keep(-1, 2**30)  # M_TRIM_THRESHOLD
    keep(-3, 2**30)  # M_MMAP_THRESHOLD


def main() -> None:
    """Measure all."""
    reuse_memory()
    torch.set_num_threads(1)
    save("warp", [row for size in VOCABULARIES for shape in SCALES for library in ("numpy", "torch")
                  for row in measure(size, shape, library)], "torch", "numba")


if __name__ == "__main__":
    main()
