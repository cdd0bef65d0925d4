"""What all subcommands share: their options, their exit codes and how they print."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from otspec.cli.values import count
from otspec.core.names import did_you_mean

FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130


def command(commands: Any, name: str, run: Callable[[Any], int | None], text: str, example: str,
            resume: str = "Nothing was written.") -> argparse.ArgumentParser:
    """Add a subcommand with the options that all of them share."""
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                                 epilog=f"example: otspec {example}")
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress bar, no result on stdout")
    parser.add_argument("--threads", type=count, metavar="N", help="CPU threads to use (default: all)")
    parser.set_defaults(run=run, resume=resume)
    return parser


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, and names what was meant."""

    words: Sequence[str] = ()  # what is parsed, of the parser that holds the subcommands

    def error(self, message: str) -> NoReturn:
        """Exit with the code of bad usage."""
        unknown = re.match("unrecognized arguments: (-[^ =]+)", message)
        called = {name: parser for action in self._actions if isinstance(action, argparse._SubParsersAction)
                  for name, parser in action.choices.items() if name in self.words}
        if unknown and called:
            name, parser = next(iter(called.items()))
            meant = did_you_mean(unknown[1], parser._option_string_actions)
            self.exit(BAD_USAGE, f"otspec: error: {message}.{meant} Fix: otspec {name} --help shows the usage.\n")
        wrong = re.search(r"invalid choice: '([^']*)' \(choose from (.*)\)", message)
        meant = did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2])) if wrong else ""
        self.exit(BAD_USAGE, f"otspec: error: {message}.{meant} Fix: {self.prog} --help shows the usage.\n")


def set_threads(count: int | None) -> None:
    """Limit the threads of numerical libraries, loaded or not."""
    if count is None:
        return
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count)))
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    else:
        os.environ["NUMBA_NUM_THREADS"] = str(count)
    if "torch" in sys.modules:  # after numba, whose OpenMP layer resets the number that torch reads
        sys.modules["torch"].set_num_threads(count)


def show(given: Any, value: Any, text: str) -> None:
    """Print a result: the value as JSON, or the text."""
    try:
        if given.json:
            print(json.dumps(finite(value), indent=2, allow_nan=False), flush=True)
        elif not given.quiet:
            print(text, flush=True)
    except BrokenPipeError:  # the reader of a pipe has seen enough; the exit code still tells
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def terminal_width() -> int | None:
    """Letters of a line of the terminal that stdout is; None where it is none, as in a pipe."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def finite(value: Any) -> Any:
    """Value as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_models_options(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Add the options that name a pair of models, or with ``several`` one target and any number of drafts."""
    parser.add_argument("--target", metavar="MODEL",
                        help="large model: a folder, a .gguf file, a hub id, or the name of a fetched model")
    text = "small model with the same vocabulary; or the target without layers, skip:8-20, or rounded, quantised:4"
    if several:
        parser.add_argument("--draft", metavar="MODEL", action="append",
                            help=f"{text}; repeatable, for --drafter several")
    else:
        parser.add_argument("--draft", metavar="MODEL", help=text)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")


def named_pair(given: Any, name: str | None = None) -> Any:
    """Models named on the command line, None where none are."""
    from otspec.core.errors import BadArgument
    from otspec.decode.models import load_pair

    if given.target is None and given.draft is None:
        return load_pair(name, device=given.device) if name else None
    if given.target is None or given.draft is None:
        neither = ", or neither: a trace needs no models" if getattr(given, "trace", None) else ""
        raise BadArgument(f"--target and --draft belong together. Fix: give both{neither}.")
    draft = given.draft[0] if isinstance(given.draft, list) and len(given.draft) == 1 else given.draft
    return load_pair(target=given.target, draft=draft, device=given.device)


def add_warp_options(parser: argparse.ArgumentParser) -> None:
    """Add the settings under which both models speak."""
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--top-k", type=int)
    parser.add_argument("--top-p", type=float)
