"""Real language models: acceptance, tokens per call, the planner's choice and decoding speed of SmolLM2 and Gemma 3.

Fetch them first: ``otspec models fetch smollm2``, and ``gemma3`` for its row. Drafts are made from the target: layers
left out (a search over single layers and pairs), or weights rounded to few bits (of Gemma: 4). Prompts are the contexts
of the bundled trace as text: held-out modules and documentation of CPython, the last 48 tokens of each.

Stages are run one by one and each writes its CSV: ``--stages layers acceptance paths``.
Recordings are kept in the cache folder, so a stage that was interrupted goes on.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import torch

import otspec as ot
from otspec.core.files import cache_folder
from otspec.core.shortened import distance, lengthen, shorten, slack
from otspec.core.table import Table
from otspec.core.trace import log_probabilities, probabilities
from otspec.decode.layer_search import search_layers
from otspec.decode.skipping import skipped_layers
from tests.bench.decoding import ASSISTED, Decoded, assisted
from tests.bench.harness import RESULTS, by_turns, save

Row = dict[str, Any]
DRAFT_COUNTS, TEMPERATURES = (2, 4, 8), (1.0, 0.6)
SHAPES = ((2, 4), (4, 4), (4, 8))
RULES = ("traversal", "winner_block", "lookahead_block", "score_block")
TOKENS, LEFT_OUT = 48, 6
SEARCHED, CONTEXTS = 16, {"smollm2": 128, "gemma3": 32}  # contexts of the search are not measured on
KEPT = (256, 1024, 4096, 16384)  # largest masses of a law
ROUNDED = ("quantised:4", "quantised:3")
PATH_CONTEXTS, BLOCK, BOUND_CONTEXTS, BOUND_SAMPLES, SEED = 128, 8, 8, 32, 7
PACKAGES = ("torch", "transformers")
SHARED = "one core of a machine that others used at the same time: times are noisy, ratios side by side less so"


@lru_cache(maxsize=2)
def pair_of(model: str, draft: str) -> Any:
    """Load a target with a draft of its own; the last few stay in memory."""
    return ot.load_pair(target=model, draft=draft, device="cpu")


def prompts(pair: Any, first: int, step: int) -> list[list[int]]:
    """Every ``step``-th context of the bundled trace in the tokens of the pair."""
    pocket = ot.load_pair("pocket", device="cpu")
    texts = [pocket.decode(tokens) for tokens in ot.load_trace("pocket").prompts[first::step]]
    return [pair.encode(text)[-TOKENS:] for text in texts]


def measured_on(pair: Any, model: str) -> list[list[int]]:
    """Contexts of the measurements, apart from those of the search."""
    return prompts(pair, 0, 512 // CONTEXTS[model])


def layers(model: str) -> None:
    """Search the layers to leave out; every draft tried is a row."""
    pair = pair_of(model, "skip:0")
    texts, rows = prompts(pair, 2, 512 // SEARCHED), []
    start = time.perf_counter()

    def note(draft: str, overlap: float) -> None:
        rows.append({"model": model, "draft": draft, "left_out": len(skipped_layers(draft, 1000)), "overlap": overlap,
                     "contexts": len(texts), "positions": len(texts) * min(map(len, texts)),
                     "seconds": round(time.perf_counter() - start, 1)})
        print(draft, round(overlap, 4), flush=True)  # noqa: T201

    search_layers(pair.target, texts, LEFT_OUT, tick=note)
    save(f"real_layers_{model}", rows, *PACKAGES)


def found_draft(model: str) -> str:
    """Return the draft that the search of `layers` found, from its CSV."""
    tried = Table.from_csv(RESULTS / f"real_layers_{model}.csv").rows
    whole = [row for row in tried if row["left_out"] == LEFT_OUT]
    return str(max(whole, key=lambda row: row["overlap"])["draft"])


def recorded(model: str, draft: str, length: int = 0, contexts: int | None = None) -> ot.Trace:
    """Record the laws of a pair, or find them recorded."""
    pair = pair_of(model, draft)
    texts = measured_on(pair, model)[:: 1 if contexts is None else CONTEXTS[model] // contexts]
    name = f"{model}-{draft.replace(':', '-').replace(',', '-')}-{length}-{len(texts)}"
    return ot.record(pair, texts, out=cache_folder() / "bench" / name, draft_length=length, seed=SEED, batch_size=8)


def acceptance(model: str, drafts: tuple[str, ...]) -> Iterator[Row]:
    """Mean acceptance per scheme and number of drafts, with the certified optimum; overlap is that of one draft."""
    for draft in drafts:
        trace = recorded(model, draft)
        for warmth in TEMPERATURES:
            laws = trace if warmth == 1.0 else trace.with_temperature(warmth)
            parts = [accepted(*laws.laws(slice(start, start + 4))) for start in range(0, len(laws), 4)]
            whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            for k in DRAFT_COUNTS:
                yield row_of(whole, k) | {"model": model, "draft": draft, "temperature": warmth, "contexts": len(laws),
                                          "vocabulary": laws.vocab_size}


def accepted(target: np.ndarray, draft: np.ndarray) -> dict[Any, np.ndarray]:
    """Acceptance after some contexts, by number of drafts and rule."""
    found: dict[Any, np.ndarray] = {"overlap": np.minimum(target, draft).sum(axis=-1)}
    for k in DRAFT_COUNTS:
        best, without = (ot.acceptance_bound(target, draft, scheme) for scheme in (k, ot.WithoutReplacement(k)))
        found[k, "optimum"], found[k, "optimum_wor"] = best.upper, without.upper
        found[k, "gap"] = np.maximum(best.gap, without.gap)
        for rule in ("recursive", "k_seq"):
            found[k, rule] = ot.acceptance(rule, target, draft, k)
    return found


def row_of(whole: dict[Any, np.ndarray], k: int) -> Row:
    """Means over contexts with standard errors; the difference is paired."""
    row: Row = {"k": k}
    for name in ("recursive", "k_seq", "optimum", "optimum_wor"):
        value = ot.Estimate.from_samples(whole[k, name])
        row |= {name: value.mean, f"{name}_stderr": value.stderr}
    lost = ot.Estimate.from_samples(whole[k, "optimum"] - whole[k, "k_seq"])
    overlap = ot.Estimate.from_samples(whole["overlap"])
    return row | {"optimum_minus_k_seq": lost.mean, "difference_stderr": lost.stderr, "overlap": overlap.mean,
                  "overlap_stderr": overlap.stderr, "largest_gap": float(whole[k, "gap"].max())}


def paths(model: str) -> None:
    """Tokens per call of rules for several paths on equal drafts, under the bound of any stateless rule."""
    draft = found_draft(model)
    pair = pair_of(model, draft)
    table = ot.compare_sequences(pair, measured_on(pair, model), rules=RULES, num_paths=(2, 4), draft_lengths=(4, 8),
                                 contexts=PATH_CONTEXTS, seed=SEED, bound=None, patience=60.0)
    rows = [row for row in table.rows if (row["paths"], row["draft_length"]) in SHAPES]
    keep = ("rule", "paths", "draft_length", "efficiency", "stderr", "difference", "difference_stderr", "ratio",
            "ratio_stderr", "method")
    save("real_paths", [{"model": model, "draft": draft, **{key: row[key] for key in keep}, "temperature": 1.0,
                         "contexts": PATH_CONTEXTS, "sets": 1} for row in rows], *PACKAGES)


def bound(model: str) -> None:
    """Tokens per call that no stateless rule exceeds, after fewer contexts: it costs rollouts of the target."""
    draft = found_draft(model)
    pair = pair_of(model, draft)
    rows = []
    for count, length in SHAPES[:2]:
        found = ot.path_bound(pair, measured_on(pair, model), count, length, contexts=BOUND_CONTEXTS,
                              samples=BOUND_SAMPLES, seed=SEED)
        table = ot.compare_sequences(pair, measured_on(pair, model), rules=("lookahead_block",), num_paths=(count,),
                                     draft_lengths=(length,), contexts=BOUND_CONTEXTS, seed=SEED, patience=60.0,
                                     bound={(count, length): found})
        rows += [{"model": model, "draft": draft, **row, "bound_samples": BOUND_SAMPLES} for row in table.rows]
        save("real_bound", rows, *PACKAGES)


def shortened(model: str) -> None:
    """What is lost by keeping the largest masses of a recorded law only, and what the bound on it says."""
    whole = recorded(model, ROUNDED[0])
    target, draft = whole.laws(slice(None))
    best = {k: ot.optimal_acceptance(target, draft, k) for k in (1, 4)}
    rows = []
    for keep in KEPT:
        short, lost = [], []
        for law in (target, draft):
            masses, ids = shorten(law, keep)
            logs = log_probabilities(masses)
            short.append(lengthen(probabilities(logs), ids, law.shape[-1]))
            lost.append(distance(law, short[-1]).astype(np.float64))
        for k, optimum in best.items():
            moved = np.abs(ot.optimal_acceptance(*short, k) - optimum)
            limit = slack((lost[0], lost[1]), short[1], ot.WithReplacement(k))
            rows.append({"model": model, "keep": keep, "k": k, "megabytes_per_context": keep * 12e-6,
                         "whole_megabytes": whole.vocab_size * 4e-6, "target_lost": float(lost[0].mean()),
                         "draft_lost": float(lost[1].mean()), "largest_lost": float(max(map(np.max, lost))),
                         "slack": float(limit.mean()), "optimum_moved": float(moved.mean()),
                         "largest_share_of_slack": float((moved / limit).max()), "contexts": len(whole)})
    save(f"real_shortened_{model}", rows, *PACKAGES)


def planner(model: str) -> None:
    """What the planner recommends at a budget of drafted tokens, from recorded blocks: chains only."""
    rows = []
    for draft in (found_draft(model), *ROUNDED[:1]):
        trace = recorded(model, draft, BLOCK, CONTEXTS[model] // 2)
        for budget in (4, BLOCK):
            for cost in (0.01, 0.1, 0.8):
                answer = ot.recommend(trace, budget, draft_cost=cost, curve=False, seed=SEED)
                best = answer.choice
                rows.append({"model": model, "draft": draft, "budget": budget, "draft_cost": cost,
                             "choice": best.candidate.text, "tokens_per_call": best.tokens.mean,
                             "stderr": best.tokens.stderr, "speedup": answer.speedup.mean,
                             "speedup_stderr": answer.speedup.stderr, "contexts": len(trace)})
        save("real_planner", rows, *PACKAGES)


def decoding(model: str) -> None:
    """Tokens a second of plain sampling, Hugging Face assisted generation and otspec, by turns in one run."""
    rows, new = [], 24
    for draft in (found_draft(model), *ROUNDED[:1]):
        pair = pair_of(model, draft)
        texts = measured_on(pair, model)[::32]
        candidates: dict[str, Callable[[], object]] = {f"{ASSISTED} 1x4": assisted(pair, texts, 4, new)}
        for name, rule, count in (("plain", None, 1), ("block 1x4", "block", 1), ("score_block 4x4", "score_block", 4)):
            how = {} if rule is None else {"scheme": count, "draft_length": 4}
            candidates[name] = Decoded(pair, texts, new, 1, verifier=rule, **how)
        seconds = by_turns(candidates, repeats=3)
        base = seconds[f"{ASSISTED} 1x4"]
        for name, values in seconds.items():
            run = getattr(candidates[name], "run", None)
            rows.append({"model": model, "draft": draft, "what": name, "batch": 1,
                         "tokens_per_second": float(np.median(len(texts) * new / values)),
                         "ratio_to_assisted": float(np.median(base / values)),
                         "tokens_per_call": run.block_efficiency.mean if run else None, "prompts": len(texts),
                         "new_tokens": new, "repeats": 3, "note": SHARED})
        save("real_decoding", rows, *PACKAGES)  # what is finished is kept


STAGES: dict[str, Callable[[], None]] = {
    "layers": lambda: layers("smollm2"),
    "acceptance": lambda: save("real_acceptance", list(acceptance("smollm2", (found_draft("smollm2"), *ROUNDED))),
                               *PACKAGES),
    "paths": lambda: paths("smollm2"),
    "bound": lambda: bound("smollm2"),
    "planner": lambda: planner("smollm2"),
    "decoding": lambda: decoding("smollm2"),
    "gemma": lambda: save("real_acceptance_gemma3", list(acceptance("gemma3", ROUNDED[:1])), *PACKAGES),
    "shortened": lambda: shortened("gemma3"),
}


def main() -> None:
    """Run the stages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    torch.set_num_threads(1)
    for stage in parser.parse_args().stages:
        STAGES[stage]()


if __name__ == "__main__":
    main()
