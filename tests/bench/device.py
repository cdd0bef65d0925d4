"""The optimal rule on a CUDA device, a batch of 64 contexts at V=151,936, against ``torch.sort`` of the same batch."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import torch

import otspec as ot
from tests.bench.harness import rows, save

SIZE, BATCH, REPEATS = 151_936, 64, 30


def seconds(run: Callable[[], object]) -> np.ndarray:
    """Seconds ``[REPEATS]`` between device events, after three warm-up runs."""
    for _ in range(3):
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


def main() -> int:
    """Measure the minimal law's draw, which never waits for the host; return the exit code."""
    if not torch.cuda.is_available():
        print("tests.bench.device: no CUDA device is present; nothing was measured.", file=sys.stderr)  # noqa: T201
        return 2
    generator = torch.Generator("cuda").manual_seed(0)

    def uniform(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, dtype=torch.float64, device="cuda", generator=generator)

    scores = -1.1 * torch.log1p(torch.arange(SIZE, dtype=torch.float64, device="cuda"))
    noise = [torch.randn(BATCH, SIZE, dtype=torch.float64, device="cuda", generator=generator) for _ in range(2)]
    target, draft = (torch.softmax(scores + n, dim=-1) for n in noise)
    ratio = target / draft
    table: list[dict[str, object]] = []
    for k in (8, 16):
        scheme = ot.WithReplacement(k)
        rule = ot.verifier("optimal", scheme, kind="minimal")
        tokens, coins = scheme.sample(draft, uniform(BATCH, k)), uniform(BATCH, rule.num_uniforms)
        measured = {"torch_sort": seconds(lambda: torch.sort(ratio, dim=-1)),
                    "optimal_minimal": seconds(lambda r=rule, x=tokens, u=coins: r._draw(target, draft, x, u))}
        table += rows(measured, "torch_sort", vocabulary=SIZE, batch=BATCH, k=k,
                      device=torch.cuda.get_device_name())
    for row in table:
        row["us_per_row"] = float(row["median_ms"]) * 1e3 / BATCH
    save("device", table, "torch")
    return 0


if __name__ == "__main__":
    sys.exit(main())
