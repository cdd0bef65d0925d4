"""How far known mistakes of implementations move the law of what is emitted, exactly, on the cases of an audit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.auditing.diagnosis import predicted
from otspec.auditing.families import build_cases
from otspec.auditing.mistakes import MISTAKES
from otspec.core.versions import installed

NAME = "mistakes"
SEED, LENGTH = 0, 2
GIVEN = ("given_taken_for_sampled",)  # mistakes about drafts that were chosen, not drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, __doc__, data, draw, arguments)


def data(quick: bool) -> ot.Table:
    """Total variation of every mistake on the cases where it is one: the largest, the median, and its case."""
    rows = []
    for mistake in MISTAKES:
        if mistake.law is None:
            continue
        found = _biases(mistake, LENGTH)
        worst = max(found, key=lambda name: found[name])
        rows.append({"mistake": mistake.name, "kind": mistake.kind, "largest": found[worst],
                     "median": float(np.median(list(found.values()))), "cases": len(found), "case": worst,
                     "wrong": mistake.wrong})
    return ot.Table(rows, {"seed": SEED, "draft_length": LENGTH, "otspec": ot.__version__, **installed(("numpy",))})


def _biases(mistake: Any, length: int) -> dict[str, float]:
    """Total variation of what a mistake emits from what must come out, on every case of an audit."""
    given = mistake.name in GIVEN
    made = next((name for name in mistake.schemes if hasattr(ot, name)),
                "WithoutReplacement" if given and mistake.kind == "tree" else "WithReplacement")
    scheme = getattr(ot, made)(1 if mistake.kind in ("token", "block") else 2)
    cases = build_cases(mistake.kind, scheme, length, _as_it_is, SEED, given=given, ragged=False, large=False)
    laws = ((case, predicted(mistake, case)) for case in cases)
    return {case.name: float(np.abs(law - case.law).sum() / 2) for case, law in laws if law is not None}


def _as_it_is(law: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    return law, np.asarray(law, dtype=np.float64)


def draw(table: ot.Table) -> Any:
    """One position on the left, blocks and trees on the right."""
    from otspec.plots.auditing import bias_of_mistakes
    from otspec.plots.layout import panels
    from otspec.plots.style import context

    columns = {"one position": {"token": "one draft", "multi": "several drafts"},
               "blocks and trees": {"block": "block", "tree": "tree"}}
    with context():
        figure, axes = panels(2, height=4.2)
        for ax, (title, kinds) in zip(axes, columns.items(), strict=True):
            bias_of_mistakes(table, ax, kinds).set_title(title, loc="right")  # wider than its axes
        axes[0].plot([], [], "o", color="#D55E00", label="worst case")
        axes[0].plot([], [], "o", color="#D55E00", mfc="white", label="median case")
        figure.legend(loc="outside lower center", ncols=2, title="TV(emitted law, target's law)")
        return figure


if __name__ == "__main__":
    sys.exit(main())
