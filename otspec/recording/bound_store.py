"""Bounds context by context, in a file that the same request goes on from."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile
from otspec.core.files import write_text

FORMAT = "otspec-path-bound-1"
EVERY = 5.0  # seconds between two writings
DIGITS = 9  # decimals that are kept, of numbers with Monte-Carlo errors


class Store:
    """Results context by context, kept in a file if one is named."""

    def __init__(self, out: str | os.PathLike[str] | None, request: dict[str, Any]) -> None:
        self._path, self._request = None if out is None else Path(out), request
        self.found: list[list[list[float]]] = []
        self._written, self._changed = time.monotonic(), False
        if self._path is not None and self._path.exists():
            self.found = _read(self._path, request)

    def add(self, result: Sequence[tuple[float, float]]) -> None:
        """Take down what one more context gave."""
        self.found.append([[round(float(number), DIGITS) for number in pair] for pair in result])
        self._changed = True
        if time.monotonic() - self._written > EVERY:
            self._write()

    def _write(self) -> None:
        self._written = time.monotonic()
        if self._path is not None and self._changed:
            stored = {"format": FORMAT, "request": self._request, "found": self.found}
            write_text(self._path, json.dumps(stored, separators=(",", ":")) + "\n")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self._write()  # an interrupt keeps the finished contexts


def _read(path: Path, request: dict[str, Any]) -> list[list[list[float]]]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        known, found = stored["request"], stored["found"]
        if stored["format"] != FORMAT:
            raise ValueError(f"format {stored['format']!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadFile(f"out: {path} is no file of path_bound ({error}). Fix: name a new one.") from None
    for key, value in request.items():
        if known.get(key) != value:
            raise BadFile(f"out: {path} holds another request: {key} is {known.get(key)!r} there, {value!r} here. "
                          f"Fix: name a new file.")
    return found
