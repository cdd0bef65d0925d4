"""The planner against Sequoia on the pocket pair: the choice on fresh contexts, and decoded.

Planned on the contexts of the bundled trace, where draft steps are all but free, so that tokens per call decide.
Measured on windows of held-out documents that the trace does not hold, contexts paired; then decoded from those
windows, where the tokens per call of a run stand beside what its own laws predict.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

import otspec as ot
from otspec.decode.arguments import check_warp
from otspec.planner.lines import python_line
from otspec.planner.rounds import tokens_per_call
from otspec.train.corpus import build_corpus, heldout_windows
from tests.bench.harness import save

BUDGETS = (8, 16, 32)
DRAFT_COST, SETS = 1e-6, 2
FRESH, DECODED, NEW_TOKENS, SEED = 512, 96, 40, 5


def fresh_contexts(pair: Any) -> list[list[int]]:
    """Windows of held-out documents that no planner has seen."""
    known = {tuple(prompt) for prompt in ot.load_trace("pocket").prompts}
    windows = heldout_windows(build_corpus(pair.tokenizer.backend_tokenizer))
    return [text for text in (window.tokens.tolist() for window in windows) if tuple(text) not in known][:FRESH]


def planned(pair: Any, texts: list[list[int]], budget: int, temperature: float) -> Iterator[dict[str, object]]:
    """Choice, Sequoia and the default: predicted on the planner's held-out contexts, measured on fresh ones."""
    start = time.process_time()
    answer = ot.recommend(pair, budget, draft_cost=DRAFT_COST, temperature=temperature, curve=False, sets=SETS,
                          seed=SEED)
    seconds = time.process_time() - start
    rivals = [one for one in answer.runners_up if one.candidate.family in ("sequoia", "default")]
    shown = [answer.choice, *rivals]
    kept = tokens_per_call(pair, texts, [one.candidate.method for one in shown], check_warp(temperature, None, None),
                           seed=SEED + 100)
    sequoia = next(row for one, row in zip(shown, kept, strict=True) if one.candidate.family == "sequoia")
    for one, row in zip(shown, kept, strict=True):
        measured, ratio = ot.Estimate.from_samples(row), ot.Estimate.from_ratio(row, sequoia)
        gap, spread = measured.mean - one.tokens.mean, float(np.hypot(measured.stderr, one.tokens.stderr))
        yield {"temperature": temperature, "budget": budget, "family": one.candidate.family,
               "method": one.candidate.text, "calibrated": one.calibrated, "predicted": one.tokens.mean,
               "predicted_stderr": one.tokens.stderr, "measured": measured.mean, "measured_stderr": measured.stderr,
               "difference_percent": 100 * gap / measured.mean, "z": gap / spread, "over_sequoia": ratio.mean,
               "over_sequoia_stderr": ratio.stderr, "contexts": FRESH, "planning_cpu_seconds": seconds,
               **(decoded(pair, texts, one, temperature) if one is answer.choice else dict.fromkeys(DECODED_COLUMNS))}


DECODED_COLUMNS = ("decoded", "decoded_stderr", "decoded_predicted", "decoded_z", "sequences")


def decoded(pair: Any, texts: list[list[int]], one: Any, temperature: float) -> dict[str, object]:
    """Tokens per call of a run of the line that the planner prints."""
    line = python_line(one.candidate, temperature).removesuffix(")")
    names = {"ot": ot, "pair": pair, "prompts": texts[:DECODED]}
    run = eval(f"{line}, seed={SEED}, max_new_tokens={NEW_TOKENS}, stop_token=None)", names)
    return dict(zip(DECODED_COLUMNS, (run.block_efficiency.mean, run.block_efficiency.stderr,
                                      run.predicted_efficiency.mean, run.z_score, DECODED), strict=True))


def main() -> None:
    """Measure both temperatures and all budgets, or those that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0, 0.6])
    parser.add_argument("--out", default="planner")
    given = parser.parse_args()
    pair = ot.load_pair("pocket", device="cpu")
    texts = fresh_contexts(pair)
    rows: list[dict[str, object]] = []
    for warmth in given.temperatures:
        for budget in BUDGETS:
            rows += planned(pair, texts, budget, warmth)
            save(given.out, rows, "torch")  # what is finished is kept


if __name__ == "__main__":
    main()
