"""The command line: every subcommand parses its arguments and calls the public API.

Exit codes: 0 done, 1 a check failed, 2 bad usage or input (one line on stderr), 130 interrupted. Nothing but argparse
is imported before a subcommand runs, so that ``--help`` is immediate.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from otspec import __version__
from otspec.arguments import SCHEMES, count, read_law, read_prompts, read_scheme, scale, seed

FAILED, BAD_USAGE, INTERRUPTED = 1, 2, 130
LARGEST_SCORE = 1e9  # stands for infinity, which JSON has not


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
        given = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse has written its message
        return int(stop.code or 0)
    try:
        _set_threads(given.threads)
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="otspec", description="Optimal transport for speculative decoding.",
                                     epilog="example: otspec report --quick")
    parser.add_argument("--version", action="version", version=f"otspec {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (_add_report, _add_bound, _add_compare, _add_record, _add_decode, _add_figures, _add_models):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[[Any], int | None], text: str, example: str,
             resume: str = "Nothing was written.") -> argparse.ArgumentParser:
    """Add a subcommand with the options that all of them share."""
    command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".",
                                  epilog=f"example: otspec {example}")
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    command.add_argument("--quiet", action="store_true", help="no progress bar, no result on stdout")
    command.add_argument("--threads", type=count, metavar="N", help="CPU threads to use (default: all)")
    command.set_defaults(run=run, resume=resume)
    return command


def _set_threads(count: int | None) -> None:
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


def _show(given: Any, value: Any, text: str) -> None:
    if given.json:
        print(json.dumps(_finite(value), indent=2, allow_nan=False))
    elif not given.quiet:
        print(text)


def _finite(value: Any) -> Any:
    """Value as JSON can hold it: numbers that are not finite become null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# -- report and figures ---------------------------------------------------------------------------------------------


def _add_models_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--target", metavar="MODEL", help="large model: a folder or a hub id")
    command.add_argument("--draft", metavar="MODEL", help="small model with the same vocabulary")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")


def _pair(given: Any, name: str | None = None) -> Any:
    """Models named on the command line, None where none are."""
    from otspec.core.errors import BadArgument
    from otspec.decode.models import load_pair

    if given.target is None and given.draft is None:
        return load_pair(name, device=given.device) if name else None
    if given.target is None or given.draft is None:
        raise BadArgument("--target and --draft belong together. Fix: give both.")
    return load_pair(target=given.target, draft=given.draft, device=given.device)


def _add_report(commands: Any) -> None:
    command = _command(commands, "report", _report, "compare every rule with the certified optimum, and decode",
                       "report --out otspec-report", "Finished stages are kept: run the same command again.")
    command.add_argument("--trace", metavar="PATH", help="recorded laws (default: the bundled pocket trace)")
    _add_models_options(command)
    command.add_argument("--prompts", metavar="FILE", help="contexts to record from --target and --draft")
    command.add_argument("--out", default="otspec-report", metavar="DIR", help="output folder")
    command.add_argument("--quick", action="store_true", help="fewer contexts, schemes and runs")
    command.add_argument("--force", action="store_true", help="write into a folder that holds other files; they stay")
    command.add_argument("--seed", type=seed, default=0)


def _report(given: Any) -> int:
    from otspec.reporting.folder import ReportFolder

    ReportFolder(given.out, force=given.force)  # refused before any model is loaded
    from otspec.report import build_report

    prompts = None if given.prompts is None else read_prompts(given.prompts)
    report = build_report(trace=given.trace, pair=_pair(given), prompts=prompts, out=given.out, quick=given.quick,
                          force=given.force, progress=not given.quiet, seed=given.seed)
    value = {"ok": report.verdict.ok, "certified": report.verdict.certified, "dominated": report.verdict.dominated,
             "confirmed": report.verdict.confirmed, "verdict": list(report.verdict.sentences),
             "out": str(report.out), "seconds": round(report.seconds, 2)}
    _show(given, value, str(report))
    return report.exit_code


