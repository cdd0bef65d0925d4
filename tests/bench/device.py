"""The optimal rule on a CUDA device, a batch of 64 contexts, against ``torch.sort`` of the same batch.

Every draw is timed as it is launched and as the decoder replays it, recorded once for its shapes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

import numpy as np
import torch

import otspec as ot
from otspec.decode.recorded import WARM, Recorder
from tests.bench.harness import rows, save

SIZES, BATCH, REPEATS = (2_048, 32_000, 151_936), 64, 5
SCHEMES = (ot.WithReplacement, ot.WithoutReplacement)


def seconds(run: Callable[[], object]) -> np.ndarray:
    """Seconds ``[REPEATS]`` between device events, after warm-up runs, in which a call is recorded."""
    for _ in range(WARM + 1):
        run()
    times = []
    for _ in range(REPEATS):
        start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        run()
        stop.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(stop) / 1e3)
    return np.array(times)


def measure(size: int, k: int, generator: torch.Generator) -> list[dict[str, object]]:
    """Rows of one vocabulary and number of drafts: both laws, with and without replacement; laws up to a draw."""
    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, device="cuda", generator=generator)

    scores = -1.1 * torch.log1p(torch.arange(size, dtype=torch.float64, device="cuda"))
    noise = [torch.randn(BATCH, size, dtype=torch.float64, device="cuda", generator=generator) for _ in range(2)]
    target, draft = (torch.softmax(scores + n, dim=-1) for n in noise)
    ratio = target / draft
    measured = {"torch_sort": seconds(lambda: torch.sort(ratio, dim=-1))}
    for make in SCHEMES:
        scheme = make(k)
        tokens = scheme.sample(draft, uniform(BATCH, k))
        for kind in ("universal", "minimal"):
            rule = ot.verifier("optimal", scheme, kind=kind)
            coins = uniform(BATCH, rule.num_uniforms)
            arguments = (target, draft, tokens, coins)
            if size == SIZES[0]:
                measured[f"{make.__name__}_{kind}"] = seconds(partial(rule._draw, *arguments))
            recorder = Recorder()
            measured[f"{make.__name__}_{kind}_recorded"] = seconds(partial(recorder, rule._draw, *arguments))
    return rows(measured, "torch_sort", vocabulary=size, batch=BATCH, k=k, device=torch.cuda.get_device_name())


def main() -> int:
    """Measure the draws, none of which waits for the host; return the exit code."""
    if not torch.cuda.is_available():
        print("tests.bench.device: no CUDA device is present; nothing was measured.", file=sys.stderr)  # noqa: T201
        return 2
    generator = torch.Generator("cuda").manual_seed(0)
    table: list[dict[str, object]] = []
    for size in SIZES:
        for k in (4, 8):
            table += measure(size, k, generator)
            for row in table:
                row["us_per_row"] = float(row["median_ms"]) * 1e3 / BATCH
            save("device", table, "torch")  # a run that is stopped keeps what it has measured
    return 0


if __name__ == "__main__":
    sys.exit(main())
