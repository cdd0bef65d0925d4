"""``otspec audit``: a verification function of a module or a file, or a command that answers line by line."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from otspec.cli.shared import FAILED, command, show
from otspec.cli.values import SCHEMES, count, read_scheme, scale, seed
from otspec.core.files import check_place

FIGURES = (".pdf", ".png", ".svg")
ADAPTERS = ("none", "hugging_face", "rejection_sampler", "tree_sampler", "json_lines")


def add_audit(commands: Any) -> None:
    """Add ``otspec audit``."""
    parser = command(commands, "audit", _audit, "whether a verification function is lossless",
                     "audit mykernel.py:verify --kind block --report audit.json")
    parser.add_argument("function", help="module:function or file.py:function; with --adapter json_lines a command")
    parser.add_argument("--kind", choices=("token", "multi", "block", "tree"), help="what it verifies")
    parser.add_argument("--adapter", choices=ADAPTERS, default="none", help="shape of the function")
    parser.add_argument("--given", action="store_true", help="drafts have no law of their own (with an adapter)")
    parser.add_argument("--scheme", default="with-replacement", help=SCHEMES)
    parser.add_argument("-k", type=count, default=None, help="number of drafts of one position, or of paths")
    parser.add_argument("--draft-length", type=count, default=2)
    parser.add_argument("--inputs", choices=("probabilities", "logits"), default="probabilities")
    parser.add_argument("--library", choices=("numpy", "torch"), default=None)
    parser.add_argument("--dtype", choices=("float64", "float32", "bfloat16"), default=None)
    parser.add_argument("--coins", default="generator", help="generator, global, or the number of uniforms it takes")
    parser.add_argument("--batch-size", type=count, help="rows of a call; without it one, and no leading axis")
    parser.add_argument("--tv", type=scale, default=0.02, help="deviation that must be found (default: 0.02)")
    parser.add_argument("--alarm", type=scale, default=1e-3, help="chance of a false alarm (default: 0.001)")
    parser.add_argument("--seconds", type=scale, default=60.0, help="time for judging (default: 60)")
    parser.add_argument("--no-large", action="store_true", help="leave out the vocabulary of 151,936 tokens")
    parser.add_argument("--report", metavar="FILE", help="also write the report as JSON")
    parser.add_argument("--figure", metavar="FILE", help="also draw observed against expected law")
    parser.add_argument("--seed", type=seed, default=0)


def _audit(given: Any) -> int:
    from otspec.auditing.run import audit

    if given.report:
        check_place("--report", given.report)
    if given.figure:
        check_place("--figure", given.figure, endings=FIGURES)
    scheme = None if given.k is None and given.scheme == "with-replacement" else read_scheme(given.scheme, given.k)
    coins = int(given.coins) if given.coins.isdecimal() else given.coins
    with contextlib.redirect_stdout(sys.stderr):  # what the function prints is no result
        subject, kind = _subject(given)
        report = audit(subject, kind=kind, scheme=scheme, draft_length=given.draft_length, inputs=given.inputs,
                       library=given.library or "numpy", dtype=given.dtype or "float64", coins=coins,
                       batch_size=given.batch_size, tv=given.tv, alarm=given.alarm, seconds=given.seconds,
                       large=not given.no_large, seed=given.seed, progress=not given.quiet)
    show(given, report.to_dict(), str(report))  # before the files: whatever becomes of them, it is told
    if given.report:
        report.to_json(given.report)
    if given.figure:
        report.figure(given.figure)
    return 0 if report.passed else FAILED


def _subject(given: Any) -> tuple[Any, str | None]:
    """The function, in its adapter, and the kind to audit it as."""
    from otspec import auditing
    from otspec.core.errors import BadArgument

    if given.kind is None and given.adapter in ("none", "json_lines"):
        raise BadArgument("--kind: missing. Fix: --kind token, multi, block or tree, what the function verifies.")
    if given.adapter == "json_lines":
        return auditing.json_lines(given.function, given.kind), given.kind
    fn = load_function(given.function)
    named = {name: getattr(given, name) for name in ("library", "dtype") if getattr(given, name) is not None}
    if given.adapter == "hugging_face":
        named.pop("library", None)
        return auditing.hugging_face(fn, **named), given.kind
    if given.adapter == "rejection_sampler":
        return auditing.rejection_sampler(fn, draft_probs=not given.given, **named), given.kind
    if given.adapter == "tree_sampler":
        return auditing.tree_sampler(fn, draft_probs=not given.given, **named), given.kind
    if given.given:
        raise BadArgument("--given: drafts without a law need an adapter. Fix: --adapter rejection_sampler.")
    return fn, given.kind


def load_function(name: str) -> Any:
    """Function of ``module:function`` or ``file.py:function``; the working directory is searched too.

    Raises
    ------
    BadArgument
    """
    import importlib
    import importlib.util
    import os

    from otspec.core.errors import BadArgument

    where, colon, attribute = name.rpartition(":")
    if not colon or not where or not attribute:
        raise BadArgument(f"function: {name!r} names no function. Fix: module:function or file.py:function.")
    try:
        if where.endswith(".py"):
            # a name of its own: a file json.py must not become the json of everything else in this process
            spec = importlib.util.spec_from_file_location(f"_audited_{Path(where).stem}", where)
            if spec is None or spec.loader is None:
                raise ImportError(f"{where} is no Python file")
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses and pickle look modules up here
            spec.loader.exec_module(module)
        else:
            sys.path.insert(0, os.getcwd())
            module = importlib.import_module(where)
        found = module
        for part in attribute.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise BadArgument(f"function: {name!r} cannot be loaded ({type(error).__name__}: {error}). "
                          f"Fix: check the module and the name.") from error
    return found
