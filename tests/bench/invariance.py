"""Drafter invariance on the pocket models: ``python -m tests.bench.invariance``.

With a coupling the text is a function of seed and target. Texts are decoded with three draft models, three draft
lengths, two batch sizes and one or four drafts, and compared token by token with the target's own, decoded without any
draft. What the invariance costs is the number of tokens per target call beside rules that see both laws.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

import otspec as ot
from otspec.decode.models import POCKET
from tests.bench.harness import save

PROMPTS, LENGTH, SEED = 16, 96, 3
DRAFTS = {"pocket draft": "draft", "pocket small": "draft-small", "target itself": "target"}
LENGTHS, BATCHES, PATHS = (1, 4, 8), (3, 16), (1, 4)
PRICE = (("gumbel", 1), ("gumbel", ot.WithoutReplacement(4)), ("list_gumbel", 1), ("list_gumbel", 4),
         ("minhash", 1), ("shared_uniform", 1), ("token_wise", 1), ("block", 1), ("recursive", 4), ("traversal", 4),
         ("winner_block", 4))


def prompts(count: int) -> list[list[int]]:
    """First tokens of evenly spaced contexts of the bundled trace."""
    contexts = ot.load_trace("pocket").prompts
    return [list(contexts[i])[:32] for i in np.linspace(0, len(contexts) - 1, count).round().astype(int)]


def invariance() -> Iterator[dict[str, Any]]:
    """One row per coupling and setting: tokens emitted, and how many differ from those without a draft."""
    pairs = {name: ot.load_pair(target=str(POCKET / "target"), draft=str(POCKET / folder))
             for name, folder in DRAFTS.items()}
    settings = {"max_new_tokens": LENGTH, "stop_token": None, "seed": SEED, "predict": False}
    for name in ("gumbel", "list_gumbel"):
        rule = ot.coupling(name)
        alone = ot.generate(pairs["pocket draft"], prompts(PROMPTS), verifier=rule, draft_length=0, **settings).tokens
        for (draft, pair), length, batch, paths in itertools.product(pairs.items(), LENGTHS, BATCHES, PATHS):
            scheme = rule.list_scheme(paths) if paths > 1 else 1
            run = ot.generate(pair, prompts(PROMPTS), verifier=rule, scheme=scheme, draft_length=length,
                              batch_size=batch, **settings)
            differing = sum(a != b for text, other in zip(run.tokens, alone, strict=True)
                            for a, b in zip(text, other, strict=True))
            yield {"part": "invariance", "coupling": name, "draft": draft, "draft_length": length, "batch": batch,
                   "drafts": paths, "emitted": sum(map(len, run.tokens)), "differing": differing,
                   "tokens_per_call": run.block_efficiency.mean, "stderr": run.block_efficiency.stderr}


def price() -> Iterator[dict[str, Any]]:
    """One row per rule on the pocket pair: tokens per target call at four drafted tokens per path."""
    pair = ot.load_pair("pocket")
    for rule, scheme in PRICE:
        run = ot.generate(pair, prompts(128), verifier=rule, scheme=scheme, draft_length=4, max_new_tokens=48,
                          stop_token=None, seed=SEED, predict=False)
        drafts = scheme if isinstance(scheme, int) else scheme.num_drafts
        yield {"part": "price", "coupling": rule, "draft": "pocket draft", "draft_length": 4, "batch": 128,
               "drafts": drafts, "emitted": sum(map(len, run.tokens)), "differing": None,
               "tokens_per_call": run.block_efficiency.mean, "stderr": run.block_efficiency.stderr}


if __name__ == "__main__":
    save("invariance", [*invariance(), *price()], "torch", "transformers")
