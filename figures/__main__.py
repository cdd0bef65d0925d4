"""All figures, or some: ``python -m figures --all [--quick] [--out DIR]`` or ``python -m figures NAME ...``.

Prints a line for each figure as it is done, two side by side. A figure that fails says why, and the others are made;
the exit code is then 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from figures import made, names

LONG = ("efficiency_vs_length", "jacobi_vs_window", "budget", "blockwise_lattice", "predicted_vs_measured")  # first


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figures that are asked for; return 0, 1 where one failed, or 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m figures", description="Make figures with their data as CSV.",
                                     epilog="example: python -m figures --all --quick --out figures-out")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"some of: {', '.join(names())}")
    parser.add_argument("--all", action="store_true", help="every figure")
    parser.add_argument("--out", default="figures-out", help="folder of the files (default: figures-out)")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer runs: less than a minute in all")
    parser.add_argument("--jobs", type=int, default=2, help="figures made at once (default: 2)")
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
    began, failed = time.perf_counter(), 0
    for place, (name, problem, seconds) in enumerate(_results(wanted, given), 1):
        failed += problem is not None
        print(f"[{place:2d}/{len(wanted)}] {name}: {problem or 'done'} ({seconds:.1f} s)", flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} figures in {given.out}, {time.perf_counter() - began:.0f} s")
    return int(failed > 0)


def _results(wanted: Sequence[str], given: argparse.Namespace) -> Iterator[tuple[str, str | None, float]]:
    """Results as figures are done: in this process, or in several."""
    if given.jobs <= 1:
        yield from (made(name, given.out, given.quick) for name in wanted)
        return
    with ProcessPoolExecutor(given.jobs, get_context("spawn")) as pool:  # a fork of threads may hang
        ordered = sorted(wanted, key=lambda name: name not in LONG)
        for one in as_completed([pool.submit(made, name, given.out, given.quick) for name in ordered]):
            yield one.result()


if __name__ == "__main__":
    sys.exit(main())
