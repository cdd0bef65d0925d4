"""A registry that others may add to: rules written in a notebook, and packages that announce rules of their own.

A package announces itself by an entry point; it is loaded at the first look-up, not at import. One that fails is named
in a warning, and leaves what was there before untouched.
"""

from __future__ import annotations

import threading
import warnings
from importlib.metadata import entry_points
from typing import Any

from otspec.core.errors import BadArgument, UnknownName
from otspec.core.registry import Entry, Registry


class PluginWarning(UserWarning):
    """A rule from outside could not be loaded or compared, or breaks a claim; the message names it and its error."""


class OpenRegistry(Registry):
    """Names to entries, those of the package first, then what was added, in order.

    Parameters
    ----------
    what : str
        What an entry is, for messages.
    group : str
        Group of entry points; each names a function without arguments that adds entries.
    *entries : Entry
        Those of the package, which can be neither replaced nor removed.
    """

    def __init__(self, what: str, group: str, *entries: Entry) -> None:
        super().__init__(what, *entries)
        self._own, self._group = frozenset(self._known), group
        self._opened, self._lock = False, threading.RLock()
        self._failures: list[str] = []

    @property
    def _entries(self) -> dict[str, Entry]:
        self._open()  # a look-up of any kind loads the packages first
        return self._known

    def add(self, entry: Entry, *, replace: bool = False) -> None:
        """Add an entry; an own one is never replaced, another only where ``replace`` says so.

        Raises
        ------
        BadArgument
        """
        if entry.name in self._own:
            raise BadArgument(f"name: {entry.name!r} is a {self._what} of otspec. Fix: another name.")
        if entry.name in self._entries and not replace:
            raise BadArgument(f"name: {entry.name!r} is registered already. Fix: replace=True, or another name.")
        with self._lock:  # a copy, so that nobody who iterates in another thread is disturbed
            self._known = {**self._entries, entry.name: entry}

    def from_outside(self, name: Any) -> bool:
        """Whether an entry of this name was added, rather than being one of the package."""
        return name in self and name not in self._own

    def remove(self, name: str) -> None:
        """Remove an entry that was added.

        Raises
        ------
        UnknownName, BadArgument
        """
        if name in self._own:
            raise BadArgument(f"name: {name!r} is a {self._what} of otspec and stays. Fix: one that you registered.")
        _ = self[name]
        with self._lock:
            self._known = {known: entry for known, entry in self._entries.items() if known != name}

    def _open(self) -> None:
        with self._lock:
            if self._opened:
                return
            self._opened = True  # what is loaded looks names up itself
            for point in entry_points(group=self._group):
                self._load(point)

    def _load(self, point: Any) -> None:
        before = self._known
        try:
            point.load()()
        except Exception as error:  # whatever a stranger's code does, the rules of the package stay
            self._known = before
            package = getattr(point.dist, "name", "unknown package")
            self._failures.append(f"plug-in {point.name!r} of {package} failed: {type(error).__name__}: {error}")
            warnings.warn(f"{self._failures[-1]}. Fix: repair or uninstall {package}; no {self._what} of it is listed.",
                          PluginWarning, stacklevel=4)

    def __getitem__(self, name: str) -> Entry:
        """Return the entry, or raise `UnknownName` with the names there are, and with the plug-ins that failed."""
        try:
            return super().__getitem__(name)
        except UnknownName as error:
            if self._failures:
                raise UnknownName(f"{error} And: {'; '.join(self._failures)}.") from None
            raise
