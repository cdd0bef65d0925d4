"""Recording: run both models once over many contexts and keep their laws, so that all else is exact and offline.

A context is a prompt, or every ``stride``-th prefix of one. With ``draft_length = L`` a block of ``L`` tokens is drawn
from the draft model after each context and the laws along it are kept too: then block rules can be compared offline,
because given the block's rows and tokens their acceptance is a number.

A recording goes to a folder shard by shard. `index.json` names the request, so a second run of the same request goes
on where the first one stopped, and any other request is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, check_temperature, whole
from otspec.core.errors import BadArgument, BadFile, UnknownName
from otspec.core.files import cache_folder, sha256, write_json
from otspec.core.names import did_you_mean
from otspec.core.progress import progress_bar
from otspec.core.shortened import IDS, LOST, distance, lengthen, shorten
from otspec.core.storage import map_arrays, write_arrays
from otspec.core.trace import FORMAT, INDEX, Trace, log_probabilities, probabilities, read_index
from otspec.core.versions import installed, major, warn_of_other
from otspec.decode.arguments import as_token_lists, check_seed, check_warp
from otspec.decode.drafters.paths import Paths
from otspec.decode.identity import identity
from otspec.decode.models import POCKET, load_pair
from otspec.decode.room import check_room
from otspec.decode.streams import streams
from otspec.decode.workers.hire import hired
from otspec.recording.along import laws_after, laws_along

POCKET_TRACE = POCKET / "trace.safetensors"
POCKET_DRAFTS = {"draft": "pocket", "draft-small": "pocket-small"}
SHARD_BYTES = 1 << 25
ENTRIES = 1 << 25  # of a batch's laws by default: 256 MB of float64
VERSIONS = ("created_by", "versions")  # of a request: they may change while it goes on
Shard = dict[str, np.ndarray]


def record(pair: Any, prompts: Iterable[Any], *, out: str | os.PathLike[str] | None = None, temperature: float = 1.0,
           top_k: int | None = None, top_p: float | None = None, draft_length: int = 0, seed: int = 0,
           batch_size: int | None = None, positions: str | int = "last", keep: int | None = None, progress: bool = True,
           executor: Executor | None = None, retries: int = 2) -> Trace:
    """Record the laws of a pair after every context.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
    out : path, optional
        A folder (new, empty, or of the same recording, which is then resumed), or a ``.safetensors`` file; None keeps
        the trace in memory.
    temperature, top_k, top_p
        Applied to both models before the laws are stored. 1 and None keep all later choices open.
    draft_length : int
        Length of the block drawn from the draft model after each context; 0 records no rows along blocks.
    seed : int
        Of the drafted blocks; each context has its own stream.
    batch_size : int, optional
        Prompts per model call; by default as many as keep their laws within 256 MB.
    positions : "last" or int
        Record after each whole prompt, or also after the prefixes that are shorter by multiples of this stride.
    keep : int, optional
        Store so many of the largest masses of each law only, and how far the stored law lies from the model's
        (`Trace.lost`). A law over 262,144 tokens takes 0.5 MB whole, 0.025 MB with 4,096 of them. Temperature and
        truncation have to be chosen here then.
    progress : bool
        Show a progress bar on a terminal.
    executor : concurrent.futures.Executor, optional
        Who records the batches, as in `decode_sweep`; None records here. Workers load the models by the names of
        ``pair`` and use as many threads as torch does here.
    retries : int
        How often a batch is tried again after its worker has died or failed.

    Returns
    -------
    Trace

    Raises
    ------
    BadArgument, NotALaw
        Bad prompts or settings; logits that define no law.
    BadFile
        ``out`` holds something else, or another recording.
    WorkFailed
        A batch failed too often, or the executor broke.
    """
    texts = _contexts(as_token_lists(pair, prompts), positions)
    draft_length = _check_length(draft_length)
    warp = check_warp(temperature, top_k, top_p)
    longest = max(map(len, texts))
    check_room(pair, Paths(1, max(1, draft_length)), longest + draft_length)
    size = max(1, ENTRIES // ((2 * draft_length + 2) * pair.vocab_size)) if batch_size is None else \
        check_positive("batch_size", batch_size)
    kept = _check_keep(keep, draft_length)
    request = _provenance(pair, texts, warp, draft_length, check_seed(seed), positions) | \
        ({} if kept is None else {"keep": kept})
    hire = hired(pair, executor, retries, _record_batch)

    def shards(done: int) -> Iterator[Shard]:
        batches = ((texts[start:stop], start, longest, warp, draft_length, seed, kept)
                   for start, stop in _batches(done, len(texts), size))
        with progress_bar(len(texts), "contexts", progress, done) as bar:
            for shard in hire(batches):
                yield shard
                bar.update(len(shard["contexts"]))

    if out is None:
        return Trace(list(shards(0)), request)
    out = Path(out)
    if out.suffix != ".safetensors":
        return _to_folder(out, request, len(texts), shards)
    if out.exists():
        return _same_request(Trace.load(out), request, out)
    parts = out.with_suffix(".parts")
    _to_folder(parts, request, len(texts), shards).save(out)
    shutil.rmtree(parts)
    return Trace.load(out)


def load_trace(name: str | os.PathLike[str] = "pocket", *, draft: str = "draft", draft_length: int = 0,
               temperature: float = 1.0, progress: bool = True) -> Trace:
    """Return the trace that ships with otspec, a recording derived from it, or a trace from a file.

    Parameters
    ----------
    name : str or path
        ``"pocket"``: the pocket pair after held-out contexts. Otherwise a trace file or a recording's folder.
    draft : {"draft", "draft-small"}
        Which draft model of the pocket pair.
    draft_length : int
        Length of the blocks whose rows are wanted.
    temperature : float
        Of both models. Without blocks the bundled laws are transformed; with blocks they are recorded.
    progress : bool
        Show a progress bar while recording.

    Returns
    -------
    Trace
        What is not bundled is recorded once from the bundled weights (on the CPU, seed 0) and kept in the cache
        folder: ``$OTSPEC_CACHE``, else ``$XDG_CACHE_HOME/otspec``, else ``~/.cache/otspec``.

    Raises
    ------
    BadFile, BadArgument, UnknownName

    Examples
    --------
    >>> load_trace("pocket").vocab_size
    2048
    """
    if name != "pocket":
        if draft != "draft" or draft_length:
            raise BadArgument(f"name: {os.fspath(name)!r} is a file; draft and draft_length record from the pocket "
                              f"pair only. Fix: otspec.record(pair, prompts, draft_length=L).")
        if isinstance(name, str) and not Path(name).exists() and (near := did_you_mean(name, ["pocket"])):
            raise BadFile(f"{name}: no such file.{near}")
        return _at_temperature(Trace.load(name), temperature)
    draft_length, temperature = _check_length(draft_length), check_temperature(temperature)
    if draft not in tuple(POCKET_DRAFTS):  # a list, say, is no key
        raise UnknownName(f"draft: {draft!r} is none of {', '.join(POCKET_DRAFTS)}."
                          f"{did_you_mean(draft, POCKET_DRAFTS)}")
    bundled = Trace.load(POCKET_TRACE)
    if draft == "draft" and not draft_length:
        return _at_temperature(bundled, temperature)
    recorded: dict[str, Any] = {"temperature": temperature if draft_length else 1.0,
                                "draft_length": draft_length}
    weights = sha256(POCKET / "hashes.json")
    libraries = {name: major(number) for name, number in installed().items()}
    made_from = [bundled.fingerprint, weights, draft, recorded, libraries]
    key = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]
    file = cache_folder() / f"pocket-{key}.safetensors"
    if not file.is_file():
        with progress_bar(1, "pairs", progress, title="load the pocket pair") as bar:
            pair = load_pair(POCKET_DRAFTS[draft], device="cpu")
            bar.update(1)
        record(pair, bundled.prompts, **recorded, progress=progress).save(file)
    trace = Trace.load(file)
    return trace if draft_length else _at_temperature(trace, temperature)


def build_pocket_trace(out: str | os.PathLike[str] = POCKET_TRACE, *, contexts: int = 512, length: int = 96,
                       progress: bool = True) -> Trace:
    """Record the bundled trace: the pocket pair after held-out windows of the running CPython's own text.

    Parameters
    ----------
    out : path
        Written whole or not at all; replaced if it exists.
    contexts, length : int
        Number of windows and tokens per window.
    progress : bool

    Returns
    -------
    Trace
    """
    from otspec.train.corpus import build_corpus, heldout_windows

    pair = load_pair("pocket", device="cpu")
    corpus = build_corpus(pair.tokenizer.backend_tokenizer)
    windows = heldout_windows(corpus, length=length, limit=contexts)
    if len(windows) < contexts:
        raise BadArgument(f"contexts: {contexts} asked for, the corpus has {len(windows)} windows of {length} tokens. "
                          f"Fix: fewer or shorter windows.")
    trace = record(pair, [window.tokens for window in windows], progress=progress)
    origin = {"windows": "disjoint, held-out documents", "python": corpus.python_version, "corpus": corpus.sha256}
    Trace(trace._shards, trace.provenance | origin).save(out)
    return Trace.load(out)


def _at_temperature(trace: Trace, temperature: float) -> Trace:
    return trace if temperature == 1 else trace.with_temperature(temperature)


def _contexts(prompts: list[list[int]], positions: str | int) -> list[list[int]]:
    """Every prompt, or its prefixes in ascending length."""
    if positions == "last":
        return prompts
    if isinstance(positions, str):
        raise BadArgument(f"positions: {positions!r} is neither 'last' nor a stride. Fix: positions=16, say.")
    stride = check_positive("positions", positions)
    return [prompt[:end] for prompt in prompts for end in reversed(range(len(prompt), 0, -stride))]


def _batches(done: int, total: int, size: int) -> Iterator[tuple[int, int]]:
    """Ends of the batches left, cut where a recording without an interrupt cuts them: logits depend on the batch."""
    while done < total:
        stop = min(total, (done // size + 1) * size)
        yield done, stop
        done = stop


def _provenance(pair: Any, texts: Sequence[Sequence[int]], warp: Mapping[str, Any], draft_length: int, seed: int,
                positions: str | int) -> dict[str, Any]:
    """All that the laws depend on; two recordings with equal provenance are the same recording."""
    tokens = hashlib.sha256(json.dumps(texts).encode()).hexdigest()
    return {"created_by": f"otspec {version('otspec')} record", "target": pair.target_name, "draft": pair.draft_name,
            **identity(pair), "vocab_size": pair.vocab_size, "contexts": len(texts),
            "prompts_sha256": tokens, "positions": positions, **warp, "draft_length": draft_length, "seed": seed,
            "device": str(pair.device).split(":")[0], "versions": installed()}


def _record_batch(pair: Any, texts: Sequence[Sequence[int]], first: int, width: int, warp: dict[str, Any],
                  draft_length: int, seed: int, keep: int | None) -> Shard:
    """Laws of both models after each text, and along one drafted block each."""
    if draft_length == 0:
        stored = dict(zip(("target", "draft"), laws_after(pair, texts, warp, width), strict=True))
        tokens = {}
    else:
        uniforms = np.stack([stream.random(draft_length) for stream in streams(seed, first, len(texts))])
        target, draft, drafted = (array[:, 0] for array in laws_along(pair, texts, Paths(1, draft_length), warp,
                                                                      uniforms, width + draft_length))
        stored = {"target_rows": target, "draft_rows": draft}
        tokens = {"tokens": drafted.cpu().numpy().astype(np.int32)}
    laws = {name: law.cpu().numpy() for name, law in stored.items()}
    arrays = {name: log_probabilities(law) for name, law in laws.items()} if keep is None else \
        {part: array for name, law in laws.items() for part, array in _shortened(name, law, keep).items()}
    arrays |= tokens
    contexts = np.full((len(texts), width), -1, dtype=np.int32)
    for row, text in enumerate(texts):
        contexts[row, width - len(text) :] = text
    return arrays | {"contexts": contexts}


def _shortened(name: str, law: np.ndarray, keep: int) -> Shard:
    """Largest masses of laws ``[n V]`` with their tokens, and the distance of what will be read from the laws."""
    masses, ids = shorten(law, keep)
    logs = log_probabilities(masses)
    lost = distance(law, lengthen(probabilities(logs), ids, law.shape[-1]))
    return {name: logs, f"{name}{IDS}": ids, f"{name}{LOST}": lost}


def _check_length(draft_length: Any) -> int:
    length = whole(draft_length)
    if length is None or length < 0:
        raise BadArgument(f"draft_length: {draft_length!r} is no whole number of at least 0. Fix: draft_length=0.")
    return length


def _check_keep(keep: int | None, draft_length: int) -> int | None:
    if keep is not None and draft_length:
        raise BadArgument(f"keep: {keep} with draft_length={draft_length}, whose tokens are drawn from whole laws. "
                          f"Fix: keep=None, or draft_length=0.")
    return None if keep is None else check_positive("keep", keep)


def _to_folder(folder: Path, request: dict[str, Any], total: int, shards: Any) -> Trace:
    index = _open_folder(folder, request, total)
    pending: list[Shard] = []

    def flush() -> None:
        if not pending:
            return
        file = folder / f"shard-{len(index['shards']):05d}.safetensors"
        write_arrays(file, pending, {"format": FORMAT})
        entry = {"file": file.name, "contexts": sum(len(shard["contexts"]) for shard in pending),
                 "bytes": file.stat().st_size, "sha256": sha256(file)}
        write_json(folder / INDEX, index | {"shards": [*index["shards"], entry]})
        index["shards"].append(entry)
        pending.clear()

    try:
        for shard in shards(sum(entry["contexts"] for entry in index["shards"])):
            pending.append(shard)
            if sum(array.nbytes for part in pending for array in part.values()) >= SHARD_BYTES:
                flush()
    finally:  # an interrupt or a failing model keeps the finished batches
        flush()
    if "fingerprint" not in index:
        arrays = [map_arrays(folder / entry["file"])[0] for entry in index["shards"]]
        write_json(folder / INDEX, index | {"fingerprint": Trace(arrays, index["provenance"]).fingerprint})
    return Trace.load(folder)


def _open_folder(folder: Path, request: dict[str, Any], total: int) -> dict[str, Any]:
    """Return the index to go on from; refuse a folder that holds anything else."""
    if folder.exists() and not folder.is_dir():
        raise BadFile(f"{folder}: a file, not a folder. Fix: give a folder, or a name that ends in .safetensors.")
    # a file that a run was writing when it was killed has a name that begins with a dot
    if folder.is_dir() and any(not found.name.startswith(".") for found in folder.iterdir()):
        if not (folder / INDEX).is_file():
            raise BadFile(f"{folder}: holds files but no recording. Fix: give an empty or new folder.")
        index = read_index(folder)
        _refuse_other(index["provenance"], request, folder)
        return index
    folder.mkdir(parents=True, exist_ok=True)
    index = {"format": FORMAT, "contexts": total, "provenance": request, "transforms": [], "shards": []}
    write_json(folder / INDEX, index)
    return index


def _refuse_other(found: Mapping[str, Any], request: Mapping[str, Any], where: Path) -> None:
    if found.get("keep") != request.get("keep"):
        raise BadFile(f"{where}: holds another recording: keep is {found.get('keep')} there, {request.get('keep')} "
                      f"here. Fix: give a new folder or file, or the same keep.")
    for key, value in request.items():
        if key in VERSIONS:
            continue
        if key not in found:
            raise BadFile(f"{where}: holds a recording that does not say its {key}, which an earlier version did not "
                          f"note. Fix: give a new folder or file.")
        if found[key] != value:
            raise BadFile(f"{where}: holds another recording: {key} is {found[key]!r} there, {value!r} here. "
                          f"Fix: give a new folder or file, or repeat the recording with its models and settings.")
    warn_of_other(found.get("versions", {}), str(where))


def _same_request(trace: Trace, request: Mapping[str, Any], where: Path) -> Trace:
    _refuse_other(trace.provenance, request, where)
    return trace