def _add_figures(commands: Any) -> None:
    command = _command(commands, "figures", _figures, "make the report's figures with their data as CSV",
                       "figures --out figures-out --quick", "Finished figures are kept.")
    command.add_argument("names", nargs="*", metavar="NAME", help="some of them (default: all)")
    command.add_argument("--trace", default="pocket", metavar="PATH", help="recorded laws")
    command.add_argument("--out", default="otspec-figures", metavar="DIR")
    command.add_argument("--quick", action="store_true", help="fewer contexts, schemes and runs")
    command.add_argument("--seed", type=seed, default=0)


def _figures(given: Any) -> None:
    from otspec.core.errors import BadArgument, UnknownName
    from otspec.decode.record import load_trace
    from otspec.reporting import settings
    from otspec.reporting.pictures import PICTURES, make
    from otspec.reporting.study import Study

    unknown = [name for name in given.names if name not in PICTURES]
    if unknown:
        raise UnknownName(f"NAME: there is no figure {unknown[0]!r}. Fix: one of {', '.join(PICTURES)}.")
    study = Study(load_trace(given.trace), (settings.quick if given.quick else settings.full)(given.seed))
    if study.no_models and "predicted_vs_measured" in given.names:
        raise BadArgument(f"NAME: predicted_vs_measured needs models, but {study.no_models}. Fix: leave it out.")
    names = given.names or [name for name in PICTURES if not (study.no_models and name == "predicted_vs_measured")]
    files = [str(file) for name in names for file in make(PICTURES[name], study, given.out)]
    _show(given, files, "\n".join(files))


# -- two laws -------------------------------------------------------------------------------------------------------


def _add_laws_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--target", metavar="LAW", help="masses such as 0.5,0.3,0.2, or a .npy or .csv file")
    command.add_argument("--draft", metavar="LAW", help="likewise")
    command.add_argument("--normalize", action="store_true", help="divide both by their sums first")
    command.add_argument("--scheme", default="with-replacement", help=SCHEMES)
    command.add_argument("-k", type=int, default=None, help="number of drafts (default: 2)")


def _add_bound(commands: Any) -> None:
    command = _command(commands, "bound", _bound, "largest acceptance that any verifier can reach, certified",
                       "bound --target 0.5,0.3,0.2 --draft 0.2,0.3,0.5 -k 2")
    _add_laws_options(command)


def _bound(given: Any) -> int:
    import numpy as np

    from otspec.core.laws import overlap
    from otspec.reporting.exact import tolerance
    from otspec.transport.bounds import acceptance_bound

    scheme = read_scheme(given.scheme, given.k)
    target, draft = (read_law(f"--{name}", getattr(given, name), given.normalize) for name in ("target", "draft"))
    bound = acceptance_bound(target, draft, scheme)
    single = np.asarray(overlap(target, draft))
    value = {"scheme": repr(scheme), "lower": np.asarray(bound.lower).tolist(),
             "upper": np.asarray(bound.upper).tolist(), "gap": np.asarray(bound.gap).tolist(),
             "single_draft": single.tolist()}
    if bound.cut.subset.ndim == 1:
        value["cut"] = np.flatnonzero(bound.cut.subset).tolist()
    mean = f"; mean over {bound.upper.size} contexts {float(np.mean(bound.upper)):.6f}" if np.ndim(bound.upper) else ""
    _show(given, value, f"{bound}{mean}\none draft alone: {float(single.mean()):.6f}; scheme {scheme}")
    return 0 if float(np.max(bound.gap)) <= tolerance(target.shape[-1]) else FAILED


