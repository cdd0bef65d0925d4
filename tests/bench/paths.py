"""Rules for several paths on the pocket pair by paired differences, and their gaps to the stateless optimum.

The paths are drawn once per context and all rules see the same ones. Winner and look-ahead toss coins to choose a
path, so each set of paths is verified with several rows of coins: that noise would hide their difference.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

from collections.abc import Iterator

import numpy as np

import otspec as ot
from otspec.analysis.instances import random_models
from otspec.decode.streams import streams
from otspec.recording.paths import PathBatch, record_paths, shorter
from tests.bench.harness import save

SHAPES = ((2, 4), (2, 8), (4, 4), (4, 8), (8, 4), (8, 8))
SIZES = {1.0: (3, 3), 0.6: (1, 2)}  # by temperature: sets of paths per context, rows of coins per set
RULES = ("traversal", "winner_block", "lookahead_block", "score_block")
COINLESS = ("traversal", "score_block")  # their estimates need none
CONTEXTS, SEED = 512, 11
COIN_STREAMS = 1 << 61  # numbers of the streams of coins, apart from those of the drafts

TOYS = ((3, 2, 2), (5, 2, 2), (3, 3, 2), (3, 2, 3), (2, 3, 3), (2, 4, 2), (4, 2, 2))  # V, L, K
MODELS = 20


def kept(name: str, batch: PathBatch, first: int, coins_per_set: int) -> np.ndarray:
    """Tokens per call ``[n]`` of sets of paths numbered from ``first``, coins averaged."""
    _, paths, length = batch.tokens.shape
    rule = ot.verifier(name, paths)
    rows_of_coins = 1 if name in COINLESS else coins_per_set
    shape = rows_of_coins, rule.num_uniforms(length)
    coins = np.stack([stream.random(shape) for stream in streams(SEED, COIN_STREAMS + first, len(batch.tokens))])
    return 1.0 + np.mean([rule.expected_paths(*batch, coins[:, i]) for i in range(rows_of_coins)], axis=0)


def measured(pair: object, temperature: float) -> dict[tuple[str, int, int], np.ndarray]:
    """Tokens per call after each context ``[CONTEXTS]``, sets averaged, of each rule at each shape."""
    found: dict[tuple[str, int, int], list[np.ndarray]] = {(name, *shape): [] for shape in SHAPES for name in RULES}
    done, (sets, coins) = 0, SIZES[temperature]
    for batch in record_paths(pair, ot.load_trace("pocket"), num_paths=8, draft_length=8, temperature=temperature,
                              contexts=CONTEXTS, sets=sets, seed=SEED):
        for name, paths, length in found:
            found[name, paths, length].append(kept(name, shorter(batch, paths, length), done, coins))
        done += len(batch.tokens)
    return {key: np.concatenate(values).reshape(-1, sets).mean(axis=1) for key, values in found.items()}


def compared(temperature: float, found: dict[tuple[str, int, int], np.ndarray]) -> Iterator[dict[str, object]]:
    """Rows with the level, ratios to Traversal and look-ahead, the difference to winner and block, errors beside."""
    for (name, paths, length), tokens in found.items():
        level = ot.Estimate.from_samples(tokens)
        ratio = ot.Estimate.from_ratio(tokens, found["traversal", paths, length])
        ahead = ot.Estimate.from_ratio(tokens, found["lookahead_block", paths, length])
        gap = ot.Estimate.from_samples(tokens - found["winner_block", paths, length])
        yield {"temperature": temperature, "num_paths": paths, "draft_length": length, "rule": name,
               "efficiency": level.mean, "stderr": level.stderr, "ratio_to_traversal": ratio.mean,
               "ratio_stderr": ratio.stderr, "ratio_to_lookahead": ahead.mean, "lookahead_stderr": ahead.stderr,
               "minus_winner_block": gap.mean,
               "minus_winner_block_stderr": gap.stderr,
               "contexts": CONTEXTS, "sets": SIZES[temperature][0], "coins": SIZES[temperature][1]}


def gaps(size: int, length: int, paths: int) -> Iterator[dict[str, object]]:
    """Share of the stateless optimum that each rule misses on random models whose laws depend on the context."""
    missed: dict[str, list[float]] = {name: [] for name in RULES}
    for seed in range(MODELS):
        target, draft = random_models("dirichlet", size, np.random.default_rng(seed))
        start = np.zeros(size)
        start[0] = 1.0
        target = ot.MarkovModel(target.transition, start)
        best = ot.block_optimum(target, draft, length, num_paths=paths)
        for name in RULES:
            reached = ot.block_efficiency(name, target, draft, length, num_paths=paths).mean
            missed[name].append(1.0 - reached / best.upper)
    for name, values in missed.items():
        yield {"vocabulary": size, "draft_length": length, "num_paths": paths, "rule": name, "models": MODELS,
               "mean_gap": float(np.mean(values)), "max_gap": float(np.max(values))}


def main() -> None:
    """Measure both."""
    save("paths_gap", [row for toy in TOYS for row in gaps(*toy)], "scipy")
    pair = ot.load_pair("pocket")
    save("paths", [row for warmth in SIZES for row in compared(warmth, measured(pair, warmth))], "torch")


if __name__ == "__main__":
    main()
