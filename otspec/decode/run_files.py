"""A decoding run on disk: one safetensors file with texts and counts, settings and times in its header."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from otspec.core.errors import BadFile
from otspec.core.storage import map_arrays, write_arrays
from otspec.decode.measure import DecodeRun

FORMAT = "otspec decode run 1"


def write_run(run: DecodeRun, path: str | os.PathLike[str]) -> None:
    """Write a run; files of runs that differ in nothing, times included, are equal byte by byte."""
    arrays = {"tokens": np.array([token for text in run.tokens for token in text], dtype=np.int32),
              "lengths": np.array([len(text) for text in run.tokens], dtype=np.int32),
              "accepted": run.accepted.astype(np.int32)}
    if run.predicted is not None:
        arrays["predicted"] = run.predicted.astype(np.float64)
    rest = {"settings": run.settings, "seconds": run.seconds, "timing": run.timing, "peak_bytes": run.peak_bytes}
    write_arrays(path, [arrays], {"format": FORMAT, "run": json.dumps(rest, default=_plain)})


def read_run(path: str | os.PathLike[str]) -> DecodeRun:
    """Read a run.

    Raises
    ------
    BadFile
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: no such file. Fix: give a file of DecodeRun.save.")
    arrays, metadata = map_arrays(path)
    if metadata.get("format") != FORMAT:
        raise BadFile(f"{path}: format {metadata.get('format')!r}, not {FORMAT!r}. Fix: give a file of DecodeRun.save.")
    try:
        ends = np.cumsum(arrays["lengths"])
        if ends.size and (np.diff(ends, prepend=0).min() < 0 or ends[-1] != len(arrays["tokens"])):
            raise ValueError("lengths of the texts")
        tokens = [text.tolist() for text in np.split(np.asarray(arrays["tokens"]), ends[:-1])]
        predicted = np.array(arrays["predicted"]) if "predicted" in arrays else None
        return DecodeRun(tokens, np.array(arrays["accepted"], dtype=np.int64), predicted, **json.loads(metadata["run"]))
    except (KeyError, ValueError, TypeError) as error:
        raise BadFile(f"{path}: altered: {error} do not belong to a run. Fix: copy the file again.") from None


def _plain(value: Any) -> Any:
    """Numbers of NumPy as those of Python."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r} cannot be written as JSON")
