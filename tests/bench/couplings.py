"""Couplings at large vocabularies: ``python -m tests.bench.couplings``.

Time of one selection for 64 laws beside a plain Gumbel-max sample of the same laws in NumPy, and the bits of the
communicated protocol, expected and counted over runs, beside the bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import otspec as ot
from tests.bench.harness import by_turns, peaked_pair, rows, save

BATCH, VOCABULARIES = 64, (32_000, 151_936)
EPSILONS, RUNS = (0.1, 0.01, 0.001), 2_000
FLOOR = "plain_gumbel_max"


def speed(vocabulary: int) -> list[dict[str, Any]]:
    """Every coupling of one party, and a plain sample, by turns."""
    laws = np.stack([peaked_pair(vocabulary, seed)[0] for seed in range(BATCH)])
    noise, rng = ot.Noise(0, np.arange(BATCH)), np.random.default_rng(0)

    def plain() -> np.ndarray:
        return np.argmax(np.log(laws) + rng.gumbel(size=laws.shape), axis=-1)

    candidates: dict[str, Callable[[], object]] = {FLOOR: plain}
    for name in ot.list_couplings("coupling"):
        candidates[name] = partial(ot.coupling(name).select, laws, noise)
    return rows(by_turns(candidates, repeats=7), FLOOR, vocabulary=vocabulary, batch=BATCH)


def protocol(vocabulary: int) -> Iterator[dict[str, Any]]:
    """Bits and agreement of the protocol for one pair of laws."""
    target, draft = peaked_pair(vocabulary)
    step = max(1, 2**21 // vocabulary)
    for epsilon in EPSILONS:
        rule = ot.coupling("communicated", epsilon=epsilon)
        parts = [rule.couple(target, draft, ot.Noise(1, np.arange(start, min(RUNS, start + step))))
                 for start in range(0, RUNS, step)]
        counted = ot.Estimate.from_samples(np.concatenate([part.bits for part in parts]))
        same = ot.Estimate.from_samples(np.concatenate([part.target == part.draft for part in parts]))
        yield {"vocabulary": vocabulary, "epsilon": epsilon, "runs": RUNS,
               "expected_bits": float(rule.bits(target, draft)), "counted_bits": counted.mean,
               "counted_stderr": counted.stderr, "bound": rule.bits_bound(vocabulary),
               "agreement": float(rule.agreement(target, draft)), "counted_agreement": same.mean,
               "agreement_stderr": same.stderr, "ceiling": float(ot.overlap(target, draft))}


if __name__ == "__main__":
    save("couplings", [row for vocabulary in VOCABULARIES for row in speed(vocabulary)], "numba")
    save("protocol", [row for vocabulary in (2_048, *VOCABULARIES) for row in protocol(vocabulary)], "numba")
