"""A read-only table from names to algorithms. Reading order is display order.

A line of a registry is the only thing, beside the algorithm's own file, that adds an algorithm: contract tests,
`compare`, the figures and the decoder all iterate over the same table.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from otspec.core.errors import BadArgument, UnknownName
from otspec.core.names import did_you_mean
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.table import Table


@dataclass(frozen=True)
class Source:
    """Where an algorithm comes from: a key of ``references.bib`` and a place in that work."""

    key: str
    place: str = ""

    def __str__(self) -> str:
        """Key and place, as shown in tables."""
        return f"{self.key} {self.place}".strip()


@dataclass(frozen=True)
class Entry:
    """One line of a registry.

    Parameters
    ----------
    name : str
        The public name.
    factory : callable
        Makes the algorithm from its parameters.
    source : Source
    kind : str
        ``token``, ``block``, ``tree``, ``coupling`` or ``joint``.
    schemes : tuple of type
        Draft schemes that the algorithm is proved for.
    claims : frozenset of str
        Each switches a contract test on: ``lossless`` (output law equals target), ``tight_at_one`` (acceptance
        ``1 - TV`` at one draft), ``reflexive`` (acceptance 1 when target equals draft), ``optimal`` (acceptance
        equals the optimum of its scheme), ``small_vocabulary`` (``conditional`` is exponential in V or k).
    """

    name: str
    factory: Callable[..., Any]
    source: Source
    kind: str = "token"
    schemes: tuple[type, ...] = ()
    claims: frozenset[str] = frozenset()
    summary: str = ""

    def __repr__(self) -> str:
        """Name, kind, source and summary in one line."""
        return f"Entry({self.name!r}, {self.kind}, {self.source}: {self.summary})"

    def supports(self, scheme: Any) -> bool:
        """Whether the algorithm is proved for drafts of ``scheme``."""
        return isinstance(scheme, self.schemes)

    def make(self, scheme: DraftScheme | int | None, params: Mapping[str, Any]) -> Any:
        """Make a rule, bound to a scheme (default: one draft).

        Raises
        ------
        SchemeMismatch, BadArgument
            Not proved for the scheme; a parameter that the rule does not have.
        """
        self.check_parameters(params, given=1)
        return self.factory(as_scheme(1 if scheme is None else scheme), **params)

    def check_parameters(self, params: Mapping[str, Any], *, given: int = 0) -> None:
        """Refuse parameters that the factory does not have, and the lack of those that it cannot do without.

        Its first ``given`` ones are not the caller's to set. What a parameter is that nobody types, and where it comes
        from, a factory says in a mapping ``measured``.

        Raises
        ------
        BadArgument
        """
        wanted = list(inspect.signature(self.factory).parameters.values())[given:]
        known = [one.name for one in wanted]
        if unknown := sorted(set(params) - set(known)):
            raise BadArgument(f"{', '.join(unknown)}: no parameter of {self.name!r}.{did_you_mean(unknown[0], known)} "
                              f"Fix: it takes {', '.join(known) or 'none'}.")
        missing = [one.name for one in wanted if one.default is one.empty and one.name not in params
                   and one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
        if missing:
            how = [f"{name}= {text}" for name, text in getattr(self.factory, "measured", {}).items() if name in missing]
            raise BadArgument(f"{', '.join(missing)}: missing, {self.name!r} cannot do without. "
                              f"Fix: {'; '.join(how) or f'give {missing[0]}=...'}.")


class Registry(Mapping[str, Entry]):
    """Names to entries, in the order in which they were listed."""

    def __init__(self, what: str, *entries: Entry) -> None:
        self._what = what
        self._known = {entry.name: entry for entry in entries}

    @property
    def _entries(self) -> Mapping[str, Entry]:
        return self._known

    def __getitem__(self, name: str) -> Entry:
        """Return the entry, or raise `UnknownName` with the names there are."""
        try:
            return self._entries[name]
        except (KeyError, TypeError):  # what cannot be hashed is no name either
            raise UnknownName(f"no {self._what} is called {name!r}.{self._nearest(name)} "
                              f"Fix: one of {', '.join(self._entries)}.") from None

    def _nearest(self, name: Any) -> str:
        """Sentence on the nearest name, or on those whose source goes by the name, as ``specinfer`` does."""
        near = did_you_mean(name, self._entries)
        sources = [entry.name for entry in self._entries.values() if isinstance(name, str) and name
                   and name.lower() == entry.source.key.lower()]
        if near or not sources:
            return near
        return f" The work {name!r} is the source of {', '.join(map(repr, sources))}."

    def __contains__(self, name: object) -> bool:
        """Whether ``name`` is listed."""
        return isinstance(name, str) and name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names in order."""
        return iter(self._entries)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def made(self, kind: type, name: Any, params: Mapping[str, Any], *, argument: str = "name") -> Any:
        """Make what a name stands for; an object of ``kind``, which is made already, is returned as it is.

        Raises
        ------
        UnknownName, BadArgument
            ``argument`` is what the caller calls the name.
        """
        if isinstance(name, kind):
            refuse_parameters_of_made(name, params)
            return name
        if not isinstance(name, str):
            raise BadArgument(f"{argument}: {name!r} is neither a name nor a {self._what}. "
                              f"Fix: one of {', '.join(self)}.")
        entry = self[name]
        entry.check_parameters(params)
        return entry.factory(**params)

    def to_table(self) -> Table:
        """Names, kinds and summaries, one row per entry."""
        return Table([{"name": entry.name, "kind": entry.kind, "summary": entry.summary}
                      for entry in self.values()])

    def __repr__(self) -> str:
        """Table of names, kinds and summaries."""
        return str(self.to_table()) if self else f"no {self._what}"

    def _ipython_key_completions_(self) -> list[str]:
        """Names, so that notebooks complete ``registry["na``."""
        return list(self)

    def _repr_html_(self) -> str:
        return self.to_table()._repr_html_()


def refuse_parameters_of_made(made: Any, params: Mapping[str, Any]) -> None:
    """Refuse parameters beside an object that has its own.

    Raises
    ------
    BadArgument
    """
    if params:
        raise BadArgument(f"{', '.join(sorted(params))}: {made!r} is made already. Fix: give its name instead.")
