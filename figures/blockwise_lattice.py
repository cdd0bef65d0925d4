"""Blockwise parallel drafts: verified prefix against the width of the lattice, and the heads by position."""

from __future__ import annotations

import json
import sys
from typing import Any

import otspec as ot
from figures import own
from otspec.core.versions import installed
from otspec.neighbours.blockwise import POCKET_HEADS

NAME = "blockwise_lattice"
PROMPT, PATHS = 32, 16


def data(quick: bool) -> ot.Table:
    """Blocks after held-out contexts of the pocket trace; and what training noted of the heads."""
    pair, trace = ot.load_pair("pocket", device="cpu"), ot.load_trace("pocket")
    texts = [context[-PROMPT:].tolist() for context in trace.contexts[: 4 if quick else 256]]
    rows: list[dict[str, Any]] = []
    for k in (1, 4) if quick else (1, 2, 4, 8, 16):
        found = ot.blockwise(pair, texts, k=k, paths=PATHS, progress=False)
        rows += [{"panel": "lattice", **row, "position": None, "top_1": None, "top_8": None} for row in found.rows]
    record = json.loads(POCKET_HEADS.with_suffix(".json").read_text(encoding="utf-8"))
    for fit in ("closed_form", "trained"):
        for place, (one, eight) in enumerate(zip(record[fit]["top_1"], record[fit]["top_8"], strict=True), 2):
            rows.append(dict.fromkeys(rows[0]) | {"panel": "heads", "draft": fit, "position": place, "top_1": one,
                                                  "top_8": eight})
    return ot.Table(rows, {"prompt": PROMPT, **found.metadata, **installed()})


def draw(table: ot.Table) -> Any:
    """Left: verified prefix. Right: accuracy of the heads on held-out text."""
    from otspec.plots.layout import panels
    from otspec.plots.neighbours import head_accuracy, verified_against_width
    from otspec.plots.style import context

    with context():
        figure, (left, right) = panels(2, height=3.5)
        verified_against_width(table.where(panel="lattice"), left)
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        head_accuracy(table.where(panel="heads"), right)
        right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
        return figure


def main(arguments: list[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__ or "", data, draw, arguments)


if __name__ == "__main__":
    sys.exit(main())