def _add_compare(commands: Any) -> None:
    command = _command(commands, "compare", _compare, "acceptance of every rule beside the optimum",
                       "compare --trace pocket --scheme without-replacement -k 2")
    _add_laws_options(command)
    command.add_argument("--trace", metavar="PATH", help="recorded laws instead of --target and --draft, or 'pocket'")
    command.add_argument("--contexts", type=count, default=64, help="contexts of the trace, evenly spaced")
    command.add_argument("--rules", default="all", help="names separated by commas (default: all but lp)")
    command.add_argument("--lists", type=count, default=64, help="draft lists per context for sampled rules")
    command.add_argument("--out", metavar="FILE", help="also write the table as CSV")
    command.add_argument("--seed", type=seed, default=0)
    command.add_argument("--sequence", action="store_true", help="block and tree rules on drafted paths of a pair")
    command.add_argument("--pair", default="pocket",
                         help="pocket or pocket-small (with --sequence); toys: block and tree rules on small models")
    command.add_argument("--temperature", type=float, default=1.0, help="of both models (with --sequence)")


def _compare_sequences(given: Any) -> int:
    """Compare rules on the drafts of a pair after the contexts of a trace, or on small models; ``-k`` paths."""
    from otspec.core.errors import BadArgument
    from otspec.reporting.sequences import compare_drafts

    if given.target or given.draft:
        raise BadArgument("--sequence: it drafts from a pair, not from two laws. Fix: --pair pocket.")
    rules = "all" if given.rules == "all" else given.rules.split(",")
    table, text, ok = compare_drafts(given.pair, given.trace, rules=rules, num_paths=given.k, contexts=given.contexts,
                                     temperature=given.temperature, seed=given.seed, progress=not given.quiet)
    if given.out:
        table.to_csv(given.out)
    _show(given, table.rows, text)
    return 0 if ok else FAILED


def _compare(given: Any) -> int:
    if given.sequence or given.pair == "toys":
        return _compare_sequences(given)
    from otspec.analysis.compare import compare
    from otspec.core.errors import BadArgument
    from otspec.reporting.exact import evenly, tolerance
    from otspec.verifiers import list_verifiers

    scheme = read_scheme(given.scheme, given.k)
    if given.trace is not None:
        from otspec.decode.record import load_trace

        if given.target or given.draft:
            raise BadArgument("--trace: it stands instead of --target and --draft. Fix: give one of the two.")
        trace = load_trace(given.trace)
        target, draft = trace.laws(evenly(len(trace), given.contexts))
    else:
        target, draft = (read_law(f"--{name}", getattr(given, name), given.normalize) for name in ("target", "draft"))
    known = [name for name in list_verifiers(scheme, kind="token") if name != "lp"]
    names = known if given.rules == "all" else given.rules.split(",")
    table = compare(target, draft, scheme, names, n=max(2, given.lists), seed=given.seed)
    if given.out:
        table.to_csv(given.out)
    _show(given, table.rows, str(table))
    limit = tolerance(target.shape[-1])
    bad = [row for row in table.rows if row["certificate"] > limit
           or (row["method"] == "exact" and row["gap"] < -limit)]
    return FAILED if bad else 0


# -- models ---------------------------------------------------------------------------------------------------------


def _add_record(commands: Any) -> None:
    command = _command(commands, "record", _record, "record the laws of a pair of models after every prompt",
                       "record --target big --draft small --prompts prompts.txt --out trace",
                       "Finished shards are kept: run the same command again.")
    _add_models_options(command)
    command.add_argument("--prompts", metavar="FILE", required=True, help="one prompt per line, or a JSON list")
    command.add_argument("--out", metavar="PATH", required=True, help="a new folder, or a .safetensors file")
    command.add_argument("--draft-length", type=int, default=0, help="also record rows along blocks of this length")
    command.add_argument("--stride", type=count, help="also record after prefixes shorter by multiples of this")
    _add_warp_options(command)
    command.add_argument("--seed", type=seed, default=0)


def _add_warp_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--temperature", type=float, default=1.0)
    command.add_argument("--top-k", type=int)
    command.add_argument("--top-p", type=float)


def _record(given: Any) -> None:
    from otspec.decode.record import record

    prompts = read_prompts(given.prompts)
    trace = record(_pair(given, "pocket"), prompts, out=given.out, temperature=given.temperature, top_k=given.top_k,
                   top_p=given.top_p, draft_length=given.draft_length, seed=given.seed, progress=not given.quiet,
                   positions=given.stride or "last")
    value = {"out": given.out, "contexts": len(trace), "vocab_size": trace.vocab_size,
             "fingerprint": trace.fingerprint}
    _show(given, value, f"{trace} in {given.out}")


