"""Training of the pocket pair from nothing but the text that ships with CPython.

The target is fitted to the text by cross-entropy. A draft starts the same way and then, in the same learning-rate
schedule, turns to the distance that decides its worth: rejection sampling accepts a token with probability
`1 - TV(target, draft)` [leviathan2023], so the mean total variation against the trained target is the loss
itself, not a proxy for it.

    python -m otspec.train.pocket --out pocket --corpus corpus.safetensors --device cuda
"""

import argparse
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, BadFile, OtspecError, ShapeMismatch
from otspec.core.files import write_json
from otspec.decode.hashes import write_hashes
from otspec.decode.models import POCKET, resolve_device
from otspec.decode.weights import load_model, need_transformers
from otspec.train.corpus import Corpus, build_corpus
from otspec.train.evaluation import mean_overlap, source_loss
from otspec.train.fit import Fit, OutOfTimeError, Run
from otspec.train.recipe import MAX_POSITIONS, VOCAB_SIZE, Recipe

STOPPED = 3
RECORD = "training.json"
RECIPES: Mapping[str, Recipe] = {
    "target": Recipe(320, 3, 864, 5, passes=14),
    "draft": Recipe(128, 3, 336, 2, passes=18, distil_from=0.4),
    "draft-small": Recipe(32, 2, 96, 1, passes=8, distil_from=0.5),
}


def train_pocket(
    out: str | Path,
    *,
    corpus: Corpus | str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    steps: float | Mapping[str, int] | None = None,
    batch_tokens: int = 32_768,
    context: int = 512,
    recipes: Mapping[str, Recipe] | None = None,
    checkpoint_every: int = 250,
    max_seconds: float = float("inf"),
    resume: bool = True,
    progress: bool = True,
) -> dict[str, Any]:
    """Train the target and the drafts, export them as float16 folders and measure them on held-out text.

    Parameters
    ----------
    out : path
        Output folder: ``target/``, ``draft/``, ``draft-small/``, the tokenizer, ``training.json``,
        ``hashes.json``; ``checkpoints/`` while the run is not finished.
    corpus : Corpus or path, optional
        Built from the running interpreter unless given.
    device : str
        As for `otspec.load_pair`. On CUDA the passes run in bfloat16 over float32 weights.
    seed : int
    steps : float or mapping of str to int, optional
        A factor on the default step counts, or the step count of every model by name.
    batch_tokens, context : int
        Tokens per step and per row; `batch_tokens` is rounded down to whole rows.
    recipes : mapping of str to Recipe, optional
        `RECIPES` unless given; ``"target"`` first, every other model is distilled against it.
    checkpoint_every : int
        Steps between two checkpoints.
    max_seconds : float
        Stop with a checkpoint after that time.
    resume : bool
        Continue from the checkpoints in `out`; otherwise they are overwritten.
    progress : bool
        Show a progress bar and a line of loss every 100 steps.

    Returns
    -------
    dict
        The content of ``training.json``; ``{"finished": False, ...}`` if time ran out.

    Raises
    ------
    BadArgument
        A corpus shorter than one row, a recipe without target, a batch smaller than a row.
    BadFile
        `out` holds other files, or checkpoints of a run with other settings; the corpus cannot be read.
    ShapeMismatch
        A corpus with token ids beyond the tokenizer's 2,048.
    MissingExtra
        transformers is not installed.
    """
    import torch

    need_transformers("train_pocket")
    begun = time.monotonic()
    recipes = RECIPES if recipes is None else recipes
    place = resolve_device(device)
    _check_folder(Path(out))
    text = _corpus(corpus, progress)
    _check(text, recipes, batch_tokens, context)
    run = Run(
        out=Path(out),
        stream=torch.from_numpy(text.train.astype(np.int32)).to(place),
        device=place,
        seed=seed,
        rows=batch_tokens // context,
        context=context,
        corpus_sha256=text.sha256,
        checkpoint_every=checkpoint_every,
        deadline=begun + max_seconds,
        resume=resume,
        progress=progress,
    )
    fits: dict[str, Fit] = {}
    models: dict[str, Any] = {}
    for name, recipe in recipes.items():
        total = _step_count(name, recipe, steps, len(text.train) / (run.rows * context))
        fits[name] = Fit(name, recipe, total, models.get("target"), run)
        try:
            fits[name].finish()
        except OutOfTimeError as stop:
            return {"finished": False, "reason": str(stop)}
        models[name] = load_model(run.out / name, torch.float32, place)
    return _finish(run, text, fits, models, time.monotonic() - begun)


def _check_folder(out: Path) -> None:
    """Refuse a folder of something else: a training leaves checkpoints or its record in its own."""
    if out.is_dir() and any(out.iterdir()) and not any((out / mine).exists() for mine in ("checkpoints", RECORD)):
        raise BadFile(f"out: {out} holds {min(one.name for one in out.iterdir())}, which no training wrote. "
                      f"Fix: a new folder.")


