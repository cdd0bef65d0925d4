"""Heads of the pocket target for blockwise drafts: a closed form, then a short distillation.

Closed form: ``A_i, b_i`` are the ridge regression of the hidden state i tokens on upon the hidden state now, one
symmetric system for all heads. It predicts a mean state, whose law is too flat or too sharp; so the heads then
descend the cross-entropy of the target's own laws i tokens on, which is the distillation of its parallel marginals.

    python -m otspec.train.heads --out heads --corpus corpus.safetensors
"""

import argparse
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, check_seed
from otspec.core.errors import BadArgument, OtspecError
from otspec.core.files import write_json
from otspec.core.progress import progress_bar
from otspec.core.versions import installed
from otspec.decode.models import POCKET, load_pair
from otspec.neighbours.blockwise import Heads
from otspec.neighbours.lattice import Bigram
from otspec.train.corpus import Corpus, build_corpus, heldout_windows
from otspec.train.recipe import batch_starts

HEADS = 6  # with 131 kB each in half precision, and 131 kB of bigrams, the file stays below 1 MB
SUCCESSORS = 16
ROWS, SPAN, WARM = 8, 96, 32  # windows of a step, positions of each that count, and tokens read before them
RIDGE = 1e-3  # of the mean square of an input
RATE = 2e-3


