"""How good the pocket models are on text they were not trained on: loss in nats, and overlap of two laws.

The overlap `1 - TV(target, draft)` is the probability that single-draft rejection sampling accepts a token
[leviathan2023], so its mean over contexts is the one number that says how far a draft model carries.
"""

from typing import Any

import numpy as np

from otspec.train.corpus import END_OF_TEXT, Corpus, heldout_windows

TEMPERATURES = (1.0, 0.6, 0.2)


def source_loss(model: Any, corpus: Corpus, *, length: int = 512, batch: int = 32) -> tuple[float, int]:
    """Return the mean loss of a model on the held-out sources.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    corpus : Corpus
    length : int
        The sources are laid end to end and cut into windows of that many tokens; each window starts afresh.
    batch : int
        Windows per forward pass.

    Returns
    -------
    (float, int)
        Nats per token and the number of predicted tokens; (nan, 0) if there is no full window.
    """
    import torch

    tokens = [np.asarray([END_OF_TEXT], np.uint16)]
    tokens += [document.tokens for document in corpus.heldout if document.kind == "source"]
    stream = np.concatenate(tokens).astype(np.int64)
    rows = (len(stream) - 1) // length
    if rows == 0:
        return float("nan"), 0
    inputs = torch.from_numpy(stream[: rows * length].reshape(rows, length))
    labels = torch.from_numpy(stream[1 : rows * length + 1].reshape(rows, length))
    total = 0.0
    with torch.inference_mode():
        for begin in range(0, rows, batch):
            rows_in = inputs[begin : begin + batch].to(model.device)
            wanted = labels[begin : begin + batch].to(model.device)
            logits = model(input_ids=rows_in, use_cache=False).logits.float()
            total += torch.nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="sum").item()
    return total / (rows * length), rows * length


def mean_overlap(
    target: Any, draft: Any, corpus: Corpus, *, limit: int | None = None, batch: int = 64
) -> dict[str, float]:
    """Return the mean of `1 - TV(target, draft)` over the next-token laws after held-out contexts.

    Parameters
    ----------
    target, draft : transformers.PreTrainedModel
    corpus : Corpus
    limit : int, optional
        Number of 96-token windows; the laws after the 48th to the 96th token of each count.
    batch : int
        Windows per forward pass.

    Returns
    -------
    dict of str to float
        Temperature (applied to both models) to mean overlap, in [0, 1]; empty if there is no window.
    """
    import torch

    windows = heldout_windows(corpus, limit=limit)
    if not windows:
        return {}
    tokens = torch.from_numpy(np.stack([window.tokens for window in windows]))
    half = tokens.shape[1] // 2
    sums = dict.fromkeys(TEMPERATURES, 0.0)
    with torch.inference_mode():
        for begin in range(0, len(tokens), batch):
            rows = tokens[begin : begin + batch].to(target.device)
            left, right = (model(input_ids=rows, use_cache=False).logits[:, half:].float() for model in (target, draft))
            for temperature in TEMPERATURES:
                laws = [(logits / temperature).softmax(-1) for logits in (left, right)]
                sums[temperature] += torch.minimum(*laws).sum(-1).mean(-1).sum().item()
    return {str(temperature): value / len(tokens) for temperature, value in sums.items()}
