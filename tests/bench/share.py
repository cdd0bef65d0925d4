"""Share of the rule in a round at the vocabulary of a large model: random weights of a real architecture, batch 64.

The weights are random, so acceptance says nothing; what is timed (models, laws, rule, bookkeeping) does not depend on
them but through the number of rounds. Draft and target are one model with fewer and more layers.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

import otspec as ot
from otspec.decode.models import Pair
from tests.bench.harness import save

SHAPES = (("block", 1, 4), ("optimal_minimal", 4, 4), ("optimal", 4, 4), ("winner_block", 4, 4),
          ("lookahead_block", 4, 4), ("traversal", 4, 4), ("recursive", 4, 4), ("k_seq", 4, 4))


def model(layers: int, vocabulary: int, width: int, device: str, seed: int) -> Any:
    """A Llama of the width of a 0.5B model, weights from a seed, in bfloat16 on a GPU."""
    from transformers import LlamaConfig, LlamaForCausalLM

    shape = LlamaConfig(vocab_size=vocabulary, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers,
                        num_attention_heads=width // 64, num_key_value_heads=width // 64,
                        max_position_embeddings=2048, tie_word_embeddings=True)
    dtype = torch.bfloat16 if device != "cpu" else torch.float32
    with torch.device(device):
        made = LlamaForCausalLM(shape).to(dtype)
    generator = torch.Generator(device).manual_seed(seed)
    with torch.no_grad():
        for name, value in made.named_parameters():
            if "norm" not in name:
                value.copy_(torch.randn(value.shape, generator=generator, device=device) * 0.02)
    return made.eval().requires_grad_(False)


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[32_000, 151_936])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--layers", type=int, nargs=2, default=[24, 4], help="of target and draft")
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--law-dtypes", nargs="+", default=["float64", "float32"])
    parser.add_argument("--out", default="share")
    given = parser.parse_args()
    table = []
    for vocabulary in given.vocabularies:
        target, draft = (model(layers, vocabulary, given.width, given.device, 0) for layers in given.layers)
        pair = Pair(target, draft, None, "random/target", "random/draft", vocabulary,
                    "cuda:0" if given.device == "cuda" else given.device, f"random-{vocabulary}")
        generator = torch.Generator().manual_seed(1)
        prompts = torch.randint(vocabulary, (given.batch, 48), generator=generator).tolist()
        for rule, paths, length in SHAPES:
            for dtype in given.law_dtypes:
                judge = ot.verifier("optimal", paths, kind="minimal") if rule == "optimal_minimal" else rule
                settings = {"verifier": judge, "scheme": paths, "draft_length": length, "stop_token": None,
                            "predict": False, "batch_size": given.batch, "law_dtype": dtype}
                ot.generate(pair, prompts, max_new_tokens=4, **settings)
                run = ot.generate(pair, prompts, max_new_tokens=given.tokens, **settings)
                total, rounds = sum(run.timing.values()), int(run.rounds.max())
                table.append({"vocabulary": vocabulary, "rule": f"{rule} {paths}x{length}", "law_dtype": dtype,
                              "batch": given.batch, "ms_per_round": 1e3 * total / rounds,
                              **{f"{part}_share": seconds / total for part, seconds in run.timing.items()},
                              "peak_gb": (run.peak_bytes or 0) / 1e9, "tokens_per_call": run.block_efficiency.mean,
                              "device": torch.cuda.get_device_name() if given.device == "cuda" else "cpu"})
                save(given.out, table, "torch", "transformers")  # a run that is stopped keeps what it has measured
        del target, draft, pair


if __name__ == "__main__":
    main()
