"""Recorded laws of a real pair of models: everything exact analysis needs, without the models.

A trace holds, for each of ``n`` contexts, log-probabilities of the target and of the draft model, in half precision
unless asked otherwise. *The law of a trace is what its file says*: exponentials of the stored numbers, renormalised
in float64. Rounding a log-probability ``l`` to half precision changes the mass by a factor of up to
``exp(2**-11 * |l|)``; since both laws are then taken at their word, every statement about a trace is exact.

A recording may keep the largest masses of each law only (`otspec.core.shortened`): then the trace also says how far the
stored law lies from the model's, `Trace.lost`, and refuses changes that would make this unknown.

Files are safetensors, written and memory-mapped here so that reading a trace needs no extra package: 8 bytes of
header length, a JSON header, then the arrays. A long recording is a folder of such files and an ``index.json``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.checks import as_law, as_tokens, check_temperature, number_array
from otspec.core.errors import BadArgument, BadFile, ShapeMismatch
from otspec.core.files import sha256
from otspec.core.laws import temper, truncate
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.shards import check_header, check_shard, count_contexts
from otspec.core.shortened import IDS, LOST, lengthen, refuse_change, slack
from otspec.core.showing import card, public_names
from otspec.core.storage import digest, map_arrays, write_arrays
from otspec.core.truncation import check_cut

FORMAT = "otspec-trace-1"
INDEX = "index.json"
HEADER = {"provenance": dict, "transforms": list}  # of a file and of a folder alike
SLACK_ROWS = 16  # laws that are sorted together
Index = int | slice | np.ndarray | Sequence[int]


class Trace(Sequence[tuple[np.ndarray, np.ndarray]]):
    """Laws of a target and a draft model after ``n`` contexts; made by `otspec.record`, `load` or `from_laws`.

    Parameters
    ----------
    shards : sequence of mapping
        Arrays by name, concatenated along their first axis: ``target`` and ``draft`` ``[n V]``, or ``target_rows``
        ``[n L+1 V]``, ``draft_rows`` ``[n L V]`` and ``tokens`` ``[n L]``; log-probabilities. Optional ``contexts``
        ``[n T]`` (token ids, -1 as padding on the left).
    provenance : mapping
        Where the laws come from: models, versions, settings. JSON values.
    transforms : sequence of dict
        Changes applied to both laws whenever they are read, in order.

    Examples
    --------
    >>> trace = Trace.from_laws([[0.5, 0.5]], [[1.0, 0.0]])
    >>> len(trace), trace.draft
    (1, array([[1., 0.]]))
    """

    def __init__(self, shards: Sequence[Mapping[str, np.ndarray]], provenance: Mapping[str, Any], *,
                 transforms: Sequence[Mapping[str, Any]] = (), source: str = "trace") -> None:
        self._shards = list(shards)
        self._source = source
        self._fingerprint: str | None = None
        self.provenance = dict(provenance)
        self.transforms = tuple(dict(step) for step in transforms)
        if not self._shards:
            raise BadFile(f"{source}: holds no context. Fix: record at least one prompt.")
        for shard in self._shards:
            check_shard(shard, self._shards[0], source, self.provenance)
        self._starts = np.cumsum([0, *(count_contexts(shard) for shard in self._shards)])

    @classmethod
    def from_laws(cls, target: Any, draft: Any, *, contexts: Any = None, provenance: Mapping[str, Any] | None = None,
                  dtype: str = "float16") -> Trace:
        """Make a trace of laws at hand.

        Parameters
        ----------
        target, draft : [n V]
            Laws; stored as log-probabilities of ``dtype``, which is where the trace's law is rounded.
        contexts : [n T] int, optional
            Token ids that the laws follow, padded with -1 on the left.
        provenance : mapping, optional
            Kept with the trace; JSON values only.
        dtype : {"float16", "float32", "float64"}

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument
        """
        target, draft = as_law("target", target), as_law("draft", draft)
        if target.shape != draft.shape or target.ndim != 2:
            raise ShapeMismatch(f"target {tuple(target.shape)} and draft {tuple(draft.shape)} are not both [n V]. "
                                f"Fix: one row per context, one vocabulary.")
        arrays = {"target": log_probabilities(target, dtype), "draft": log_probabilities(draft, dtype)}
        if contexts is not None:
            arrays["contexts"] = _as_contexts(contexts)
        return cls([arrays], provenance or {"created_by": "Trace.from_laws"})

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Trace:
        """Memory-map a trace: a ``.safetensors`` file, or the folder of a finished recording.

        Parameters
        ----------
        path : path
        verify : bool
            Compare the SHA-256 of the contents with the recorded one. Sizes are always compared.

        Raises
        ------
        BadFile
            Missing, truncated, altered, unfinished, or not a trace.
        """
        path = Path(path)
        if path.is_dir():
            return _load_folder(path, verify)
        arrays, metadata = map_arrays(path)
        if metadata.get("format") != FORMAT:
            raise BadFile(f"{path}: a safetensors file, but no otspec trace. Fix: give a file of Trace.save.")
        try:
            provenance, transforms = json.loads(metadata["provenance"]), json.loads(metadata["transforms"])
            fingerprint = metadata["fingerprint"]
            check_header({"provenance": provenance, "transforms": transforms}, HEADER)
        except (KeyError, ValueError, TypeError) as error:
            raise BadFile(f"{path}: altered: its header cannot be read ({error}). "
                          f"Fix: copy the trace again, or record it again.") from None
        return cls([arrays], provenance, transforms=transforms, source=str(path))._trusted(fingerprint, verify)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write one ``.safetensors`` file, whole or not at all. Transforms are kept as such, so nothing is rounded."""
        if Path(path).suffix != ".safetensors":
            raise BadArgument(f"path: {os.fspath(path)!r} does not end in .safetensors. Fix: add the suffix.")
        write_arrays(path, self._shards, {
            "format": FORMAT, "provenance": json.dumps(self.provenance), "transforms": json.dumps(self.transforms),
            "fingerprint": self.fingerprint})

    @property
    def fingerprint(self) -> str:
        """SHA-256 over laws, contexts, provenance and transforms; the same however the trace is cut into files."""
        if self._fingerprint is None:
            self._fingerprint = digest(self._shards, [self.provenance, self.transforms])
        return self._fingerprint

    @property
    def vocab_size(self) -> int:
        """Number of tokens ``V``."""
        shard = self._shards[0]
        return int(self.provenance["vocab_size"] if self.shortened else
                   shard["draft" if "draft" in shard else "draft_rows"].shape[-1])

    @property
    def shortened(self) -> bool:
        """Whether the largest masses of each law were recorded only."""
        return f"target{IDS}" in self._shards[0]

    @property
    def lost(self) -> tuple[np.ndarray, np.ndarray]:
        """Distance in total variation of the stored target and draft laws from the models', ``[n]`` each, at most.

        Zeros of a trace of whole laws, whose law is what its file says, half precision included.
        """
        if not self.shortened:
            return np.zeros(len(self)), np.zeros(len(self))
        return self._stored(f"target{LOST}", slice(None)), self._stored(f"draft{LOST}", slice(None))

    def optimum_slack(self, scheme: DraftScheme | int) -> np.ndarray:
        """How far the optimum of a scheme for the stored laws may lie from that for the models' laws, ``[n]``.

        Raises
        ------
        SchemeMismatch
            A shortened trace, and a scheme without such a bound.
        """
        if not self.shortened:
            return np.zeros(len(self))
        parts = [slice(start, start + SLACK_ROWS) for start in range(0, len(self), SLACK_ROWS)]
        target, draft = self.lost
        return np.concatenate([slack((target[part], draft[part]), self._laws("draft", part), as_scheme(scheme))
                               for part in parts])

    @property
    def draft_length(self) -> int:
        """Length ``L`` of the recorded blocks; 0 where only the laws after the contexts were recorded."""
        return int(self._shards[0]["tokens"].shape[1]) if "tokens" in self._shards[0] else 0

    @property
    def contexts(self) -> np.ndarray | None:
        """Token ids ``[n T]`` int32 that the laws follow (-1: padding on the left), None if not recorded."""
        return self._stored("contexts", slice(None)) if "contexts" in self._shards[0] else None

    @property
    def prompts(self) -> list[list[int]]:
        """The contexts as token lists without padding, ready to be recorded or decoded again.

        Raises
        ------
        BadArgument
            The contexts were not recorded.
        """
        if self.contexts is None:
            raise BadArgument(f"{self._source}: holds no contexts. Fix: Trace.from_laws(..., contexts=tokens).")
        return [row[row >= 0].tolist() for row in self.contexts]

    @property
    def target(self) -> np.ndarray:
        """Laws of the target model ``[n V]`` float64, all in memory; `laws` reads a part."""
        return self._laws("target", slice(None))

    @property
    def draft(self) -> np.ndarray:
        """Laws of the draft model ``[n V]`` float64, all in memory; `laws` reads a part."""
        return self._laws("draft", slice(None))

    def laws(self, index: Index = slice(None)) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(target, draft)`` of some contexts, float64 ``[m V]`` each (``[V]`` for an int)."""
        return self._laws("target", index), self._laws("draft", index)

    def rows(self, index: Index = slice(None)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return laws along one drafted block per context.

        Returns
        -------
        target_rows : [m L+1 V]
        draft_rows : [m L V]
        tokens : [m L] int64
            Drawn from ``draft_rows``; row ``i`` follows the first ``i`` of them.

        Raises
        ------
        BadArgument
            No blocks were recorded, or the laws were changed after the tokens had been drawn from them.
        """
        if not self.draft_length:
            raise BadArgument(f"{self._source}: no rows along blocks. Fix: record with draft_length=L, or "
                              f"otspec.load_trace('pocket', draft_length=L).")
        if self.transforms:
            raise BadArgument(f"{self._source}: the blocks were drawn before {list(self.transforms)}, so they do not "
                              f"follow the changed draft law. Fix: record at that temperature and truncation.")
        return (self._decoded("target_rows", index), self._decoded("draft_rows", index),
                self._stored("tokens", index).astype(np.int64))

    def with_temperature(self, temperature: float) -> Trace:
        """Return the trace of both laws raised to ``1 / temperature``; 0 keeps the largest mass only."""
        temperature = check_temperature(temperature)
        refuse_change(self.shortened, f"temperature: {temperature}", f"temperature={temperature}")
        return self._with({"temperature": temperature})

    def truncated(self, top_k: int | None = None, top_p: float | None = None) -> Trace:
        """Return the trace of both laws restricted to their ``top_k`` largest masses, then to mass ``top_p``."""
        top_k, top_p = check_cut(top_k, top_p)
        refuse_change(self.shortened, f"top_k, top_p: {top_k}, {top_p}", f"top_k={top_k}, top_p={top_p}")
        return self._with({"top_k": top_k, "top_p": top_p})

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[override]
        return self.laws(index)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        return (self.laws(i) for i in range(len(self)))

    __dir__ = public_names

    def __repr__(self) -> str:
        """Size and origin."""
        names = [self.provenance.get(key) for key in ("target", "draft")]
        origin = f", {names[0]} / {names[1]}" if all(names) else ""
        return f"Trace({len(self)} contexts, V={self.vocab_size}, draft_length={self.draft_length}{origin})"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        origin: dict[str, Any] = {key: self.provenance[key] for key in ("target", "draft") if key in self.provenance}
        return card("Trace", {"contexts": len(self), "tokens in the vocabulary": self.vocab_size,
                              "draft length": self.draft_length, **origin})

    def _with(self, step: Mapping[str, Any]) -> Trace:
        return Trace(self._shards, self.provenance, transforms=(*self.transforms, step), source=self._source)

    def _trusted(self, fingerprint: str, verify: bool) -> Trace:
        if verify and self.fingerprint != fingerprint:
            raise BadFile(f"{self._source}: altered: SHA-256 {self.fingerprint[:12]}..., recorded as "
                          f"{fingerprint[:12]}... Fix: copy the trace again, or record it again.")
        self._fingerprint = fingerprint
        return self

    def _stored(self, name: str, index: Index) -> np.ndarray:
        where = np.arange(len(self))[index]
        flat = where.ravel()
        home = np.searchsorted(self._starts, flat, side="right") - 1
        first = self._shards[0][name]
        out = np.empty((flat.size, *first.shape[1:]), dtype=first.dtype)
        for number in np.unique(home):
            mine = home == number
            out[mine] = self._shards[number][name][flat[mine] - self._starts[number]]
        return out.reshape(*where.shape, *out.shape[1:])

    def _decoded(self, name: str, index: Index) -> np.ndarray:
        return probabilities(self._stored(name, index), f"{self._source}: {name}")

    def _laws(self, which: str, index: Index) -> np.ndarray:
        if self.shortened:
            law = lengthen(self._decoded(which, index), self._stored(f"{which}{IDS}", index), self.vocab_size)
        elif which in self._shards[0]:
            law = self._decoded(which, index)
        else:  # the laws after the contexts are the first rows of the blocks
            law = probabilities(self._stored(f"{which}_rows", index)[..., 0, :], f"{self._source}: {which}")
        for step in self.transforms:
            if "temperature" in step:
                law = temper(law, step["temperature"])
            else:
                law = truncate(law, top_k=step["top_k"], top_p=step["top_p"])
        return law


