"""What a pocket model is made of: its shape, its first weights, the rows of each step and the loss.

Everything here is a function of its arguments: the weights are drawn from a seed on the CPU, and the rows of a
step depend on (seed, step) only, so a training can be cut into pieces without changing it.
"""

import contextlib
import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.decode.weights import quiet

VOCAB_SIZE = 2048
MAX_POSITIONS = 1024
INITIAL_SCALE = 0.02
# weight and temperature of each total variation in the distillation loss: most decoding happens at or below 1
DISTILLATION = ((0.7, 1.0), (0.3, 0.6))


@dataclass(frozen=True)
class Recipe:
    """Shape of one Llama model and the length of its training.

    Attributes
    ----------
    hidden, layers, intermediate, heads : int
        Width, depth, width of the feed-forward part, attention heads.
    passes : float
        How often the training tokens are seen.
    distil_from : float
        Share of the steps after which the loss turns from cross-entropy to distillation; 1 means never.
    """

    hidden: int
    layers: int
    intermediate: int
    heads: int
    passes: float
    distil_from: float = 1.0


def new_model(recipe: Recipe, seed: int) -> Any:
    """Return a Llama model with weights drawn from `seed` on the CPU; torch's global generator is left alone."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=recipe.hidden,
        intermediate_size=recipe.intermediate,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.heads,
        max_position_embeddings=MAX_POSITIONS,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng(devices=[]), quiet():
        model = LlamaForCausalLM(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, INITIAL_SCALE, generator=generator)
    return model


def training_loss(model: Any, rows: Any, target: Any) -> Any:
    """Return the cross-entropy of the next token or, given a target, the weighted total variation against it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    rows : torch.Tensor of int64 [rows context+1]
    target : transformers.PreTrainedModel or None

    Returns
    -------
    torch.Tensor []
        Nats per token, or a weighted mean of total variations in [0, 1].
    """
    import torch

    on_cuda = rows.device.type == "cuda"
    inputs = rows[:, :-1]
    with torch.autocast("cuda", dtype=torch.bfloat16) if on_cuda else contextlib.nullcontext():
        logits = model(input_ids=inputs, use_cache=False).logits
        if target is not None:
            with torch.no_grad():
                wanted = target(input_ids=inputs, use_cache=False).logits.float()
    logits = logits.float()
    if target is None:
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
    loss = logits.new_zeros(())
    for weight, temperature in DISTILLATION:
        difference = (logits / temperature).softmax(-1) - (wanted / temperature).softmax(-1)
        loss = loss + weight * 0.5 * difference.abs().sum(-1).mean()
    return loss


def batch_starts(tokens: int, context: int, rows: int, seed: int, step: int) -> np.ndarray:
    """Return where the rows of a step start in the token stream.

    Every pass cuts the stream at another offset and visits its windows in another order; both depend on the seed
    and the pass only, so a resumed run sees what an uninterrupted one sees.

    Returns
    -------
    ndarray of int64 [rows]
        Each at most ``tokens - context - 1``: a row needs one token more, to be predicted.

    Examples
    --------
    >>> sorted(batch_starts(tokens=41, context=10, rows=3, seed=0, step=0) % 10 == 0) in ([False] * 3, [True] * 3)
    True
    """
    windows = max(1, (tokens - 1) // context - 1)
    slack = min(context, tokens - windows * context)
    starts = []
    for index in range(step * rows, (step + 1) * rows):
        epoch, position = divmod(index, windows)
        order, offset = _pass_order(windows, slack, seed, epoch)
        starts.append(offset + context * order[position])
    return np.asarray(starts, dtype=np.int64)


@functools.lru_cache(maxsize=2)
def _pass_order(windows: int, slack: int, seed: int, epoch: int) -> tuple[np.ndarray, int]:
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(windows), int(rng.integers(slack))
