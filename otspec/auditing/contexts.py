"""Laws of both models along texts that are given: what samples are audited against.

A model is that of a pair, read with all of a text at once, or a `MarkovModel`, which needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.laws import law_from_logits, temper, truncate
from otspec.core.markov import MarkovModel, check_models

BUDGET = 2**25  # numbers of one chunk of laws


def check_source(pair: Any) -> None:
    """Refuse what is neither a pair of models, nor one Markov model, nor two of one vocabulary.

    Raises
    ------
    BadArgument, ShapeMismatch
    """
    if isinstance(pair, MarkovModel) or all(hasattr(pair, name) for name in ("target", "draft", "vocab_size")):
        return
    if not isinstance(pair, tuple) or len(pair) != 2:
        held = f"tuple of {len(pair)}" if isinstance(pair, tuple) else type(pair).__name__
        raise BadArgument(f"pair: a {held} holds no laws. Fix: otspec.load_pair(...), a MarkovModel, or two of them.")
    check_models(*pair)


def laws_along_texts(pair: Any, prompt: Sequence[int], texts: Sequence[Sequence[int]],
                     warp: dict[str, Any]) -> Iterator[tuple[int, np.ndarray, np.ndarray | None]]:
    """Number of each text, and the laws ``[T V]`` of target and draft before each of its tokens."""
    if isinstance(pair, MarkovModel):
        for number, text in enumerate(texts):
            yield number, _warped(_markov_rows(pair, prompt, text), warp), None
        return
    if isinstance(pair, tuple):
        for number, text in enumerate(texts):
            rows = [_warped(_markov_rows(model, prompt, text), warp) for model in pair]
            yield number, rows[0], rows[1]
        return
    longest = len(prompt) + max(map(len, texts))
    step = max(1, BUDGET // (longest * pair.vocab_size))
    for start in range(0, len(texts), step):
        chunk = texts[start:start + step]
        both = [_model_rows(model, prompt, chunk, pair, warp) for model in (pair.target, pair.draft)]
        for place, (target, draft) in enumerate(zip(*both, strict=True)):
            yield start + place, target, draft


def _markov_rows(model: MarkovModel, prompt: Sequence[int], text: Sequence[int]) -> np.ndarray:
    if len(prompt) < model.order:
        raise BadArgument(f"prompts: {len(prompt)} tokens for a model of order {model.order}. Fix: at least "
                          f"{model.order} tokens in each prompt.")
    whole = [*prompt, *text]
    ends = range(len(prompt), len(whole))
    return model.next_law(np.array([whole[end - model.order:end] for end in ends]))


def _warped(rows: np.ndarray, warp: dict[str, Any]) -> np.ndarray:
    rows = temper(rows, warp["temperature"]) if warp["temperature"] != 1 else rows
    if warp["top_k"] is None and warp["top_p"] is None:
        return rows
    return truncate(rows, top_k=warp["top_k"], top_p=warp["top_p"])


def _model_rows(model: Any, prompt: Sequence[int], texts: Sequence[Sequence[int]], pair: Any,
                warp: dict[str, Any]) -> list[np.ndarray]:
    """Rows of every text; texts stand to the left, so that what pads them is never looked at."""
    import torch

    width = len(prompt) + max(map(len, texts))
    ids = torch.zeros(len(texts), width, dtype=torch.int64)
    mask = torch.zeros(len(texts), width, dtype=torch.int64)
    for row, text in enumerate(texts):
        ids[row, : len(prompt) + len(text)] = torch.tensor([*prompt, *text])
        mask[row, : len(prompt) + len(text)] = 1
    with torch.inference_mode():
        logits = model(input_ids=ids.to(pair.device), attention_mask=mask.to(pair.device)).logits
    logits = logits[:, len(prompt) - 1:-1, : pair.vocab_size].double().cpu().numpy()
    return [law_from_logits(logits[row, : len(text)], **warp) for row, text in enumerate(texts)]