def _as_contexts(contexts: Any) -> np.ndarray:
    array = number_array("contexts", as_tokens(contexts))
    if array.dtype.kind not in "iu" or array.ndim != 2:
        raise ShapeMismatch(f"contexts: {array.dtype} of shape {tuple(array.shape)}. "
                            f"Fix: whole numbers [n T], padded with -1 on the left.")
    if array.size and not -1 <= array.min() <= array.max() < 1 << 31:
        raise BadArgument(f"contexts: run from {array.min()} to {array.max()}. Fix: token ids, and -1 for padding.")
    return array.astype(np.int32)


def log_probabilities(law: np.ndarray, dtype: str = "float16") -> np.ndarray:
    """Natural logarithms of a law as they are stored; impossible tokens get ``-inf``."""
    if dtype not in ("float16", "float32", "float64"):
        raise BadArgument(f"dtype: {dtype!r} is not one of 'float16', 'float32', 'float64'.")
    out = np.full(law.shape, -np.inf)
    np.log(law, out=out, where=law > 0)
    return out.astype(dtype)


def probabilities(stored: np.ndarray, source: str = "trace") -> np.ndarray:
    """Law ``[*batch V]`` in float64 of stored log-probabilities: exponentials, renormalised."""
    logs = stored.astype(np.float64)
    peak = logs.max(axis=-1, keepdims=True)
    if not np.isfinite(peak).all():
        raise BadFile(f"{source}: a row holds NaN, +inf or no possible token. Fix: record it again.")
    law = np.exp(logs - peak)
    return law / law.sum(axis=-1, keepdims=True)


