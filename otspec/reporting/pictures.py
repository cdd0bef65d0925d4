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
from otspec.plots import acceptance_vs_k, agreement_vs_tv, context, differences, gap_by_context, predicted_vs_measured
from otspec.plots.acceptance import scheme_name
from otspec.plots.sequence import difference_to_reference, gap_on_toys
from otspec.plots.style import INK, WIDTH
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


def _figure(panels: int, height: float = 2.9, width: float = WIDTH) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(panels * width, height), layout="constrained")
    return figure, list(figure.subplots(1, panels, sharey=True, squeeze=False)[0])


def _below(ax: Any, columns: int = 3) -> None:
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns, columnspacing=1.0, handlelength=1.8)


def draw_acceptance(table: Table) -> Any:
    """One panel per scheme; a scheme with a single k joins the panel before it."""
    groups: list[list[str]] = []
    for scheme in dict.fromkeys(table.column("scheme")):
        lone = len(set(table.where(scheme=scheme).column("k"))) == 1
        if lone and groups and scheme == "Hub":
            groups[-1].append(scheme)
        else:
            groups.append([scheme])
    with context():
        figure, axes = _figure(len(groups), 3.3, 2.5)
        for ax, group in zip(axes, groups, strict=True):
            acceptance_vs_k(Table([row for row in table.rows if row["scheme"] in group]), ax)
            ax.set_xlim(min(table.column("k")) / 1.15, max(table.column("k")) * 1.15)
            ax.set_title(" and ".join(scheme_name(scheme) for scheme in group))
            ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
            _below(ax, 2)
        return figure


def draw_gaps(table: Table) -> Any:
    """One panel per scheme and k; where some are exact throughout, those that were sampled are not drawn."""
    groups = list(dict.fromkeys(zip(table.column("scheme"), table.column("k"), strict=True)))
    exact = [one for one in groups if "sampled" not in table.where(scheme=one[0], k=one[1]).column("method")]
    groups = exact or groups
    with context():
        figure, axes = _figure(len(groups), 3.1, 2.9)
        for ax, (scheme, k) in zip(axes, groups, strict=True):
            gap_by_context(table.where(scheme=scheme, k=k), ax)
            ax.set_title(f"k = {k}, {scheme_name(scheme)}")
            ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
            _below(ax, 2)
        return figure


def draw_agreement(table: Table) -> Any:
    """Points of every context between the bounds."""
    with context():
        figure, (ax,) = _figure(1, 3.2, 3.8)
        agreement_vs_tv(table, ax)
        ax.legend(loc="upper right", markerscale=1.8)
        return figure


def draw_decoding(table: Table) -> Any:
    """One line per run: both numbers, and their difference on a scale of its own."""
    with context():
        figure, (ax, beside) = _figure(2, 1.1 + 0.2 * len(table), 4.2)
        predicted_vs_measured(table, ax)
        differences(table, beside)
        handles, labels = ax.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=0.8)
        return figure


def draw_toys(table: Table) -> Any:
    """One panel per number of paths, the most paths first."""
    with context():
        sizes = sorted(set(table.column("paths")), reverse=True)
        figure, axes = _rows_of_rules(table, sizes)
        for ax, paths in zip(axes, sizes, strict=True):
            part = table.where(paths=paths)
            gap_on_toys(part, ax)
            lengths = " or ".join(str(length) for length in sorted(set(part.column("draft_length"))))
            ax.set_title(f"{paths} path{'s' * (paths > 1)} of {lengths} tokens")
        return figure


def draw_sequences(table: Table) -> Any:
    """One panel per number of paths; open markers are the shorter paths."""
    with context():
        sizes = sorted(set(table.column("paths")))
        figure, axes = _rows_of_rules(table, sizes)
        for ax, paths in zip(axes, sizes, strict=True):
            difference_to_reference(table.where(paths=paths), ax)
            ax.set_title(f"{paths} path{'s' * (paths > 1)}, against {'Traversal' if paths > 1 else 'block'}")
            ax.margins(x=0.1)
            ax.locator_params(axis="x", nbins=5)
        figure.supxlabel("difference in tokens per target call, same drafts (± 1 standard error)", fontsize="medium")
        lengths = sorted(set(table.column("draft_length")))
        for length in lengths:
            axes[0].plot([], [], "o", color=INK, mfc=INK if length == lengths[-1] else "white",
                         label=f"{length} tokens per path")
        figure.legend(loc="outside lower right", ncols=len(lengths))
        return figure


def _rows_of_rules(table: Table, sizes: list[int]) -> tuple[Any, list[Any]]:
    """Panels that do not share an axis, as high as the longest list of rules."""
    from matplotlib.figure import Figure

    most = max(len(set(table.where(paths=paths).column("rule"))) for paths in sizes)
    figure = Figure(figsize=(0.95 * WIDTH * len(sizes), 0.9 + 0.24 * most), layout="constrained")
    return figure, list(figure.subplots(1, len(sizes), squeeze=False)[0])


PICTURES = {picture.name: picture for picture in (
    Picture("acceptance_vs_k", "Acceptance against the number of drafts", Study.acceptance, draw_acceptance),
    Picture("gap_by_context", "Distance to the optimum, context by context", Study.gap_by_context, draw_gaps),
    Picture("agreement_vs_tv", "Agreement without communication", Study.agreement, draw_agreement),
    Picture("predicted_vs_measured", "Predicted against measured tokens per target call", Study.decoding,
            draw_decoding),
    Picture("gap_on_toys", "Distance of every sequence-level rule to the optimum on small models", Study.toys,
            draw_toys),
    Picture("rules_on_paths", "Every sequence-level rule on the same drafted paths", Study.sequences, draw_sequences),
)}


def save(figure: Any, files: Mapping[str, str | os.PathLike[str]]) -> None:
    """Write a figure in some formats (``{"pdf": path, "png": path}``), each file whole or not at all."""
    import matplotlib as mpl

    with context(), mpl.rc_context({"svg.hashsalt": "otspec"}):  # else names inside an SVG file are random
        for kind, path in files.items():
            with replacing(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=METADATA[kind])
            figure.set_layout_engine("none")  # found with the first file; all formats show the same


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
