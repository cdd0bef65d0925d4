"""The output folder of a report: a list of what belongs to it, and the finished stages with what they depend on.

A stage is a function of its inputs. Its result lies in ``stages/NAME.json`` beside the hash of those inputs, so the
same inputs never compute it twice, and whatever was finished before an interrupt is there afterwards.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from otspec.core.errors import BadFile
from otspec.core.files import write_json
from otspec.core.versions import installed, warn_of_other

FORMAT = "otspec-report-1"
MANIFEST = "manifest.json"
Store = Callable[[str, Any, Callable[[], Any]], Any]


def compute_only(name: str, inputs: Any, compute: Callable[[], Any]) -> Any:
    """Stand in for `ReportFolder.stage` where nothing is kept."""
    return compute()


class ReportFolder:
    """A folder that only a report writes to.

    Parameters
    ----------
    path : path
        New, empty, or of an earlier report.
    force : bool
        Accept a folder that holds other files; they stay, unless a file of the report has the same name.

    Raises
    ------
    BadFile
        A file, or a folder with other files in it.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise BadFile(f"out: {self.path} is a file. Fix: give a folder.")
        self._lock = threading.Lock()  # stages may run side by side
        self._known = self._read_manifest()
        foreign = self._foreign()
        if foreign and not force:
            raise BadFile(f"out: {self.path} holds {foreign[0]}{' and more' * (len(foreign) > 1)}, which no report "
                          f"wrote. Fix: give a new folder, or --force (force=True) to write beside it.")

    def file(self, name: str) -> Path:
        """Path of one of the report's files, entered into the manifest before it is written."""
        with self._lock:
            if name not in self._known:
                self._known.append(name)
                write_json(self.path / MANIFEST, {"format": FORMAT, "files": self._known})
        return self.path / name

    def stage(self, name: str, inputs: Any, compute: Callable[[], Any]) -> Any:
        """Result of ``compute()``, a JSON value; taken from the folder where it was made from the same inputs.

        A result that another major version of a library made is taken with a `VersionWarning`.

        Parameters
        ----------
        name : str
        inputs : JSON value
            Everything that the result depends on.
        compute : callable
        """
        key = hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()
        file = self.path / "stages" / f"{name}.json"
        kept = _read_json(file)
        if isinstance(kept, dict) and kept.get("key") == key and "result" in kept:
            warn_of_other(kept.get("versions", {}), str(file))
            return kept["result"]
        result = compute()
        write_json(self.file(f"stages/{name}.json"),
                   {"key": key, "inputs": inputs, "versions": installed(), "result": result})
        return result

    def _read_manifest(self) -> list[str]:
        manifest = _read_json(self.path / MANIFEST)
        if isinstance(manifest, dict) and manifest.get("format") == FORMAT:
            return list(manifest["files"])
        return []

    def _foreign(self) -> list[str]:
        """Files that no report wrote, in order; a recording's folder counts as one file."""
        if not self.path.is_dir():
            return []
        mine = {MANIFEST} if self._known else set()
        mine |= set(self._known)
        names = sorted(file.relative_to(self.path).as_posix() for file in self.path.rglob("*") if file.is_file())
        return [name for name in names if name not in mine and not self._left_over(name, mine)
                and not any(name.startswith(f"{known}/") for known in mine)]

    def _left_over(self, name: str, mine: set[str]) -> bool:
        """Whether a temporary file of `otspec.core.files.replacing` was left by a killed report."""
        file = Path(name)
        stems = {Path(known).stem for known in (*mine, MANIFEST) if Path(known).parent == file.parent}
        return any(file.name.startswith(f".{stem}.") for stem in stems)


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # absent or unreadable: computed again, and written whole
        return None