def _load_folder(folder: Path, verify: bool) -> Trace:
    index = read_index(folder)
    total, done = index["contexts"], sum(shard["contexts"] for shard in index["shards"])
    if done < total or "fingerprint" not in index:
        raise BadFile(f"{folder}: an unfinished recording, {done} of {total} contexts. "
                      f"Fix: run the same recording again; it goes on from there.")
    shards = []
    for entry in index["shards"]:
        file = folder / entry["file"]
        arrays, _ = map_arrays(file)
        if file.stat().st_size != entry["bytes"] or (verify and sha256(file) != entry["sha256"]):
            raise BadFile(f"{file}: truncated or altered since it was recorded. "
                          f"Fix: copy the folder again, or record into an empty one.")
        shards.append(arrays)
    trace = Trace(shards, index["provenance"], transforms=index["transforms"], source=str(folder))
    return trace._trusted(index["fingerprint"], verify)


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index of a recording's folder, finished or not.

    Raises
    ------
    BadFile
        None there, or one that lacks something.
    """
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        if index["format"] != FORMAT:
            raise ValueError(f"format {index['format']!r}")
        check_header({"fingerprint": ""} | index, HEADER | {"contexts": int, "shards": list, "fingerprint": str})
        for entry in index["shards"]:
            check_header(entry, {"file": str, "contexts": int, "bytes": int, "sha256": str})
        return index
    except FileNotFoundError:
        raise BadFile(f"{folder}: no {INDEX} in it, so it is no recording. Fix: give a trace.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BadFile(f"{folder / INDEX}: not the index of a recording ({error}). "
                      f"Fix: copy the folder again, or record into an empty one.") from None
