"""Model folders that carry the SHA-256 of their own files in ``hashes.json``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from otspec.core.errors import BadFile
from otspec.core.files import sha256, write_json

POCKET_FILES = ("NOTICE", "*.json", "*/*.json", "*/*.safetensors")


def check_hashes(folder: str | Path, fix: str = "reinstall otspec") -> None:
    """Compare every file that ``hashes.json`` of a folder lists with its SHA-256.

    Parameters
    ----------
    folder : path
    fix : str
        What the messages tell to do.

    Raises
    ------
    BadFile
        The list or a listed file is missing, or a file was altered.
    """
    folder = Path(folder)
    listed = folder / "hashes.json"
    if not listed.is_file():
        raise BadFile(f"{listed}: missing; these models come with the SHA-256 of their files, {fix}")
    for name, expected in json.loads(listed.read_text(encoding="utf-8")).items():
        file = folder / name
        if not file.is_file():
            raise BadFile(f"{file}: missing; {fix}")
        if (found := sha256(file)) != expected:
            raise BadFile(f"{file}: SHA-256 {found[:12]}..., expected {expected[:12]}...: altered; {fix}")


def write_hashes(folder: str | Path, patterns: Sequence[str] = POCKET_FILES) -> None:
    """Write ``hashes.json`` with the SHA-256 of every file below `folder` that matches; those of the pocket layout."""
    folder = Path(folder)
    files = sorted(path for pattern in patterns for path in folder.glob(pattern) if path.name != "hashes.json")
    write_json(folder / "hashes.json", {path.relative_to(folder).as_posix(): sha256(path) for path in files})