def _add_decode(commands: Any) -> None:
    command = _command(commands, "decode", _decode, "continue a prompt by speculative decoding",
                       "decode --pair pocket --prompt 'def main():' --verifier optimal -k 4")
    command.add_argument("--pair", default="pocket", help="pocket or pocket-small (default: pocket)")
    _add_models_options(command)
    command.add_argument("--prompt", required=True)
    command.add_argument("--verifier", default="block", help="a token, block or tree rule, or a coupling")
    command.add_argument("--scheme", default="with-replacement", help=SCHEMES)
    command.add_argument("-k", type=int, default=None, help="number of drafts (default: 1)")
    command.add_argument("--draft-length", type=int, default=4)
    command.add_argument("--samples", type=count, default=4, help="texts, for a standard error")
    command.add_argument("--max-new-tokens", type=int, default=64)
    _add_warp_options(command)
    command.add_argument("--seed", type=seed, default=0)


def _decode(given: Any) -> None:
    from otspec.decode.loop import generate

    scheme = read_scheme(given.scheme, given.k if given.k is not None or given.scheme == "hub" else 1)
    pair = _pair(given, given.pair)
    run = generate(pair, [given.prompt] * given.samples, verifier=given.verifier, scheme=scheme,
                   draft_length=given.draft_length, temperature=given.temperature, top_k=given.top_k,
                   top_p=given.top_p, seed=given.seed, max_new_tokens=given.max_new_tokens,
                   progress=not given.quiet)
    value: dict[str, Any] = {"texts": [pair.decode(tokens) for tokens in run.tokens], "settings": run.settings}
    text = value["texts"][0]
    if given.samples > 1:
        measured, predicted, gap = run.block_efficiency, run.predicted_efficiency, run.difference
        z = max(-LARGEST_SCORE, min(run.z_score, LARGEST_SCORE))
        value |= {"sequences": given.samples, "z": z, "tokens_per_call": measured.mean, "stderr": measured.stderr,
                  "predicted": predicted.mean,
                  "difference": gap.mean, "difference_stderr": gap.stderr}
        text += (f"\n\ntokens per target call: {measured}, predicted {predicted.mean:.4f} "
                 f"(difference {gap.mean:+.4f} ± {gap.stderr:.4f}; {given.samples} sequences, z {z:+.2f})")
    _show(given, value, text)


def _add_models(commands: Any) -> None:
    command = _command(commands, "models", _models, "list, locate or train the models that ship with otspec",
                       "models train pocket --out pocket", "Training goes on from its last checkpoint.")
    command.add_argument("action", nargs="?", choices=("list", "path", "train"), default="list")
    command.add_argument("name", nargs="?", choices=("pocket",), default="pocket")
    command.add_argument("--out", metavar="DIR", help="folder of a training run (train only)")
    command.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:<index>")
    command.add_argument("--scale", type=scale, default=1.0, help="factor on the number of training steps")
    command.add_argument("--seed", type=seed, default=0)


def _models(given: Any) -> None:
    from otspec.core.errors import BadArgument
    from otspec.decode.models import POCKET, POCKET_PAIRS

    if given.action == "train":
        if given.out is None:
            raise BadArgument("--out: missing. Fix: name the folder of the training run.")
        from otspec.train.pocket import train_pocket

        result = train_pocket(given.out, device=given.device, seed=given.seed, steps=given.scale,
                              progress=not given.quiet)
        _show(given, result, f"trained: {given.out}")
    elif given.action == "path":
        _show(given, str(POCKET), str(POCKET))
    else:
        value = {pair: {which: str(POCKET / folder) for which, folder in zip(("target", "draft"), folders, strict=True)}
                 for pair, folders in POCKET_PAIRS.items()}
        _show(given, value, "\n".join(f"{pair}: target {at['target']}, draft {at['draft']}"
                                      for pair, at in value.items()))
