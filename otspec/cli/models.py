"""``otspec record`` and ``otspec models``."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import add_models_options, add_warp_options, command, named_pair, show
from otspec.cli.values import count, read_prompts, scale, seed


def add_record(commands: Any) -> None:
    """Add ``otspec record``."""
    parser = command(commands, "record", _record, "record the laws of a pair of models after every prompt",
                     "record --target big --draft small --prompts prompts.txt --out trace",
                     "Finished shards are kept: run the same command again.")
    add_models_options(parser)
    parser.add_argument("--prompts", metavar="FILE", required=True, help="one prompt per line, or a JSON list")
    parser.add_argument("--out", metavar="PATH", required=True, help="a new folder, or a .safetensors file")
    parser.add_argument("--draft-length", type=int, default=0, help="also record rows along blocks of this length")
    parser.add_argument("--stride", type=count, help="also record after prefixes shorter by multiples of this")
    add_warp_options(parser)
    parser.add_argument("--seed", type=seed, default=0)


def _record(given: Any) -> None:
    from otspec.recording.record import record

    prompts = read_prompts(given.prompts)
    trace = record(named_pair(given, "pocket"), prompts, out=given.out, temperature=given.temperature,
                   top_k=given.top_k, top_p=given.top_p, draft_length=given.draft_length, seed=given.seed,
                   progress=not given.quiet, positions=given.stride or "last")
    value = {"out": given.out, "contexts": len(trace), "vocab_size": trace.vocab_size,
             "fingerprint": trace.fingerprint}
    show(given, value, f"{trace} in {given.out}")


def add_models(commands: Any) -> None:
    """Add ``otspec models``."""
    parser = command(commands, "models", _models, "list, locate or train the models that ship with otspec",
                     "models train pocket --out pocket", "Training goes on from its last checkpoint.")
    parser.add_argument("action", nargs="?", choices=("list", "path", "train"), default="list")
    parser.add_argument("name", nargs="?", choices=("pocket",), default="pocket")
    parser.add_argument("--out", metavar="DIR", help="folder of a training run (train only)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    parser.add_argument("--scale", type=scale, default=1.0, help="factor on the number of training steps")
    parser.add_argument("--seed", type=seed, default=0)


def _models(given: Any) -> None:
    from otspec.core.errors import BadArgument
    from otspec.decode.models import POCKET, POCKET_PAIRS

    if given.action == "train":
        if given.out is None:
            raise BadArgument("--out: missing. Fix: name the folder of the training run.")
        from otspec.train.pocket import train_pocket

        result = train_pocket(given.out, device=given.device, seed=given.seed, steps=given.scale,
                              progress=not given.quiet)
        show(given, result, f"trained: {given.out}")
    elif given.action == "path":
        show(given, str(POCKET), str(POCKET))
    else:
        value = {pair: {which: str(POCKET / folder) for which, folder in zip(("target", "draft"), folders, strict=True)}
                 for pair, folders in POCKET_PAIRS.items()}
        show(given, value, "\n".join(f"{pair}: target {at['target']}, draft {at['draft']}"
                                      for pair, at in value.items()))
