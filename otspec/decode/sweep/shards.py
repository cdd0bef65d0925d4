"""A sweep's folder: an index that names the request, and for every finished unit a file of numbers and a line of notes.

``NNNN/PPPPPPPP.safetensors`` holds texts and counts of setting ``NNNN`` from prompt ``PPPPPPPP`` on; it is the same
byte by byte however often it is made. ``NNNN/PPPPPPPP.json`` beside it holds times, the machine, and the hash of the
former. It is written last: a unit is finished when it is there.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile
from otspec.core.files import sha256, write_json, write_text
from otspec.core.versions import warn_of_other
from otspec.decode.measure import DecodeRun
from otspec.decode.run_files import read_run, write_run
from otspec.decode.sweep.plan import Unit, units
from otspec.decode.sweep.work import Done

FORMAT = "otspec decode sweep 1"
INDEX = "sweep.json"


class Shards:
    """The folder of one sweep.

    Parameters
    ----------
    folder : path
        Of a sweep.

    Raises
    ------
    BadFile
        It holds no sweep.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        index = self.folder / INDEX
        if not index.is_file():
            raise BadFile(f"{folder}: holds no sweep. Fix: give the folder of a decode_sweep.")
        stated = _read_json(index)
        if stated.get("format") != FORMAT:
            raise BadFile(f"{index}: format {stated.get('format')!r}, not {FORMAT!r}. "
                          f"Fix: sweep again in a new folder.")
        self.request: dict[str, Any] = stated["request"]
        self.axes: list[str] = stated["axes"]
        self.units = list(units(len(self.request["settings"]), self.request["prompts"], self.request["shard_size"]))
        self._origin: dict[str, Any] | None = None
        self._versions: list[dict[str, str]] = []

    @classmethod
    def open(cls, folder: str | os.PathLike[str], request: dict[str, Any], axes: list[str]) -> Shards:
        """Begin a sweep, or go on with the same one.

        Raises
        ------
        BadFile
            The folder holds anything else.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise BadFile(f"{folder}: a file, not a folder. Fix: give a new folder.")
        if not (folder / INDEX).is_file():
            # a file that another run was writing when it was killed has a name that begins with a dot
            if folder.is_dir() and any(not found.name.startswith(".") for found in folder.iterdir()):
                raise BadFile(f"{folder}: holds files but no sweep. Fix: give an empty or new folder.")
            write_json(folder / INDEX, {"format": FORMAT, "request": request, "axes": axes})
        shards = cls(folder)
        _refuse_other(shards.request, json.loads(json.dumps(request)), folder)
        return shards

    def finished(self, known: Mapping[str, Any] | None = None) -> dict[str, dict[str, Any]]:
        """Notes of the finished units by name; every file is held against its hash.

        Parameters
        ----------
        known : mapping, optional
            What is known of the models that are to do the rest.

        Raises
        ------
        BadFile
            A file that was altered, or that comes from other models or another kind of device than the others.
        """
        found = {}
        for unit in self.units:
            notes = self._notes(unit)
            if notes is None:
                continue
            file = self._file(unit, "safetensors")
            if not file.is_file() or sha256(file) != notes["sha256"]:
                raise BadFile(f"{file}: missing or altered. Fix: delete {self._file(unit, 'json')} and sweep again.")
            self._check_origin(notes["origin"], file)
            found[unit.name] = notes
        if found:
            self._check_same(known or {}, self.folder)
        return found

    def write(self, unit: Unit, done: Done) -> None:
        """Keep a finished unit."""
        file = self._file(unit, "safetensors")
        self._check_origin(done.origin, file)
        run = done.run
        write_run(dataclasses.replace(run, seconds=0.0, timing={}, peak_bytes=None), file)
        notes = {"unit": unit._asdict(), "sha256": sha256(file), "seconds": run.seconds, "timing": run.timing,
                 "peak_bytes": run.peak_bytes, "origin": done.origin, "machine": done.machine}
        write_text(self._file(unit, "json"), json.dumps(notes) + "\n")

    def read(self, unit: Unit) -> DecodeRun:
        """Return a finished unit with its times.

        Raises
        ------
        BadFile
            It is not finished.
        """
        notes = self._notes(unit)
        if notes is None:
            raise BadFile(f"{self.folder}: {unit.name} is not finished. Fix: run the same sweep again; it goes on.")
        run = read_run(self._file(unit, "safetensors"))
        return dataclasses.replace(run, **{name: notes[name] for name in ("seconds", "timing", "peak_bytes")})

    def _notes(self, unit: Unit) -> dict[str, Any] | None:
        file = self._file(unit, "json")
        return _read_json(file) if file.is_file() else None

    def _file(self, unit: Unit, ending: str) -> Path:
        return self.folder / f"{unit.name}.{ending}"

    def _check_origin(self, origin: dict[str, Any], file: Path) -> None:
        """Refuse numbers of other models than before, or of another kind of device; warn of other libraries."""
        if origin["versions"] not in self._versions:
            self._versions.append(origin["versions"])
            warn_of_other(origin["versions"], str(file))
        if self._origin is None:
            self._origin = {key: value for key, value in origin.items() if key != "versions"}
        self._check_same({key: origin.get(key) for key in self._origin}, file)

    def _check_same(self, known: Mapping[str, Any], where: Path) -> None:
        origin = self._origin or {}
        for key, value in known.items():
            if origin[key] != value:
                raise BadFile(f"{where}: {key} is {value!r} here, {origin[key]!r} where earlier shards were "
                              f"made. Fix: finish the sweep with the models and devices it was begun with, or sweep "
                              f"again in a new folder.")


def _read_json(file: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise BadFile(f"{file}: no JSON object ({error}). Fix: delete it and sweep again.") from None


def _refuse_other(found: Mapping[str, Any], request: Mapping[str, Any], where: Path) -> None:
    for key in {**request, **found}:
        there: Any = found.get(key)
        here: Any = request.get(key)
        if there == here:
            continue
        if key == "settings" and len(there) == len(here):
            number = next(i for i, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
            key = next(name for name in here[number] if there[number].get(name) != here[number][name])
            there, here = there[number].get(key), here[number][key]
            key = f"{key} of setting {number}"
        elif key == "settings":
            key, there, here = "the number of settings", len(there), len(here)
        raise BadFile(f"{where}: holds another sweep: {key} is {there!r} there, {here!r} here. "
                      f"Fix: give a new folder, or repeat the sweep with its settings.")
