"""One call from a pair of models to a decision and its evidence: a summary, figures, certified comparisons.

A report opens with at most twelve lines: which drafts and rule to use, how far they are from what any rule could do,
what the field's default loses, and whether all was certified and confirmed. It holds, for every draft scheme, the
certified optimum and the acceptance of every rule; their distance over contexts; decoding runs beside their own
predictions; efficiency over the draft length; rules for whole paths beside their optimum; agreement of couplings. Each
part is a stage whose result stays in the output folder, so that a report can be interrupted and run again.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from otspec import __version__
from otspec.core.errors import BadArgument
from otspec.core.files import write_json, write_text
from otspec.core.progress import progress_bar
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.decode.arguments import check_seed
from otspec.decode.models import POCKET, Pair
from otspec.recording.record import load_trace, record
from otspec.reporting import settings as sizes
from otspec.reporting.advice import decoded_choices
from otspec.reporting.decoded import changed_since, spread
from otspec.reporting.exact import agreement_summary, quantile_table
from otspec.reporting.folder import FORMAT, ReportFolder
from otspec.reporting.html import page
from otspec.reporting.large import RECORDED_LEAST, RECORDED_SHARE, fewer, is_slow, smaller
from otspec.reporting.markdown import markdown
from otspec.reporting.page import CERTIFICATE, Verdict, judge, surroundings
from otspec.reporting.pictures import METADATA, PICTURES, save
from otspec.reporting.profiles import profile_summary
from otspec.reporting.sections import sections
from otspec.reporting.sequences import check_sequences, toy_summary
from otspec.reporting.settings import Settings
from otspec.reporting.shortened import shortened_note
from otspec.reporting.study import Study
from otspec.reporting.summary import Line, summary

RECORDED = "trace"  # subfolder that keeps the recording of a pair given without a trace
RECORDED_CONTEXTS = {False: 128, True: 32}  # of such a recording, full and quick


@dataclass(frozen=True)
class Report:
    """A finished report.

    Attributes
    ----------
    out : Path
        Its folder; ``report.html`` and ``report.md`` are the page, ``report.json`` holds all numbers.
    summary : tuple of Line
        The first lines of the page, at most twelve.
    tables : dict of str to Table
    verdict : Verdict
    skipped : str or None
        Why nothing was decoded.
    seconds : float
        Wall time of this call; finished stages of earlier calls cost nothing.
    """

    out: Path
    summary: tuple[Line, ...]
    tables: dict[str, Table]
    verdict: Verdict
    skipped: str | None
    seconds: float

    @property
    def exit_code(self) -> int:
        """0 where every check held, else 1."""
        return 0 if self.verdict.ok else 1

    def __str__(self) -> str:
        """Summary, and where to read on."""
        return "\n".join([*map(str, self.summary), f"Report: {self.out / 'report.html'} ({self.seconds:.1f} s)"])


def build_report(*, trace: Trace | str | os.PathLike[str] | None = None, pair: Pair | None = None,
                 prompts: Iterable[Any] | None = None, out: str | os.PathLike[str] = "otspec-report",
                 quick: bool = False, settings: Settings | None = None, force: bool = False, progress: bool = True,
                 seed: int = 0, executor: Executor | None = None) -> Report:
    """Compare every rule with the certified optimum of its scheme on recorded laws, and confirm by decoding.

    Parameters
    ----------
    trace : Trace, "pocket" or path, optional
        Recorded laws. Without trace and pair: the pocket pair's.
    pair : Pair, optional
        Models of the trace, for decoding; without a trace, ``prompts`` are recorded first.
    prompts : iterable of str or of token lists, optional
        Contexts to record; the text of the pocket trace's contexts unless given.
    out : path
        Folder of the report. Stages that an earlier report finished there on the same inputs are reused.
    quick : bool
        Fewer contexts, schemes and runs. Models that are slow on a CPU get fewer either way, and the page says so.
    settings : Settings, optional
        Exact size, instead of ``quick`` and ``seed``.
    force : bool
        Write into a folder that holds other files.
    progress : bool
        Show a progress bar.
    seed : int
    executor : concurrent.futures.Executor, optional
        Who records the contexts and decodes, as in `decode_sweep`; all else is computed here.

    Returns
    -------
    Report

    Raises
    ------
    BadFile
        ``out`` holds files that no report wrote; a trace that is missing or altered.
    BadArgument
        A pair that the trace was not recorded from.
    """
    start = time.perf_counter()
    if settings is None:
        settings = (sizes.quick if quick else sizes.full)(check_seed(seed))
        settings = smaller(settings) if is_slow(pair) else settings
    if prompts is not None and (pair is None or trace is not None):
        raise BadArgument("prompts: they are recorded from a pair. Fix: give target and draft, and no trace.")
    folder = ReportFolder(out, force=force)
    laws = _laws(trace, pair, prompts, folder, quick, progress, executor)
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(_bar(progress))
        study = Study(laws, settings, pair=pair, store=folder.stage, tick=bar.tick, executor=executor)
        bar.start(study.stages + len(PICTURES))
        tables = _tables(study)
        drawn = _draw(folder, tables, bar)
    skipped = study.no_models
    agreements = Table([{"outside": row["outside"]} for name in ("agreement_summary", "couplings")
                        for row in tables[name].rows])
    verdict = judge(tables["acceptance"], agreements, tables["decoding"], skipped,
                    check_sequences(tables["toys"], tables["sequences"], study.no_paths),
                    decoded_choices(tables["advice"]))
    for name, table in tables.items():
        if len(table):
            table.to_csv(folder.file(f"tables/{name}.csv"))
    seconds = time.perf_counter() - start
    lines = summary(study.trace, study.contexts.size, tables, verdict,
                    {"advice": study.no_advice, "decoding": skipped})
    _write(folder, study, tables, verdict, drawn, lines, seconds)
    return Report(folder.path, tuple(lines), tables, verdict, skipped, seconds)


def _laws(trace: Any, pair: Pair | None, prompts: Iterable[Any] | None, folder: ReportFolder, quick: bool,
          progress: bool, executor: Executor | None = None) -> Trace:
    if isinstance(trace, Trace):
        return trace
    if trace is not None:
        return load_trace(trace)
    bundled = load_trace("pocket")
    shipped = pair is not None and pair.fingerprint == bundled.provenance.get("fingerprint")
    if pair is None or (prompts is None and shipped and changed_since(pair, bundled.provenance) is None):
        return bundled
    if prompts is None:
        wanted = RECORDED_CONTEXTS[quick]
        prompts = _pocket_texts(bundled, fewer(wanted, RECORDED_SHARE, RECORDED_LEAST) if is_slow(pair) else wanted)
    place = folder.file(RECORDED)
    return record(pair, prompts, out=place, progress=progress, executor=executor)


def _pocket_texts(trace: Trace, count: int) -> list[str]:
    """Contexts of the bundled trace as text, for models with another vocabulary."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(POCKET / "tokenizer.json"))
    return [tokenizer.decode(tokens) for tokens in spread(trace.prompts, count)]