def _corpus(corpus: Corpus | str | Path | None, progress: bool) -> Corpus:
    if isinstance(corpus, Corpus):
        return corpus
    if corpus is not None:
        return Corpus.load(corpus)
    from tokenizers import Tokenizer

    return build_corpus(Tokenizer.from_file(str(POCKET / "tokenizer.json")), progress=progress)


def _check(text: Corpus, recipes: Mapping[str, Recipe], batch_tokens: int, context: int) -> None:
    if next(iter(recipes), None) != "target":
        raise BadArgument(f"recipes: {list(recipes)} must begin with 'target'; drafts are distilled against it")
    if not 1 <= context <= MAX_POSITIONS:
        raise BadArgument(f"context: {context} is outside 1 to {MAX_POSITIONS}")
    if batch_tokens < context:
        raise BadArgument(f"batch_tokens: {batch_tokens} is less than one row of {context} tokens")
    if len(text.train) < 2 * context + 1:
        raise BadArgument(f"corpus: {len(text.train)} training tokens are too few for rows of {context}")
    if (largest := int(text.train.max())) >= VOCAB_SIZE:
        raise ShapeMismatch(f"corpus: token id {largest} is beyond the pocket vocabulary of {VOCAB_SIZE}")


def _step_count(name: str, recipe: Recipe, steps: float | Mapping[str, int] | None, batches_per_pass: float) -> int:
    if isinstance(steps, Mapping):
        if name not in steps:
            raise BadArgument(f"steps: no count for {name!r}; give one for each of the recipes, or a single factor")
        count = steps[name]
    else:
        count = round((1.0 if steps is None else steps) * recipe.passes * batches_per_pass)
    if count < 1:
        raise BadArgument(f"steps: {name!r} would take {count} steps; at least 1")
    return count


def _finish(run: Run, text: Corpus, fits: Mapping[str, Fit], models: Mapping[str, Any], seconds: float) -> dict:
    """Measure the exported models, write the record and the hashes, drop the checkpoints."""
    import torch
    import transformers

    measured = {}
    for name, fit in fits.items():
        loss, count = source_loss(models[name], text)
        measured[name] = {
            "parameters": sum(parameter.numel() for parameter in models[name].parameters()),
            "recipe": asdict(fit.recipe),
            "steps": fit.total,
            "tokens": fit.total * run.rows * run.context,
            "heldout_source_nats_per_token": loss,
            "heldout_source_tokens": count,
            "history": fit.history,
        }
        if name != "target":
            measured[name]["mean_overlap_with_target"] = mean_overlap(models["target"], models[name], text)
    on_cuda = run.device != "cpu"
    record = {
        "finished": True,
        "models": measured,
        "seed": run.seed,
        "rows_per_step": run.rows,
        "context": run.context,
        "corpus": {
            "sha256": text.sha256,
            "python": text.python_version,
            "tokens": text.tokens_per_kind,
            "heldout_tokens": sum(len(document.tokens) for document in text.heldout),
        },
        "hardware": torch.cuda.get_device_name(run.device) if on_cuda else platform.processor() or platform.machine(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "seconds_of_last_call": round(seconds, 1),
    }
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(POCKET / name, run.out / name)
    shutil.rmtree(run.out / "checkpoints", ignore_errors=True)
    write_json(run.out / RECORD, record)
    write_hashes(run.out)
    return record


def main(argv: list[str] | None = None) -> int:
    """Train from the command line; 0 when finished, 3 when the time limit stopped it at a checkpoint."""
    parser = argparse.ArgumentParser(
        prog="python -m otspec.train.pocket",
        description="Train the pocket pair.",
        epilog="example: python -m otspec.train.pocket --out pocket --corpus corpus.safetensors --device cuda",
    )
    parser.add_argument("--out", required=True, help="output folder, with checkpoints until finished")
    parser.add_argument("--corpus", help="file written by Corpus.save; built from this interpreter if left out")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the number of steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-tokens", type=int, default=32_768, help="tokens per step")
    parser.add_argument("--max-seconds", type=float, default=float("inf"), help="stop at a checkpoint after that")
    parser.add_argument("--restart", action="store_true", help="ignore the checkpoints in the output folder")
    given = parser.parse_args(argv)
    try:
        record = train_pocket(
            given.out,
            corpus=given.corpus,
            device=given.device,
            seed=given.seed,
            steps=given.scale,
            batch_tokens=given.batch_tokens,
            max_seconds=given.max_seconds,
            resume=not given.restart,
        )
    except OtspecError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if not record["finished"]:
        sys.stderr.write(f"{record['reason']}\n")
        return STOPPED
    for name, result in record["models"].items():
        overlap = result.get("mean_overlap_with_target", "")
        sys.stdout.write(f"{name}: held-out {result['heldout_source_nats_per_token']:.4f} nats/token {overlap}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