def train_heads(out: str | Path, *, corpus: Corpus | str | Path | None = None, windows: int = 1200, steps: int = 400,
                seed: int = 0, progress: bool = True) -> dict[str, Any]:
    """Fit the heads and write ``heads.safetensors`` and ``heads.json`` into a folder.

    Parameters
    ----------
    out : path
    corpus : Corpus or path, optional
        Built from the running interpreter unless given.
    windows : int
        Windows of the corpus behind the closed form.
    steps : int
        Of the distillation; 8 windows each.
    seed : int
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    dict
        The content of ``heads.json``: for the closed form and for the trained heads, how often the head's first token
        is the target's, how often that is among its eight best, and the cross-entropy, head by head, on held-out text.

    Raises
    ------
    BadArgument, BadFile
    """
    import torch

    count, steps, seed = check_positive("windows", windows), check_positive("steps", steps), check_seed(seed)
    if count < ROWS:
        raise BadArgument(f"windows: {count} is less than the {ROWS} of one step. Fix: windows={ROWS} or more.")
    text = corpus if isinstance(corpus, Corpus) else Corpus.load(corpus) if corpus else _built()
    if len(text.train) < 4 * (WARM + SPAN + HEADS):
        raise BadArgument(f"corpus: {len(text.train)} training tokens are too few. Fix: the whole standard library.")
    target = load_pair("pocket", device="cpu").target
    output = target.get_output_embeddings().weight.float()
    bigram = Bigram.fitted(text.train, output.shape[0], SUCCESSORS)
    with progress_bar(count // ROWS + steps, "steps", progress) as bar:
        closed = _closed_form(_states(target, text, seed, range(count // ROWS), bar))
        batches = _states(target, text, seed + 1, range(steps), bar)
        trained = torch.nn.Parameter(closed.clone())
        _distil(trained, output, batches, steps)
    heads = Heads(trained.detach().numpy(), bigram)
    heads.save(Path(out) / "heads.safetensors")
    held = [window.tokens for window in heldout_windows(text, length=WARM + SPAN + HEADS, stride=200, limit=64)]
    states = _hidden(target, np.stack(held)) if held else None
    record = {"closed_form": quality(closed, output, states), "trained": quality(trained.detach(), output, states),
              "heldout_windows": len(held), "corpus_sha256": text.sha256, "windows": count, "steps": steps,
              "seed": seed, **installed()}
    write_json(Path(out) / "heads.json", record)
    return record


def quality(weights: Any, output: Any, states: Any) -> dict[str, list[float]]:
    """Top-1 and top-8 agreement with the target's likeliest token, and cross-entropy in nats, of every head."""
    import torch

    found: dict[str, list[float]] = {"top_1": [], "top_8": [], "cross_entropy": []}
    if states is None:
        return found
    with torch.inference_mode():
        for head in range(1, HEADS + 1):
            wanted = (_span(states, head) @ output.T).flatten(0, 1)
            logits = (_ahead(_span(states, 0), weights[head - 1]) @ output.T).flatten(0, 1)
            best = logits.topk(8, dim=-1).indices == wanted.argmax(dim=-1, keepdim=True)
            found["top_1"].append(round(best[:, 0].float().mean().item(), 4))
            found["top_8"].append(round(best.any(dim=1).float().mean().item(), 4))
            found["cross_entropy"].append(round(_cross_entropy(logits, wanted).item(), 4))
    return found


def _built() -> Corpus:
    from tokenizers import Tokenizer

    return build_corpus(Tokenizer.from_file(str(POCKET / "tokenizer.json")))


def _states(target: Any, text: Corpus, seed: int, steps: range, bar: Any) -> Iterator[Any]:
    """Hidden states of ``ROWS`` windows of the corpus, step by step."""
    length = WARM + SPAN + HEADS
    for step in steps:
        starts = batch_starts(len(text.train), length, ROWS, seed, step)
        yield _hidden(target, text.train[starts[:, None] + np.arange(length)])
        bar.update(1)


def _hidden(target: Any, tokens: np.ndarray) -> Any:
    import torch

    with torch.no_grad():
        ids = torch.from_numpy(tokens.astype(np.int64))
        return target(input_ids=ids, use_cache=False, output_hidden_states=True).hidden_states[-1].float()


def _span(states: Any, ahead: int) -> Any:
    return states[:, WARM + ahead : WARM + ahead + SPAN]


def _ahead(states: Any, weights: Any) -> Any:
    return states @ weights[:-1] + weights[-1]


def _closed_form(batches: Iterator[Any]) -> Any:
    """Ridge regression of the states ahead, ``[heads D+1 D]``: one Gram matrix for all heads."""
    import torch

    gram, mixed = torch.zeros(1, dtype=torch.float64), [torch.zeros(1, dtype=torch.float64)] * HEADS
    for states in batches:
        now = _span(states, 0).flatten(0, 1).double()
        now = torch.cat([now, now.new_ones(len(now), 1)], dim=1)
        gram = gram + now.T @ now
        mixed = [total + now.T @ _span(states, head).flatten(0, 1).double() for head, total in enumerate(mixed, 1)]
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    return torch.stack([torch.linalg.solve(gram + ridge, total) for total in mixed]).float()


def _distil(weights: Any, output: Any, batches: Iterator[Any], steps: int) -> None:
    """Descend the cross-entropy against the target's laws, with Adam and a cosine of rates."""
    import torch

    descent = torch.optim.Adam([weights], lr=RATE, betas=(0.9, 0.99))
    for step, states in enumerate(batches):
        descent.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        losses = [_cross_entropy(_ahead(_span(states, 0), weights[head - 1]) @ output.T,
                                 _span(states, head) @ output.T) for head in range(1, HEADS + 1)]
        descent.zero_grad()
        sum(losses).backward()
        descent.step()


def _cross_entropy(logits: Any, wanted: Any) -> Any:
    return -(wanted.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()


def main(argv: list[str] | None = None) -> int:
    """Train from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m otspec.train.heads", description="Train the heads of the pocket target.",
        epilog="example: python -m otspec.train.heads --out heads --corpus corpus.safetensors")
    parser.add_argument("--out", required=True, help="output folder")
    parser.add_argument("--corpus", help="file written by Corpus.save; built from this interpreter if left out")
    parser.add_argument("--windows", type=int, default=1200, help="windows behind the closed form")
    parser.add_argument("--steps", type=int, default=400, help="steps of the distillation")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    try:
        record = train_heads(given.out, corpus=given.corpus, windows=given.windows, steps=given.steps, seed=given.seed)
    except OtspecError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    for name in ("closed_form", "trained"):
        sys.stdout.write(f"{name}: top-1 {record[name]['top_1']}, top-8 {record[name]['top_8']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
