"""Goodput: time per token that a fitted time model predicts, against the decoder's own, at sizes it never saw.

Every batch size and length is visited by turns, those of the fit and those of the test alike, so that a busy machine is
busy for all. Predicted: the fitted seconds of a round over the tokens per call that recorded blocks of other contexts
promise. Measured: the seconds of a round of a full batch over the tokens per call of a decoding run. Every other visit
counts the time of this process (one thread: what the wall clock shows on a free core), the rest count wall time, which
other work on the machine stretches; medians over rounds in both cases.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import itertools
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

import otspec as ot
from otspec.decode.step_times import Round, step_rows, timed_rounds
from otspec.policies.length import Goodput, TimeModel
from tests.bench.harness import save

FIT_BATCHES, TEST_BATCHES = (1, 2, 4, 16, 48), (1, 8, 32)
FIT_LENGTHS, TEST_LENGTHS, LONGEST = (0, 2, 6), (0, 1, 3, 4), 8
CLOCKS = {"process": time.process_time, "wall": time.perf_counter}
VISITS, ROUNDS, CONTEXTS, SEED = 6, 6, 256, 5


def visits(pair: object, prompts: Sequence[object]) -> dict[tuple[str, str, int, int], list[Round]]:
    """Timed rounds by clock, purpose (fit or test), batch size and length."""
    sizes = [("fit", batch, length) for batch in FIT_BATCHES for length in FIT_LENGTHS]
    sizes += [("test", batch, length) for batch in TEST_BATCHES for length in TEST_LENGTHS]
    found: dict[tuple[str, str, int, int], list[Round]] = defaultdict(list)
    for visit in range(VISITS):
        for (what, batch, length), (name, clock) in itertools.product(
                [sizes[i] for i in np.random.default_rng(visit).permutation(len(sizes))], CLOCKS.items()):
            found[name, what, batch, length] += timed_rounds(pair, prompts, batch_size=batch, draft_length=length,
                                                             rounds=ROUNDS, seed=SEED + visit, clock=clock)
    return found


def tokens_per_call(pair: object, prompts: Sequence[object], length: int) -> ot.Estimate:
    """Of block verification, measured by decoding."""
    if length == 0:
        return ot.Estimate(1.0)
    return ot.generate(pair, prompts, draft_length=length, max_new_tokens=32, seed=SEED, predict=False,
                       stop_token=None, batch_size=64).block_efficiency


def main() -> None:
    """Fit, predict, compare."""
    pair, trace = ot.load_pair("pocket", device="cpu"), ot.load_trace("pocket", draft_length=LONGEST)
    calibration, _ = ot.drafted_blocks(trace).halves()
    prompts = trace.prompts[1::2][:CONTEXTS]
    timed = visits(pair, prompts)
    decoded = {length: tokens_per_call(pair, prompts, length) for length in TEST_LENGTHS}
    steps = {name: ot.Table([row for (clock, what, batch, length), rounds in timed.items()
                             if (clock, what) == (name, "fit") for row in step_rows(batch, length, rounds)])
             for name in CLOCKS}
    save("goodput_steps", [{"clock": name, **row} for name, table in steps.items() for row in table.rows], "torch")
    rows = []
    for name, table in steps.items():
        times = TimeModel.fit(table)
        for batch, length in itertools.product(TEST_BATCHES, TEST_LENGTHS):
            rounds = timed[name, "test", batch, length]
            context = float(np.mean([one.context for one in rounds]))
            best = Goodput(times, batch, max_length=LONGEST, context=round(context / batch)).fitted(
                calibration, draft_cost=1.0)
            predicted = times.seconds([length] * batch, context) / batch / (1.0 + calibration.profile[:length].sum())
            seconds = [one.seconds for one in rounds]
            measured = float(np.median(seconds)) / batch / decoded[length].mean
            spread = np.quantile(seconds, [0.1, 0.9]) / np.median(seconds)
            rows.append({"clock": name, "batch_size": batch, "draft_length": length, "best_length": best.length,
                         "predicted_ms_per_token": predicted * 1e3, "measured_ms_per_token": measured * 1e3,
                         "ratio": predicted / measured, "q10": float(spread[0]), "q90": float(spread[1]),
                         "tokens_per_call": decoded[length].mean, "tokens_per_call_stderr": decoded[length].stderr,
                         "rounds": len(seconds)})
    save("goodput", rows, "torch")


if __name__ == "__main__":
    main()
