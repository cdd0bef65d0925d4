"""Speculative Jacobi decoding with the target model of a pair.

Every call reads the texts from their first token: what counts here is the number of calls, not their time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, check_seed
from otspec.core.laws import law_from_logits
from otspec.core.progress import progress_bar
from otspec.decode.arguments import as_token_lists, check_warp
from otspec.decode.drafters.paths import Paths
from otspec.decode.room import check_room
from otspec.decode.streams import sequence_seeds
from otspec.neighbours.jacobi import JacobiRun, Loop, Reader, check_names


def decode_jacobi(pair: Any, prompts: Iterable[Any], window: int, *, max_new_tokens: int, seed: int,
                  coupling: str = "maximal", fill: str = "random", temperature: float = 1.0, top_k: int | None = None,
                  top_p: float | None = None, progress: bool = True) -> JacobiRun:
    """Emit one text after every prompt by speculative Jacobi decoding.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
    window : int
        Drafted tokens that one target call reads.
    max_new_tokens : int
        Length of every text; an end-of-text token does not end it.
    seed : int
    coupling, fill
        As in `otspec.jacobi`; ``fill="draft"`` draws the new tokens from the pair's draft model, one call each.
    temperature, top_k, top_p
        Applied to both models.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    JacobiRun
        Its texts have the law of plain sampling from the target. [sjd]

    Raises
    ------
    BadArgument, NotALaw, TooLarge

    Examples
    --------
    >>> pair = ot.load_pair("pocket", device="cpu")
    >>> run = decode_jacobi(pair, ["def f(x):"], 4, max_new_tokens=8, seed=0)
    >>> run.texts.shape, bool(run.calls[0] <= 8)
    ((1, 8), True)
    """
    check_names(coupling, fill)
    texts = as_token_lists(pair, prompts)
    width, length = check_positive("window", window), check_positive("max_new_tokens", max_new_tokens)
    warp, ends = check_warp(temperature, top_k, top_p), np.array([len(text) for text in texts])
    check_room(pair, Paths(1, width), int(ends.max()) + length)
    padded = np.zeros((len(texts), int(ends.max())), dtype=np.int64)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    loop = Loop(model_reader(pair.target, pair, warp), pair.vocab_size, width, length, coupling, fill,
                model_reader(pair.draft, pair, warp) if fill == "draft" else None)
    seeds = sequence_seeds(check_seed(seed), 0, len(texts))
    with progress_bar(len(texts), "texts", progress) as bar:
        emitted, calls = loop.run(padded, ends, np.random.default_rng(seed), seeds, bar.update)
    return JacobiRun(emitted, calls, {"window": width, "coupling": coupling, "fill": fill, "seed": seed, **warp})


def model_reader(model: Any, pair: Any, warp: dict[str, Any]) -> Reader:
    """Laws of a model of the pair, as `Loop` reads them."""

    def read(text: np.ndarray, ends: np.ndarray, count: int) -> np.ndarray:
        import torch

        # what stands behind a row's own tokens is not seen by them: attention looks back only
        ids = torch.from_numpy(text[:, : int(ends.max()) + count - 1]).to(pair.device)
        places = torch.from_numpy(ends[:, None] - 1 + np.arange(count)).to(pair.device)
        with torch.inference_mode():
            logits = model(input_ids=ids, use_cache=False).logits[..., : pair.vocab_size]
            chosen = logits.gather(1, places[..., None].expand(-1, -1, logits.shape[-1]))
            return law_from_logits(chosen, **warp).cpu().numpy()

    return read
