"""Tokens a second, side by side in one run: plain sampling, Hugging Face assisted generation, otspec with each rule.

Assisted generation drafts exactly the asked length (its knobs lie on the draft's generation configuration) and takes
one prompt at a time, as it does not batch. Everything continues the same prompts by the same number of tokens at
temperature 1; each candidate runs once to warm up, then by turns. Other models: ``--target FOLDER --draft FOLDER``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import otspec as ot
from tests.bench.harness import by_turns, save

ASSISTED = "huggingface_assisted"
SHAPES = (("block", 1, 4), ("winner_block", 4, 4), ("optimal", 4, 4), ("traversal", 4, 4), ("lookahead_block", 4, 4))


def assisted(pair: Any, prompts: list[list[int]], length: int, new: int) -> Callable[[], object]:
    """One prompt after the other through ``generate(assistant_model=...)``."""
    knobs = pair.draft.generation_config
    knobs.num_assistant_tokens, knobs.num_assistant_tokens_schedule = length, "constant"
    knobs.assistant_confidence_threshold = 0.0

    def run() -> None:
        for place, prompt in enumerate(prompts):
            torch.random.default_generator.manual_seed(place)
            ids = torch.tensor([prompt], device=pair.device)
            out = pair.target.generate(ids, attention_mask=torch.ones_like(ids), assistant_model=pair.draft,
                                       do_sample=True, top_k=0, top_p=1.0, temperature=1.0, max_new_tokens=new,
                                       min_new_tokens=new, pad_token_id=0)
            assert out.shape[1] == len(prompt) + new

    return run


def decoded(pair: Any, prompts: list[list[int]], new: int, batch: int, **how: Any) -> Callable[[], object]:
    """The prompts through otspec, ``batch`` at a time."""
    return partial(ot.generate, pair, prompts, max_new_tokens=new, batch_size=batch, stop_token=None, predict=False,
                   **how)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target")
    parser.add_argument("--draft")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--sequences", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", default="decoding")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pair = ot.load_pair(target=given.target, draft=given.draft, device=given.device) if given.target else \
        ot.load_pair("pocket", device=given.device)
    texts = ot.load_trace("pocket").prompts
    if given.target:
        pocket = ot.load_pair("pocket", device="cpu")
        texts = [pair.encode(pocket.decode(text)) for text in texts]
    prompts = [list(text[-48:]) for text in texts[: given.sequences]]
    candidates: dict[str, Callable[[], object]] = {ASSISTED: assisted(pair, prompts, 4, given.tokens)}
    for batch in given.batches:
        candidates[f"plain b{batch}"] = decoded(pair, prompts, given.tokens, batch, verifier=None)
        for rule, paths, length in SHAPES:
            candidates[f"{rule} {paths}x{length} b{batch}"] = decoded(
                pair, prompts, given.tokens, batch, verifier=rule, scheme=paths, draft_length=length)
    seconds = by_turns(candidates, repeats=given.repeats)
    total = len(prompts) * given.tokens
    table = []
    for name, values in seconds.items():
        what, _, batch = name.partition(" b")
        table.append({"what": what, "batch": int(batch or 1), "tokens_per_second": total / float(np.median(values)),
                      "best": total / float(values.min()),
                      "ratio_to_assisted": float(np.median(seconds[ASSISTED] / values)),
                      "ratio_to_plain": float(np.median(seconds[f"plain b{batch or given.batches[0]}"] / values)),
                      "sequences": len(prompts), "new_tokens": given.tokens, "repeats": given.repeats,
                      "device": torch.cuda.get_device_name() if pair.device.startswith("cuda") else "cpu"})
    save(given.out, table, "torch", "transformers")


if __name__ == "__main__":
    main()
