"""A report as Markdown: summary, figures, checks, and the beginning of every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from otspec.core.table import Table
from otspec.reporting.page import Verdict
from otspec.reporting.pictures import PICTURES
from otspec.reporting.sections import Section
from otspec.reporting.summary import Line

TITLE = "Optimal and practical verification of drafts"


def markdown(lines: Sequence[Line], parts: Sequence[Section], tables: Mapping[str, Table], verdict: Verdict,
             drawn: set[str], notes: Sequence[str]) -> str:
    """Return the page.

    Parameters
    ----------
    lines : sequence of Line
        The summary.
    parts : sequence of Section
    tables : mapping
    verdict : Verdict
    drawn : set of str
        Figures that there are.
    notes : sequence of str
        Paragraphs on what the numbers mean and where they were made.
    """
    page = [f"# {TITLE}", "", *(f"- **{line.about}**: {line.text}" for line in lines), "",
            "The same page with sortable tables: [report.html](report.html).", "", "## Figures", ""]
    for part in parts:
        if part.picture in drawn:
            title = PICTURES[part.picture].title
            page += [f"### {title}", "", f"![{title}](figures/{part.picture}.png)", ""]
    page += ["## What was checked", "", *(f"- {sentence}" for sentence in verdict.sentences), ""]
    page += [text for note in notes for text in (note, "")]
    page += ["## Tables", ""]
    for part in parts:
        page += [f"### {part.heading}", "", part.sentence, "", part.shown(tables).to_markdown(), "",
                 f"{shown_words(part, tables)}: [tables/{part.table}.csv](tables/{part.table}.csv)", ""]
    return "\n".join(page)


def shown_words(part: Section, tables: Mapping[str, Table]) -> str:
    """How many of the rows are shown, and which.

    Examples
    --------
    >>> table = {"t": Table([{"a": 1.0}])}
    >>> shown_words(Section("Heading", "", "t", ("a",)), table)
    'All 1 rows, with all columns and digits'
    """
    shown, whole = len(part.shown(tables)), len(tables[part.table])
    return f"All {whole} rows, with all columns and digits" if shown == whole else \
        f"{shown} of {whole} rows, {part.order}; all of them, with all columns and digits"