def _tables(study: Study) -> dict[str, Table]:
    study.compute_together()
    acceptance, gaps = study.acceptance(), study.gap_by_context()
    agreement = study.agreement()
    decoding, efficiency = study.decoding(), study.efficiency()
    toys, sequences = study.toys(), study.sequences()
    return {"advice": study.advice(), "acceptance": acceptance, "gap_by_context": gaps,
            "gap_quantiles": Table(quantile_table(gaps).rows, acceptance.metadata), "agreement_vs_tv": agreement,
            "agreement_summary": Table(agreement_summary(agreement).rows, acceptance.metadata),
            "couplings": study.couplings(), "decoding": decoding, "efficiency": efficiency,
            "profile": profile_summary(efficiency), "toys": toys,
            "toy_summary": Table(toy_summary(toys).rows, acceptance.metadata), "sequences": sequences}


TABLE_OF = {"acceptance_vs_k": "acceptance", "gap_by_context": "gap_by_context", "agreement_vs_tv": "agreement_vs_tv",
            "predicted_vs_measured": "decoding", "gap_on_toys": "toys", "rules_on_paths": "sequences"}


def _draw(folder: ReportFolder, tables: dict[str, Table], bar: Any) -> set[str]:
    """Draw the figures that have data; those drawn from the same table before are kept."""
    drawn = set()
    for name, picture in PICTURES.items():
        table = tables[TABLE_OF[name]]
        if len(table):
            files = {kind: folder.file(f"figures/{name}.{kind}") for kind in METADATA}

            def compute(picture: Any = picture, table: Table = table, files: Any = files) -> list[str]:
                save(picture.draw(table), files)
                return sorted(files)

            folder.stage(f"figure-{name}", {"otspec": __version__, "rows": table.rows}, compute)
            if not all(file.is_file() for file in files.values()):
                compute()
            drawn.add(name)
        bar.tick(1.0, f"figure {name}")
    return drawn


