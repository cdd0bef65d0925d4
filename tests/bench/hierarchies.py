"""Trees of chosen tokens and one draw, UniVer's and RheoSampling's, beside independent paths at equal drafted tokens.

At each K and L every drafter proposes K L nodes, L deep: K independent paths; K children of the text's end and a chain
behind each (top tokens and one draw, or without replacement); and the K L best of a dynamic tree (one sampled token
among those of each node, or none). What a rule keeps is its own unbiased estimate; all rules of a drafter see the same
trees. On small models the share of the stateless optimum *of the same drafts* that a rule misses is exact.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Iterator

import numpy as np
import torch

import otspec as ot
from otspec.analysis.instances import random_models
from otspec.core.drafted import DraftedTrees
from otspec.decode.arguments import as_token_lists, check_warp
from otspec.decode.drafters import rheo
from otspec.decode.streams import streams
from otspec.recording.along import sides
from otspec.recording.paths import record_paths, shorter, spread
from tests.bench.harness import save
from tests.bench.paths import TOYS
from tests.decode.drafters.whole_law import all_drafts
from tests.oracles.dual_bound import optimum_on_trees
from tests.verifiers.tree_draws import fixed, prefix_of, shaped_trees

SHAPES = ((2, 4), (4, 4), (2, 8), (4, 8))  # K, L
TEMPERATURES = (1.0, 0.6)
CONTEXTS, SETS, COINS, SEED, PART, MODELS, WIDTH = 128, 1, 8, 23, 16, 20, 4
RULES = {"greedy_tree": ("univer", "greedy_walk", "traversal"), "tree": ("traversal", "winner_block", "recursive_walk"),
         "rheo": ("traversal", "greedy_walk"), "rerank": ("traversal",),
         "paths": ("traversal", "winner_block", "lookahead_block")}
GREEDY, TREES = "greedy_tree", ("greedy_tree", "tree", "rheo", "rerank")


def drafter_of(name: str, paths: int, length: int) -> ot.Drafter:
    """K L nodes, L deep."""
    if name in ("rheo", "rerank"):
        return ot.drafter(name, nodes=paths * length, width=WIDTH, max_depth=length)
    return ot.drafter(name, widths=(paths, *[1] * (length - 1)))


def kept_on_trees(pair: ot.Pair, texts: list[list[int]], name: str, shape: tuple[int, int], warp: dict[str, object],
                  first: int) -> dict[str, np.ndarray]:
    """Tokens per call ``[texts]`` of each rule of a drafter, sets averaged."""
    drafter = drafter_of(name, *shape)
    uniforms = np.stack([one.random((SETS, drafter.num_uniforms)) for one in streams(SEED, first, len(texts))])
    with torch.inference_mode():
        longest = max(map(len, texts)) + shape[1] + 1
        target, draft = sides(pair, texts, warp, longest=longest, branches=True, copies=SETS)
        made = drafter.propose(draft, torch.from_numpy(uniforms.reshape(len(texts) * SETS, -1)))
        rows = target.rows(draft.ends[:, -1], made.tokens, made.parents)
        trees = DraftedTrees(made.tokens, made.parents, drafter.tree, drafter.adaptive_widths, made.copies)
        found = {}
        for rule_name in RULES[name]:
            kind = {"greedy": ot.Greedy, "deterministic": ot.WithReplacement}.get(drafter.tree, ot.WithoutReplacement)
            rule = ot.verifier(rule_name, kind(1 if drafter.tree == "deterministic" else drafter.most_draws))
            coins = np.random.default_rng([SEED, first, 1]).random((COINS, len(rows),
                                                                    rule.num_tree_uniforms(drafter.num_nodes)))
            turns = coins if rule_name == "winner_block" else coins[:1]
            kept = np.mean([rule._expected_trees(trees, rows, made.rows, torch.from_numpy(one)).numpy()
                            for one in turns], axis=0)
            found[rule_name] = 1.0 + kept.reshape(len(texts), SETS).mean(axis=1)
    return found


def measured(pair: ot.Pair, temperature: float) -> Iterator[dict[str, object]]:
    """Levels of all drafters and rules, each paired with Traversal on independent paths."""
    texts = spread(as_token_lists(pair, ot.load_trace("pocket").prompts), CONTEXTS)
    found: dict[tuple[str, str, int, int], list[np.ndarray]] = {}
    warp = check_warp(temperature, None, None)
    for start in range(0, CONTEXTS, PART):
        part = texts[start : start + PART]
        for shape in SHAPES:
            for name in TREES:
                for rule, kept in kept_on_trees(pair, part, name, shape, warp, start).items():
                    found.setdefault((name, rule, *shape), []).append(kept)
    for batch in record_paths(pair, texts, num_paths=4, draft_length=8, temperature=temperature, sets=SETS, seed=SEED):
        for shape in SHAPES:
            for rule in RULES["paths"]:
                bound = ot.verifier(rule, shape[0])
                coins = np.random.default_rng([SEED, 2]).random((1 if rule == "traversal" else COINS,
                                                                 len(batch.tokens), bound.num_uniforms(shape[1])))
                kept = np.mean([bound.expected_paths(*shorter(batch, *shape), one) for one in coins], axis=0)
                found.setdefault(("paths", rule, *shape), []).append(1.0 + kept.reshape(-1, SETS).mean(axis=1))
    for (name, rule, paths, length), parts in found.items():
        tokens, base = np.concatenate(parts), np.concatenate(found["paths", "traversal", paths, length])
        level, ratio = ot.Estimate.from_samples(tokens), ot.Estimate.from_ratio(tokens, base)
        yield {"temperature": temperature, "num_paths": paths, "draft_length": length, "drafted": paths * length,
               "drafter": name, "rule": rule, "efficiency": level.mean, "stderr": level.stderr,
               "ratio_to_traversal_on_paths": ratio.mean, "ratio_stderr": ratio.stderr, "contexts": CONTEXTS,
               "sets": SETS}


class Small:
    """Laws of two Markov models after every prefix, from one context; as `tests.verifiers.tree_draws.Toy`."""

    def __init__(self, size: int, length: int, seed: int) -> None:
        models = random_models("dirichlet", size, np.random.default_rng(seed))
        self.size, self.depth, texts = size, length, np.zeros((1, 1), dtype=np.int64)
        self.target, self.draft = [], []
        for _ in range(length + 1):
            for levels, model in zip((self.target, self.draft), models, strict=True):
                levels.append(model.next_law(texts))
            texts = np.concatenate([np.repeat(texts, size, axis=0), np.tile(np.arange(size), len(texts))[:, None]], 1)

    def rows(self, tree: ot.DraftTree) -> list[np.ndarray]:
        """Laws ``[N V]`` after the nodes of a tree."""
        at = [(len(prefix), int(np.ravel_multi_index(prefix, (self.size,) * len(prefix))) if prefix else 0)
              for prefix in (prefix_of(tree, node) for node in range(len(tree)))]
        return [np.stack([levels[depth][number] for depth, number in at]) for levels in (self.target, self.draft)]


def gaps(size: int, length: int, paths: int) -> Iterator[dict[str, object]]:
    """Share of the stateless optimum of its own drafts that each rule misses, and what it emits."""
    missed: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for seed in range(MODELS):
        toy = Small(size, length, seed)
        pruned = ot.drafter("rheo", nodes=paths * length, width=2, max_depth=length)
        drafts = {GREEDY: list(shaped_trees(toy, fixed(ot.Greedy, min(paths, size), *[1] * (length - 1)), "greedy"))}
        if pruned.num_uniforms * np.log(size) < np.log(20_000):
            drafts["rheo"] = list(all_drafts(pruned, toy, rheo))
        for name, trees in drafts.items():
            best = optimum_on_trees(lambda u, toy=toy: toy.target[len(u)][
                np.ravel_multi_index(u, (size,) * len(u)) if u else 0], trees)
            for rule_name in RULES[name]:
                rule = ot.verifier(rule_name, ot.Greedy(max(2, paths)))
                emitted = 1.0 + sum(chance * rule.expected_accepted(tree, *toy.rows(tree)) for chance, tree in trees)
                missed.setdefault((name, rule_name), []).append((1.0 - emitted / best, emitted))
    for (name, rule_name), pairs in missed.items():
        share, emitted = np.array(pairs).T
        yield {"vocabulary": size, "draft_length": length, "num_paths": paths, "drafter": name, "rule": rule_name,
               "models": MODELS, "mean_gap": float(share.mean()), "max_gap": float(share.max()),
               "min_gap": float(share.min()), "mean_efficiency": float(emitted.mean())}


def main() -> None:
    """Measure both."""
    torch.set_num_threads(1)
    if "--pair-only" not in sys.argv:
        save("hierarchies_gap", [row for toy in TOYS for row in gaps(*toy)], "scipy")
    pair = ot.load_pair("pocket", device="cpu")
    start, rows = time.process_time(), []
    for temperature in TEMPERATURES:
        rows += measured(pair, temperature)
        save("hierarchies", rows, "torch")
    print(f"{time.process_time() - start:.0f} s of processor time")  # noqa: T201


if __name__ == "__main__":
    main()
