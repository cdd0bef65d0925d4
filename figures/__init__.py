"""Figures: ``python -m figures.NAME --out DIR`` writes NAME.csv, NAME.pdf and NAME.png; ``README.md`` shows them all.

``python -m figures --all`` makes every one of them. The data step computes the CSV, with versions and seed in its
header; the draw step reads nothing but that file, and ``--from-csv`` runs it alone.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from otspec.core.errors import OtspecError
from otspec.core.table import Table
from otspec.recording.record import load_trace
from otspec.reporting import settings
from otspec.reporting.pictures import PAPER, PICTURES, make, redraw, save
from otspec.reporting.study import Study


def names() -> list[str]:
    """Names of all figures: one script each.

    Examples
    --------
    >>> "acceptance_vs_k" in names()
    True
    """
    return sorted(file.stem for file in Path(__file__).parent.glob("*.py") if not file.stem.startswith("__"))


def study(quick: bool, trace: str = "pocket", seed: int = 0) -> Study:
    """What the figures of the report are made from."""
    return Study(load_trace(trace), (settings.quick if quick else settings.full)(seed))


def main(name: str, arguments: Sequence[str] | None = None) -> int:
    """Make one figure from the command line; return the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m figures.{name}", description=PICTURES[name].title + ".",
                                     epilog=f"example: python -m figures.{name} --out figures-out --quick")
    parser.add_argument("--out", default=".", help="folder of the files (default: here)")
    parser.add_argument("--trace", default="pocket", help="recorded laws (default: the bundled trace)")
    parser.add_argument("--quick", action="store_true", help="fewer contexts, schemes and runs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--from-csv", metavar="FILE", help="draw again from the CSV of an earlier run")
    given = parser.parse_args(arguments)
    try:
        if given.from_csv:
            files = redraw(PICTURES[name], given.from_csv)
        else:
            files = make(PICTURES[name], study(given.quick, given.trace, given.seed), Path(given.out))
    except (OtspecError, OSError) as error:
        print(f"figures.{name}: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, files)))
    return 0


def own(name: str, description: str | None, data: Callable[[Any], Table], draw: Callable[[Table], Any],
        arguments: Sequence[str] | None = None,
        options: Callable[[argparse.ArgumentParser], None] | None = None) -> int:
    """Make a figure that stands in no report; return the exit code.

    ``data`` is told whether to be quick or, where the script has ``options`` of its own, all that was given; ``draw``
    sees the CSV alone and returns a figure.
    """
    parser = argparse.ArgumentParser(prog=f"python -m figures.{name}", description=description,
                                     epilog=f"example: python -m figures.{name} --out figures-out --quick")
    parser.add_argument("--out", default=".", help="folder of the files (default: here)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer runs")
    parser.add_argument("--from-csv", metavar="FILE", help="draw again from the CSV of an earlier run")
    if options is not None:
        options(parser)
    given = parser.parse_args(arguments)
    try:
        csv = Path(given.from_csv or Path(given.out) / f"{name}.csv")
        if not given.from_csv:
            csv.parent.mkdir(parents=True, exist_ok=True)
            data(given.quick if options is None else given).to_csv(csv)
        files = {kind: csv.with_suffix(f".{kind}") for kind in PAPER}
        save(draw(Table.from_csv(csv)), files)
    except (OtspecError, OSError) as error:
        print(f"figures.{name}: error: {error}", file=sys.stderr)
        return 2
    print("\n".join(map(str, [csv, *files.values()])))
    return 0


def made(name: str, out: str, quick: bool) -> tuple[str, str | None, float]:
    """Make one figure; return its name, what went wrong, if anything, and the seconds.

    It stands here and not beside its caller because a process that is started afresh does not import a ``__main__``.
    """
    start, said, asked = time.perf_counter(), io.StringIO(), ["--out", out, *["--quick"] * quick]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = main(name, asked) if name in PICTURES else importlib.import_module(f"figures.{name}").main(asked)
    problem = (said.getvalue().strip() or f"exit code {code}") if code else None
    return name, problem, time.perf_counter() - start
