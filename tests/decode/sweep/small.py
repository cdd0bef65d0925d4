"""A tiny pair of models in folders, the request that the tests share, and what a finished sweep holds."""

import numpy as np

from otspec.decode.models import load_pair
from otspec.decode.sweep import decode_sweep

SHAPE = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2,
         "num_key_value_heads": 2, "max_position_embeddings": 128, "eos_token_id": None, "bos_token_id": None}
PROMPTS = [[1 + i, 5, 9 + i] for i in range(7)]
GRID = {"verifier": ["block", "k_seq", "gumbel"], "draft_length": [1, 3], "max_new_tokens": 9, "seed": 4}
SHARD = 3
RECORDED = {"draft_length": 2, "batch_size": 2, "seed": 3, "progress": False}
UNITS = 6 * 3


def folders(root):
    """Write two tiny models; return the arguments of load_pair."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    for number, name in enumerate(("target", "draft")):
        model = LlamaForCausalLM(LlamaConfig(**SHAPE))
        rng = np.random.default_rng(number)
        with torch.no_grad():
            for key, value in model.named_parameters():
                noise = torch.from_numpy(rng.normal(size=tuple(value.shape)))
                value.copy_(1 + 0.1 * noise if "norm" in key else 0.4 * noise)
        model.save_pretrained(root / name)
    return {"target": str(root / "target"), "draft": str(root / "draft"), "device": "cpu", "dtype": "float64"}


def sweep(models, out, **options):
    """Run the shared request."""
    return decode_sweep(models, PROMPTS, GRID, out=out, shard_size=SHARD, progress=False, **options)


def numbers(folder):
    """Bytes of all shards."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.glob("*/[0-9]*.safetensors"))}


def notes(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.glob("*/[0-9]*.json"))


def load(models):
    return load_pair(**models)
