"""The figures of a report: which table each one needs, how it is drawn, and what it shows.

Data and drawing are apart: a `Picture` makes its table from a `Study`, and draws from the table alone, so that the
CSV beside a figure is all that is needed to draw it again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otspec.core.errors import BadArgument
from otspec.core.files import replacing
from otspec.core.table import Table
from otspec.plots.composed import (
    acceptance_figure,
    agreement_figure,
    decoding_figure,
    gap_figure,
    sequences_figure,
    toys_figure,
)
from otspec.plots.files import write_png
from otspec.plots.style import context
from otspec.reporting.study import Study

# dates and versions inside the files would make equal figures differ
METADATA = {"pdf": {"CreationDate": None, "Producer": None, "Creator": None}, "png": {"Software": None},
            "svg": {"Date": None, "Creator": None, "Format": None, "Type": None}}
PAPER = ("pdf", "png")  # of a figure outside a report, whose page holds the SVG


@dataclass(frozen=True)
class Picture:
    """One figure.

    Attributes
    ----------
    name : str
        Of the files.
    title : str
    data : callable
        `Study` to `Table`.
    draw : callable
        `Table` to ``matplotlib.figure.Figure``.
    """

    name: str
    title: str
    data: Callable[[Study], Table]
    draw: Callable[[Table], Any]


PICTURES = {picture.name: picture for picture in (
    Picture("acceptance_vs_k", "Acceptance against the number of drafts", Study.acceptance, acceptance_figure),
    Picture("gap_by_context", "Distance to the optimum, context by context", Study.gap_by_context, gap_figure),
    Picture("agreement_vs_tv", "Agreement without communication", Study.agreement, agreement_figure),
    Picture("predicted_vs_measured", "Predicted against measured tokens per target call", Study.decoding,
            decoding_figure),
    Picture("gap_on_toys", "Distance of every sequence-level rule to the optimum on small models", Study.toys,
            toys_figure),
    Picture("rules_on_paths", "Every sequence-level rule on the same drafted paths", Study.sequences, sequences_figure),
)}


def save(figure: Any, files: Mapping[str, str | os.PathLike[str]]) -> None:
    """Write a figure in some formats (``{"pdf": path, "png": path}``), each file whole or not at all."""
    import matplotlib as mpl

    with context(), mpl.rc_context({"svg.hashsalt": "otspec"}):  # else names inside an SVG file are random
        for kind, path in files.items():
            with replacing(path) as temporary:
                if kind == "png":
                    write_png(figure, temporary)
                else:
                    figure.savefig(temporary, format=kind, metadata=METADATA[kind])


def make(picture: Picture, study: Study, out: str | os.PathLike[str]) -> list[Path]:
    """Data step and draw step of one figure outside a report: ``NAME.csv``, then ``NAME.pdf`` and ``NAME.png``."""
    table = picture.data(study)
    if not len(table):
        missing = study.no_paths if picture.data == Study.sequences else study.no_models
        reason = missing or "the schemes need more tokens"
        raise BadArgument(f"{picture.name}: no rows to draw, because {reason}. Fix: another trace, or its models.")
    csv = Path(out) / f"{picture.name}.csv"
    table.to_csv(csv)
    return [csv, *redraw(picture, csv)]


def redraw(picture: Picture, csv: str | os.PathLike[str]) -> list[Path]:
    """Draw step alone, from the CSV of a data step."""
    csv = Path(csv)
    files = {kind: csv.with_suffix(f".{kind}") for kind in PAPER}
    save(picture.draw(Table.from_csv(csv)), files)
    return list(files.values())
