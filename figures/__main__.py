"""All figures, or some: ``python -m figures --all [--quick] [--out DIR]`` or ``python -m figures NAME ...``.

Prints a line for each figure as it is done. A figure that fails says why, and the others are made; the exit code is
then 1. The figures of the report share what they compute.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import figures
from figures import names
from otspec.core.errors import OtspecError
from otspec.reporting.pictures import PICTURES, make
from otspec.reporting.study import Study


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figures that are asked for; return 0, 1 where one failed, or 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m figures", description="Make figures with their data as CSV.",
                                     epilog="example: python -m figures --all --quick --out figures-out")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(names())}")
    parser.add_argument("--all", action="store_true", help="every figure")
    parser.add_argument("--out", default="figures-out", help="folder of the files (default: figures-out)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer runs: about a minute in all")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in names()]
    if unknown:
        print(f"figures: error: NAME: there is no figure {unknown[0]!r}. Fix: one of {', '.join(names())}.",
              file=sys.stderr)
        return 2
    if bool(given.names) == given.all:
        print("figures: error: NAME: name figures or give --all, not both. Fix: python -m figures --all.",
              file=sys.stderr)
        return 2
    wanted = names() if given.all else given.names
    study, began, failed = figures.study(given.quick), time.perf_counter(), 0
    for place, name in enumerate(wanted, 1):
        start = time.perf_counter()
        problem = _made(name, study, given)
        failed += problem is not None
        seconds = time.perf_counter() - start
        print(f"[{place:2d}/{len(wanted)}] {name}: {problem or 'done'} ({seconds:.1f} s)", flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} figures in {given.out}, {time.perf_counter() - began:.0f} s")
    return int(failed > 0)


def _made(name: str, study: Study, given: argparse.Namespace) -> str | None:
    """Make one figure; return what went wrong, if anything."""
    if name in PICTURES:
        try:
            make(PICTURES[name], study, Path(given.out))
        except (OtspecError, OSError) as error:
            return " ".join(str(error).split())
        return None
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = importlib.import_module(f"figures.{name}").main(["--out", given.out, *["--quick"] * given.quick])
    return said.getvalue().strip() or f"exit code {code}" if code else None


if __name__ == "__main__":
    sys.exit(main())