def _write(folder: ReportFolder, study: Study, tables: dict[str, Table], verdict: Verdict, drawn: set[str],
           lines: list[Line], seconds: float) -> None:
    trace, around, skipped = study.trace, surroundings(), study.no_models
    about = {"contexts": len(trace), "vocab_size": trace.vocab_size, "fingerprint": trace.fingerprint,
             "provenance": trace.provenance}
    whole = {"format": FORMAT, "otspec": __version__, "ok": verdict.ok, "certified": verdict.certified,
             "dominated": verdict.dominated, "confirmed": verdict.confirmed, "sequences": verdict.sequences,
             "summary": {line.about: line.text for line in lines}, "verdict": list(verdict.sentences),
             "certificate": CERTIFICATE, "decoding_skipped": skipped, "advice_skipped": study.no_advice,
             "paths_skipped": study.no_paths, "settings": study.describe(), "trace": about,
             "pair_fingerprint": None if skipped else study.pair_fingerprint, **around, "seconds": round(seconds, 2),
             "figures": sorted(drawn), "tables": {name: table.rows for name, table in tables.items()}}
    write_json(folder.file("report.json"), whole)
    notes = [CERTIFICATE, _made(study, around)]
    notes += filter(None, (study.settings.note, shortened_note(study.trace, study.schemes)))
    parts = sections(tables)
    write_text(folder.file("report.md"), markdown(lines, parts, tables, verdict, drawn, notes))
    figures = {name: folder.file(f"figures/{name}.svg").read_text(encoding="utf-8") for name in sorted(drawn)}
    write_text(folder.file("report.html"), page(lines, parts, tables, verdict, figures, notes))


def _made(study: Study, around: dict[str, Any]) -> str:
    """Where the numbers come from."""
    trace, settings = study.trace, study.settings
    names = " / ".join(str(trace.provenance.get(key, "?")) for key in ("target", "draft"))
    return (f"Laws: {names}, {study.contexts.size} of {len(trace)} contexts, {trace.vocab_size} tokens; seed "
            f"{settings.seed}; otspec {__version__}; {around['hardware']['cpu']}, {around['hardware']['cores']} cores. "
            f"Sampled rules: {settings.lists} draft lists per context, `stderr` is the sampling error of the mean over "
            f"these contexts. Share: (rule − single draft) / (optimum − single draft).")


class _Progress:
    """A bar over stages; silent unless shown."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar

    def start(self, stages: int) -> None:
        """Set the number of stages."""
        self._bar.total = stages
        self._bar.refresh()

    def tick(self, amount: float, name: str) -> None:
        """Move on by a part of a stage."""
        self._bar.set_description(name, refresh=False)
        self._bar.update(amount)


@contextlib.contextmanager
def _bar(shown: bool) -> Any:
    with progress_bar(1, "stages", shown) as bar:
        bar.bar_format = "{desc:<36.36} {percentage:3.0f}%|{bar}| {elapsed}"
        yield _Progress(bar)
