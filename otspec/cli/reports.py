"""``otspec report`` and ``otspec figures``."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import add_models_options, command, named_pair, show
from otspec.cli.values import read_prompts, seed
from otspec.core.files import check_place


def add_report(commands: Any) -> None:
    """Add ``otspec report``."""
    text = "say which drafts and rule to use, with the evidence, as one page"
    parser = command(commands, "report", _report, text,
                     "report --target ./large --draft ./small --out my-report",
                     "Finished stages are kept: run the same command again.")
    parser.description = f"S{text[1:]}. Without --trace and models: on the pair that comes with otspec."
    parser.add_argument("--trace", metavar="PATH", help="recorded laws, or 'pocket' (default)")
    add_models_options(parser)
    parser.add_argument("--prompts", metavar="FILE",
                        help="contexts to record from --target and --draft: one per line, or a .json list of texts or "
                             "of lists of token ids")
    parser.add_argument("--out", default="otspec-report", metavar="DIR", help="output folder")
    parser.add_argument("--quick", action="store_true", help="fewer contexts, schemes and runs")
    parser.add_argument("--force", action="store_true", help="write into a folder that holds other files; they stay")
    parser.add_argument("--seed", type=seed, default=0)


def _report(given: Any) -> int:
    from otspec.reporting.folder import ReportFolder

    _check_near_misses(given)
    check_place("--out", given.out, folder=True)
    ReportFolder(given.out, force=given.force)  # refused before any model is loaded
    from otspec.report import build_report

    prompts = None if given.prompts is None else read_prompts(given.prompts)
    report = build_report(trace=given.trace, pair=named_pair(given), prompts=prompts, out=given.out, quick=given.quick,
                          force=given.force, progress=not given.quiet, seed=given.seed)
    value = {"ok": report.verdict.ok, "certified": report.verdict.certified, "dominated": report.verdict.dominated,
             "confirmed": report.verdict.confirmed, "summary": {line.about: line.text for line in report.summary},
             "verdict": list(report.verdict.sentences),
             "out": str(report.out), "seconds": round(report.seconds, 2)}
    show(given, value, str(report))
    return report.exit_code


def _check_near_misses(given: Any) -> None:
    """Refuse a name or a path that is not there where another is so near that it was meant."""
    from pathlib import Path

    from otspec.core.errors import BadArgument, BadFile
    from otspec.core.names import did_you_mean
    from otspec.decode.models import POCKET_PAIRS

    for option in ("trace", "target", "draft"):
        value = getattr(given, option)
        place = Path(value or ".")
        if place.expanduser().exists() or (option == "trace" and value == "pocket"):
            continue
        if option != "trace" and value in POCKET_PAIRS:
            raise BadArgument(f"--{option}: {value!r} is a pair that comes with otspec. Fix: leave --target and "
                              f"--draft out for a report on 'pocket', or name folders of models.")
        siblings = {str(one) if place.parts[:-1] else one.name: None for one in place.parent.glob("*")}
        near = did_you_mean(value, siblings | ({"pocket": None} if option == "trace" else {}))
        if near and (option == "trace" or place.parts[:-1]):  # a bare name may be of a model on the hub
            raise BadFile(f"--{option}: {value}: no such file or folder.{near}")


def add_figures(commands: Any) -> None:
    """Add ``otspec figures``."""
    parser = command(commands, "figures", _figures, "make the report's figures with their data as CSV",
                     "figures --out figures-out --quick", "Finished figures are kept.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="some of them (default: all)")
    parser.add_argument("--trace", default="pocket", metavar="PATH", help="recorded laws")
    parser.add_argument("--out", default="otspec-figures", metavar="DIR")
    parser.add_argument("--quick", action="store_true", help="fewer contexts, schemes and runs")
    parser.add_argument("--seed", type=seed, default=0)


def _figures(given: Any) -> None:
    from otspec.core.errors import BadArgument, UnknownName
    from otspec.core.names import did_you_mean
    from otspec.recording.record import load_trace
    from otspec.reporting import settings
    from otspec.reporting.pictures import PICTURES, make
    from otspec.reporting.study import Study

    unknown = [name for name in given.names if name not in PICTURES]
    if unknown:
        raise UnknownName(f"NAME: there is no figure {unknown[0]!r}.{did_you_mean(unknown[0], PICTURES)} "
                          f"Fix: one of {', '.join(PICTURES)}.")
    check_place("--out", given.out, folder=True)
    study = Study(load_trace(given.trace), (settings.quick if given.quick else settings.full)(given.seed))
    if study.no_models and "predicted_vs_measured" in given.names:
        raise BadArgument(f"NAME: predicted_vs_measured needs models, but {study.no_models}. Fix: leave it out.")
    names = given.names or [name for name in PICTURES if not (study.no_models and name == "predicted_vs_measured")]
    files = [str(file) for name in names for file in make(PICTURES[name], study, given.out)]
    show(given, files, "\n".join(files))
