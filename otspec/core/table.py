"""A tidy table: a list of rows with the same columns, ready for CSV, Markdown and pandas."""

from __future__ import annotations

import csv
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from html import escape
from typing import Any

from otspec.core.errors import BadFile, MissingExtra, UnknownName
from otspec.core.files import replacing
from otspec.core.names import did_you_mean
from otspec.core.showing import figure_of, public_names

SHOWN_ROWS = 40  # of a longer table, half of them from each end
NUMBER = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf|nan)", re.ASCII | re.IGNORECASE)  # of a CSV cell
_WIDTH: ContextVar[int | None] = ContextVar("width", default=None)


@contextmanager
def narrowed(width: int | None) -> Iterator[None]:
    """Inside, ``str`` of a table has lines of at most ``width`` letters where that is possible; None: any length."""
    before = _WIDTH.set(width)
    try:
        yield
    finally:
        _WIDTH.reset(before)


@dataclass(frozen=True)
class Table:
    """Rows of plain values.

    Parameters
    ----------
    rows : list of dict
        All with the keys of the first.
    metadata : dict, optional
        Written as ``# key: value`` lines above the header of the CSV.

    Examples
    --------
    >>> print(Table([{"rule": "nss", "acceptance": 0.5}]).to_markdown())
    | rule | acceptance |
    | --- | --- |
    | nss | 0.5 |
    >>> Table([{"rule": "nss", "acceptance": 0.5}])
    rule  acceptance
    nss   0.5
    """

    rows: list[dict[str, Any]]
    metadata: dict[str, Any] = field(default_factory=dict)
    __dir__ = public_names

    @property
    def columns(self) -> list[str]:
        """Column names in order."""
        return list(self.rows[0]) if self.rows else []

    def column(self, name: str) -> list[Any]:
        """All values of one column.

        Raises
        ------
        UnknownName
            There is no such column.
        """
        self._check(name)
        return [row[name] for row in self.rows]

    def _check(self, name: str) -> None:
        if self.rows and name not in self.rows[0]:
            raise UnknownName(f"no column is called {name!r}.{did_you_mean(name, self.rows[0])} "
                              f"Fix: one of {', '.join(map(str, self.rows[0]))}.")

    def where(self, **equal: Any) -> Table:
        """Rows whose named columns equal the given values.

        Raises
        ------
        UnknownName
            There is no such column.
        """
        for name in equal:
            self._check(name)
        kept = [row for row in self.rows if all(row[name] == value for name, value in equal.items())]
        return Table(kept, self.metadata)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV file, whole or not at all; floats keep all their digits.

        A line break in the metadata becomes a space; in a cell it stays.
        """
        with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
            stream.writelines(" ".join(f"# {key}: {value}".splitlines()) + "\n" for key, value in self.metadata.items())
            writer = csv.DictWriter(stream, fieldnames=self.columns, lineterminator="\n", quoting=self._quoting())
            writer.writeheader()
            writer.writerows(self.rows)

    def _quoting(self) -> Any:
        """The csv module leaves bare what would be read as the end of a row, and a header that looks like metadata."""
        texts = [*map(str, self.columns), *(str(cell) for row in self.rows for cell in row.values())]
        unclear = any("\r" in text for text in texts) or any(text.startswith("# ") for text in texts[:1])
        return csv.QUOTE_ALL if unclear else csv.QUOTE_MINIMAL

    @classmethod
    def from_csv(cls, path: str | os.PathLike[str]) -> Table:
        """Read a file of `to_csv`; what looks like a number or a bool comes back as one, an empty cell as None.

        Raises
        ------
        BadFile
            A row with more or fewer cells than the header.
        """
        notes, rows = [], []
        with open(path, newline="", encoding="utf-8") as stream:
            while (line := stream.readline()).startswith("# "):
                notes.append(line[2:].rstrip("\r\n").split(": ", 1))
            reader = csv.DictReader(itertools.chain([line], stream))
            for row in reader:
                if None in row or None in row.values():
                    raise BadFile(f"{path}: the row that ends in line {len(notes) + reader.line_num} does not have the "
                                  f"{len(reader.fieldnames or ())} cells of the header. Fix: repair that row.")
                rows.append({key: _parse(cell) for key, cell in row.items()})
        return cls(rows, {note[0]: note[1] for note in notes if len(note) == 2})

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` (pandas must be installed)."""
        try:
            import pandas as pd
        except ImportError:
            raise MissingExtra("pandas is not installed. Fix: pip install pandas, or read `.rows`.") from None
        return pd.DataFrame(self.rows)

    def to_markdown(self, digits: int = 4) -> str:
        """Markdown text; floats are rounded to ``digits`` significant decimals for reading."""
        lines = [self.columns, ["---"] * len(self.columns)]
        lines += [[_show(row[name], digits) for name in self.columns] for row in self.rows]
        return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the figure that belongs to the columns: rules, acceptance against k, tokens against length, and others.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        BadArgument
            No figure is known for these columns, or rows of several settings would lie on one line.
        """
        return figure_of(self, "table", ax)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __str__(self) -> str:
        """Plain text with aligned columns, every row."""
        width = _WIDTH.get()
        return "\n".join(self._aligned(self.rows) if width is None else self._narrow(width))

    def _narrow(self, width: int) -> list[str]:
        """Lines of at most ``width``: columns of one value are told once, then those to the right are left out."""
        lines = self._aligned(self.rows)
        if max(map(len, lines)) <= width:
            return lines
        same = [name for name in self.columns if len(self) > 1 and len({str(row[name]) for row in self.rows}) == 1]
        kept = [name for name in self.columns if name not in same] or self.columns[:1]
        told = [f"{name} {_show(self.rows[0][name], 4)}" for name in same if self.rows[0][name] is not None]
        left: list[str] = []
        while True:
            part = Table([{name: row[name] for name in kept} for row in self.rows])
            lines = part._aligned(part.rows)
            if max(map(len, lines)) <= width or len(kept) == 1:
                break
            left.insert(0, kept.pop())
        return [*([f"in all rows: {', '.join(told)}"] if told else []), *lines,
                *([f"more columns with --out or --json: {', '.join(left)}"] if left else [])]

    def __repr__(self) -> str:
        """Plain text with aligned columns; a long table shows its first and its last rows."""
        if not self.rows:
            return "Table(no rows)"
        if len(self.rows) <= SHOWN_ROWS:
            return str(self)
        lines = self._aligned(self._ends())
        return "\n".join([*lines[: SHOWN_ROWS // 2 + 1], self._left_out(), *lines[SHOWN_ROWS // 2 + 1 :]])

    def _repr_html_(self) -> str:
        """HTML for notebooks, cut as the plain text is."""
        rows = [self._cells(row) for row in self._ends()]
        body = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
        if len(self.rows) > SHOWN_ROWS:
            body.insert(SHOWN_ROWS // 2, f'<tr><td colspan="{len(self.columns)}">{self._left_out()}</td></tr>')
        head = "".join(f"<th>{escape(name)}</th>" for name in self.columns)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"

    def _ends(self) -> list[dict[str, Any]]:
        half = SHOWN_ROWS // 2
        return self.rows if len(self.rows) <= SHOWN_ROWS else [*self.rows[:half], *self.rows[-half:]]

    def _left_out(self) -> str:
        return f"... {len(self.rows) - len(self._ends())} of {len(self.rows)} rows left out (see .rows) ..."

    def _cells(self, row: dict[str, Any]) -> list[str]:
        return [_show(row[name], 4) for name in self.columns]

    def shown(self) -> list[list[str]]:
        """Every cell as text for reading, row by row."""
        return [self._cells(row) for row in self.rows]

    def _aligned(self, rows: list[dict[str, Any]]) -> list[str]:
        cells = [self.columns, *map(self._cells, rows)]
        widths = [max(len(line[j]) for line in cells) for j in range(len(self.columns))]
        return ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in cells]


def _show(value: Any, digits: int) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        text = f"{value:.{digits}f}"
        short = text.rstrip("0").rstrip(".") if "." in text else text  # the zeros of 10 are no decimals
        return f"{value:.2e}" if 0 < abs(value) < 10**-digits else short
    return str(value)


def _parse(cell: str) -> Any:
    if cell == "":
        return None
    if cell in {"True", "False"}:
        return cell == "True"
    if not NUMBER.fullmatch(cell):  # int() alone would read 1_0, and digits of other scripts
        return cell
    for kind in (int, float):
        try:
            return kind(cell)
        except ValueError:
            continue
    return cell
