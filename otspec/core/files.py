"""Files that are either whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block ends without an error.

    Raises
    ------
    BadFile
        A device, a pipe or a folder stands there, which a file would replace; nothing can be written there.
    """
    final = Path(path)
    try:
        if final.exists() and not final.is_file():
            raise BadFile(f"{path}: stands for no file that could be written. Fix: give the name of a new or old file.")
        final.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{final.stem}.", suffix=final.suffix, dir=final.parent)
    except OSError as error:  # it names the temporary file, which nobody has asked for
        raise BadFile(f"{path}: cannot be written ({error.strerror or error}). Fix: another place.") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(final)
    finally:
        temporary.unlink(missing_ok=True)


def check_place(argument: str, path: str | os.PathLike[str], *, endings: Sequence[str] = (),
                folder: bool = False) -> None:
    """Refuse a place that a result could not be written to, before the work whose result it is.

    A file must be asked for in a folder that there is; an output folder is made, with those above it.

    Parameters
    ----------
    argument : str
        Name of the argument, for the messages.
    path : path
    endings : sequence of str
        Of file names that say how to write; any, where there are none.
    folder : bool
        Whether a folder is to be written, not a file.

    Raises
    ------
    BadFile
    """
    place = Path(path)
    if endings and place.suffix not in endings:
        raise BadFile(f"{argument}: {str(path)!r} does not say how to write. Fix: a name that ends in "
                      f"{', '.join(endings)}.")
    try:
        if place.exists() and place.is_dir() != folder:
            raise BadFile(f"{argument}: {path} is {'no' if folder else 'a'} folder. Fix: the name of a new "
                          f"{'folder' if folder else 'file'}.")
        above = place.absolute() if place.is_dir() else place.absolute().parent
        while folder and not above.exists():
            above = above.parent
        if not above.is_dir():
            raise BadFile(f"{argument}: {path}: there is no folder {above}. Fix: make it, or another place.")
        with tempfile.TemporaryFile(dir=above):  # permissions alone do not tell: of the superuser, of a full disk
            pass
    except OSError as error:
        raise BadFile(f"{argument}: {path} cannot be written ({error.strerror or error}). "
                      f"Fix: another place.") from None


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | os.PathLike[str], value: Any) -> None:
    """Write ``value`` as indented JSON, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, sort_keys=False) + "\n")


def sha256(path: str | os.PathLike[str]) -> str:
    """Hexadecimal SHA-256 of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def cache_folder() -> Path:
    """Folder of what can be made again: ``$OTSPEC_CACHE``, ``$XDG_CACHE_HOME/otspec`` or ``~/.cache/otspec``."""
    if own := os.environ.get("OTSPEC_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "otspec"
