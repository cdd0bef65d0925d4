"""The command line: every subcommand parses its arguments and calls the public API.

Exit codes: 0 done, 1 a check failed, 2 bad usage or input (one line on stderr), 130 interrupted. Nothing but argparse
is imported before a subcommand runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from otspec import __version__
from otspec.cli.agreeing import add_agree
from otspec.cli.auditing import add_audit
from otspec.cli.decoding import add_decode
from otspec.cli.laws import add_bound, add_compare
from otspec.cli.models import add_models, add_record
from otspec.cli.planning import add_recommend
from otspec.cli.reports import add_figures, add_report
from otspec.cli.shared import BAD_USAGE, INTERRUPTED, Parser, set_threads
from otspec.cli.sweeping import add_sweep


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process unless given.

    Examples
    --------
    >>> main(["bound", "--target", "1,0", "--draft", "0.5,0.5", "-k", "2"])
    optimal acceptance 0.750000 (gap 0.0e+00; cut of 1 tokens {1})
    one draft alone: 0.500000; scheme WithReplacement(k=2)
    0
    """
    from otspec.core.errors import OtspecError

    try:
        parser = _parser()
        parser.words = sys.argv[1:] if arguments is None else arguments
        given = parser.parse_args(arguments)
    except SystemExit as stop:  # argparse has written its message
        return int(stop.code or 0)
    try:
        set_threads(given.threads)
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            return int(given.run(given) or 0)
    except BrokenPipeError:  # the reader of a pipe has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OtspecError, OSError) as error:
        print(f"otspec: error: {' '.join(str(error).split())}", file=sys.stderr)
        return BAD_USAGE
    except KeyboardInterrupt:
        print(f"otspec: interrupted. {given.resume}", file=sys.stderr)
        return INTERRUPTED


def _warn(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning in one line, as errors are; no line of code of the user's has caused it."""
    print(f"otspec: warning: {' '.join(str(message).split())}", file=sys.stderr)


class _Cite(argparse.Action):
    """Prints the citation and leaves, as ``--version`` does."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print and leave."""
        from otspec.citation import cite

        print(cite(), end="")
        parser.exit()


def subcommands() -> dict[str, argparse.ArgumentParser]:
    """Parsers of the subcommands by their names, in the order of the help."""
    return next(dict(action.choices) for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))


def _parser() -> Parser:
    parser = Parser(prog="otspec", description="Optimal transport for speculative decoding.",
                    epilog="example: otspec report --quick")
    parser.add_argument("--cite", action=_Cite, nargs=0, help="print how to cite otspec (BibTeX) and exit")
    parser.add_argument("--version", action="version", version=f"otspec {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (add_report, add_bound, add_compare, add_recommend, add_agree, add_record, add_decode, add_sweep,
                add_audit, add_figures, add_models):
        add(commands)
    return parser
