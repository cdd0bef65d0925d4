"""Arrays on disk: safetensors files, written and memory-mapped with NumPy alone.

The format is 8 bytes of header length, a JSON header with dtype, shape and place of every array, then the arrays.
A file is checked against its header before anything is read, so a truncated one never yields numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.errors import BadFile
from otspec.core.files import replacing

_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I32": "<i4"}
_CODES = {np.dtype(name): code for code, name in _DTYPES.items()}
_CHUNK = 1 << 24  # bytes hashed or written at a time, so that more than fits in memory can be saved


def map_arrays(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Memory-map the arrays of a safetensors file; return them with the header's metadata.

    Raises
    ------
    BadFile
        Missing, truncated, or not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file. Fix: give a trace file, or the folder of a recording.")
    size = path.stat().st_size
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > size - 8:
                raise ValueError("header longer than the file")
            header = json.loads(stream.read(length))
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise ValueError("metadata that are no texts")
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise BadFile(f"{path}: no safetensors file, or cut off in its header ({error}). "
                      f"Fix: copy the trace again, or record it again.") from None
    if not isinstance(end, int) or size != 8 + length + end:
        raise BadFile(f"{path}: {size} bytes, its header promises {8 + length} and {end!r}: truncated or altered. "
                      f"Fix: copy the trace again, or record it again.")
    arrays: dict[str, np.ndarray] = {}
    for name, entry in header.items():
        if str(entry.get("dtype")) not in _DTYPES:
            raise BadFile(f"{path}: {name} has dtype {entry.get('dtype')}; a trace holds {', '.join(_DTYPES)}.")
        if not _fits(entry):
            raise BadFile(f"{path}: {name} has shape {entry.get('shape')} at {entry['data_offsets']}, which do not fit "
                          f"together: altered. Fix: copy the trace again, or record it again.")
        kind, start, shape = _DTYPES[entry["dtype"]], 8 + length + entry["data_offsets"][0], tuple(entry["shape"])
        # nothing cannot be mapped
        arrays[name] = np.memmap(path, kind, "r", start, shape) if math.prod(shape) else np.empty(shape, kind)
    return arrays, metadata


def _fits(entry: Mapping[str, Any]) -> bool:
    """Whether the shape of an array and its place in the file are numbers that belong together."""
    shape, place = entry.get("shape"), entry["data_offsets"]
    if not isinstance(shape, list) or not isinstance(place, list) or len(place) != 2:
        return False
    if not all(type(number) is int and number >= 0 for number in (*shape, *place)) or len(shape) > 8:
        return False
    return math.prod(shape) * np.dtype(_DTYPES[entry["dtype"]]).itemsize == place[1] - place[0]


def write_arrays(path: str | os.PathLike[str], shards: Sequence[Mapping[str, np.ndarray]],
                 metadata: Mapping[str, str]) -> None:
    """Write arrays, concatenated over ``shards``, as one safetensors file, whole or not at all."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    names = sorted(shards[0])
    for name in names:
        parts = [shard[name] for shard in shards]
        size = sum(part.nbytes for part in parts)
        header[name] = {"dtype": _CODES[parts[0].dtype], "shape": [sum(map(len, parts)), *parts[0].shape[1:]],
                        "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the format aligns the arrays to 8 bytes
    with replacing(path) as temporary, open(temporary, "wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            for block in _blocks(shards, name):
                stream.write(block)


def _blocks(shards: Sequence[Mapping[str, np.ndarray]], name: str) -> Iterator[bytes]:
    for shard in shards:
        array = shard[name]
        step = max(1, _CHUNK * len(array) // max(array.nbytes, 1))
        for start in range(0, len(array), step):
            yield np.ascontiguousarray(array[start : start + step]).tobytes()


def digest(shards: Sequence[Mapping[str, np.ndarray]], description: Any) -> str:
    """SHA-256 over a description (JSON values) and the arrays, the same however they are cut into shards."""
    state = hashlib.sha256(json.dumps(description, sort_keys=True).encode())
    for name in sorted(shards[0]):
        first = shards[0][name]
        state.update(f"{name} {_CODES[first.dtype]} {first.shape[1:]}".encode())
        for block in _blocks(shards, name):
            state.update(block)
    return state.hexdigest()
