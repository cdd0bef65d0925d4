"""Tokens a second, side by side in one run: plain sampling, Hugging Face assisted generation, otspec with each rule.

Assisted generation drafts exactly the asked length (its knobs lie on the draft's generation configuration) and takes
one prompt at a time, as it does not batch. Everything continues the same prompts by the same number of tokens at
temperature 1; each candidate runs once to warm up, then by turns. Other models: ``--target FOLDER --draft FOLDER``.
``--turns N`` decodes N batches of each size, which on a GPU takes less long than all prompts at batch 1.
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


class Decoded:
    """The prompts through otspec, ``batch`` at a time; keeps the run, whose time split goes into the table."""

    def __init__(self, pair: Any, prompts: list[list[int]], new: int, batch: int, **how: Any) -> None:
        self.tokens, self.run = len(prompts) * new, None
        self._decode = partial(ot.generate, pair, prompts, max_new_tokens=new, batch_size=batch, stop_token=None,
                               predict=False, **how)

    def __call__(self) -> None:
        """Decode."""
        self.run = self._decode()

    def split(self) -> dict[str, float]:
        """Shares of the parts of the last run, its tokens per target call, and its most memory."""
        total = sum(self.run.timing.values())
        return {**{f"{part}_share": seconds / total for part, seconds in self.run.timing.items()},
                "tokens_per_call": self.run.block_efficiency.mean, "peak_mb": (self.run.peak_bytes or 0) / 1e6}


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
    parser.add_argument("--turns", type=int, help="batches of each size, instead of --sequences")
    parser.add_argument("--assisted", type=int, help="prompts of assisted generation, if not all")
    parser.add_argument("--law-dtype", default="float64")
    parser.add_argument("--out", default="decoding")
    given = parser.parse_args()
    torch.set_num_threads(1)
    pair = ot.load_pair(target=given.target, draft=given.draft, device=given.device) if given.target else \
        ot.load_pair("pocket", device=given.device)
    texts = ot.load_trace("pocket").prompts
    if given.target:
        pocket = ot.load_pair("pocket", device="cpu")
        texts = [pair.encode(pocket.decode(text)) for text in texts]
    prompts = [list(text[-48:]) for text in texts]
    few = prompts[: given.assisted or given.sequences]
    candidates: dict[str, Callable[[], object]] = {ASSISTED: assisted(pair, few, 4, given.tokens)}
    for batch in given.batches:
        part = [prompts[i % len(prompts)] for i in range(given.turns * batch if given.turns else given.sequences)]
        how = {"law_dtype": given.law_dtype}
        candidates[f"plain b{batch}"] = Decoded(pair, part, given.tokens, batch, verifier=None, **how)
        for rule, paths, length in SHAPES:
            candidates[f"{rule} {paths}x{length} b{batch}"] = Decoded(
                pair, part, given.tokens, batch, verifier=rule, scheme=paths, draft_length=length, **how)
    seconds = by_turns(candidates, repeats=given.repeats)
    speed = {name: getattr(candidates[name], "tokens", len(few) * given.tokens) / values
             for name, values in seconds.items()}
    columns, table = candidates[f"plain b{given.batches[0]}"].split(), []
    for name, values in speed.items():
        what, _, batch = name.partition(" b")
        split = candidates[name].split() if isinstance(candidates[name], Decoded) else dict.fromkeys(columns, "")
        table.append({"what": what, "batch": int(batch or 1), "tokens_per_second": float(np.median(values)),
                      "best": float(values.max()), "ratio_to_assisted": float(np.median(values / speed[ASSISTED])),
                      "ratio_to_plain": float(np.median(values / speed[f"plain b{batch or given.batches[0]}"])),
                      **split, "new_tokens": given.tokens, "repeats": given.repeats, "law_dtype": given.law_dtype,
                      "device": torch.cuda.get_device_name() if pair.device.startswith("cuda") else "cpu"})
    save(given.out, table, "torch", "transformers")


if __name__ == "__main__":
    main()
