"""``otspec bound`` and ``otspec compare``: two laws, or the laws of a trace."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from otspec.cli.shared import FAILED, command, show, terminal_width
from otspec.cli.values import (
    SCHEMES,
    add_law_options,
    count,
    read_laws,
    read_names,
    read_scheme,
    scale,
    seed,
    temperature_of,
)
from otspec.core.files import check_place


def _add_laws_options(parser: argparse.ArgumentParser) -> None:
    add_law_options(parser)
    parser.add_argument("--scheme", help=f"{SCHEMES} (default: with-replacement)")
    parser.add_argument("-k", type=int, default=None, help="number of drafts (default: 2)")


def add_bound(commands: Any) -> None:
    """Add ``otspec bound``."""
    parser = command(commands, "bound", _bound, "largest acceptance that any verifier can reach, certified",
                     "bound --target 0.5,0.3,0.2 --draft 0.2,0.3,0.5 -k 2")
    _add_laws_options(parser)
    parser.add_argument("--temperature", type=float, help="of both laws (with --logits)")
    parser.add_argument("--tv-budget", type=float, metavar="TV",
                        help="also the bound of lossy rules: output within this total variation of the target")


def _bound(given: Any) -> int:
    import numpy as np

    from otspec.core.laws import overlap
    from otspec.reporting.exact import tolerance
    from otspec.transport.bounds import acceptance_bound

    scheme = read_scheme(given.scheme or "with-replacement", given.k)
    target, draft = read_laws(given)
    bound = acceptance_bound(target, draft, scheme)
    single = np.asarray(overlap(target, draft))
    value = {"scheme": repr(scheme), "lower": np.asarray(bound.lower).tolist(),
             "upper": np.asarray(bound.upper).tolist(), "gap": np.asarray(bound.gap).tolist(),
             "single_draft": single.tolist()}
    if bound.cut.subset.ndim == 1:
        value["cut"] = np.flatnonzero(bound.cut.subset).tolist()
    text = "" if given.tv_budget is None else f"\n{_add_lossy(value, target, draft, scheme, given.tv_budget)}"
    mean = f"; mean over {bound.upper.size} contexts {float(np.mean(bound.upper)):.6f}" if np.ndim(bound.upper) else ""
    show(given, value, f"{bound}{mean}\none draft alone: {float(single.mean()):.6f}; scheme {scheme}{text}")
    return 0 if float(np.max(bound.gap)) <= tolerance(target.shape[-1]) else FAILED


def _add_lossy(value: dict[str, Any], target: Any, draft: Any, scheme: Any, budget: float) -> str:
    """Add the bound of lossy rules to a result, and return it in words."""
    import numpy as np

    from otspec.lossy_rules import lossy_bound

    bound = lossy_bound(target, draft, scheme, budget)
    value["lossy"] = {"tv_budget": budget, "lower": np.asarray(bound.lower).tolist(),
                      "upper": np.asarray(bound.upper).tolist(), "price": np.asarray(bound.price).tolist(),
                      "output_law": np.asarray(bound.output_law).tolist()}
    return str(bound)


def add_compare(commands: Any) -> None:
    """Add ``otspec compare``."""
    parser = command(commands, "compare", _compare, "acceptance of every rule beside the optimum",
                     "compare --trace pocket --scheme without-replacement -k 2")
    _add_laws_options(parser)
    parser.add_argument("--trace", metavar="PATH", help="recorded laws instead of --target and --draft, or 'pocket'")
    parser.add_argument("--contexts", type=count, help="contexts of the trace, evenly spaced (default: 64)")
    parser.add_argument("--rules", default="all", help="names separated by commas (default: all but lp)")
    parser.add_argument("--lists", type=count, help="draft lists per context for sampled rules (default: 64)")
    parser.add_argument("--out", metavar="FILE", help="also write the table as CSV")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--sequence", action="store_true", help="block and tree rules on drafted paths of a pair")
    parser.add_argument("--pair", help="pocket or pocket-small (with --sequence; default: pocket); toys: block and "
                                       "tree rules on small models")
    parser.add_argument("--temperature", type=float, help="of both models (with --sequence), of the laws of a trace, "
                                                          "or of --logits (default: 1)")
    parser.add_argument("--time-limit", type=scale, metavar="SECONDS",
                        help="refuse a bound that would take longer, after two contexts (with --sequence)")


def _compare_sequences(given: Any) -> int:
    """Compare rules on the drafts of a pair after the contexts of a trace, or on small models; ``-k`` paths."""
    from otspec.core.errors import BadArgument
    from otspec.core.table import narrowed
    from otspec.reporting.sequences import compare_drafts

    if given.target or given.draft:
        raise BadArgument("--sequence: it drafts from a pair, not from two laws. Fix: --pair pocket.")
    _refuse({"--scheme": given.scheme, "--lists": given.lists, "--normalize": given.normalize or None,
             "--logits": given.logits or None}, "has no effect with --sequence. Fix: leave it out")
    rules = "all" if given.rules == "all" else read_names("--rules", given.rules)
    if given.pair == "toys":
        _refuse({"--contexts": given.contexts, "--temperature": given.temperature, "--time-limit": given.time_limit},
                "has no effect on small models. Fix: leave it out")
    with narrowed(terminal_width()):
        table, text, ok = compare_drafts(given.pair or "pocket", given.trace, rules=rules, num_paths=given.k,
                                         contexts=given.contexts or 64,
                                         temperature=temperature_of(given),
                                         seed=given.seed, time_limit=given.time_limit, progress=not given.quiet)
    if given.out:
        table.to_csv(given.out)
    show(given, table.rows, text)
    return 0 if ok else FAILED


def _refuse(options: Mapping[str, Any], why: str) -> None:
    """Refuse options that would have no effect."""
    from otspec.core.errors import BadArgument

    for option, value in options.items():
        if value is not None:
            raise BadArgument(f"{option}: it {why}.")


def _laws(given: Any) -> tuple[Any, Any]:
    """Laws to compare on, of the options or of a trace."""
    from otspec.core.errors import BadArgument
    from otspec.reporting.exact import evenly

    _refuse({"--pair": given.pair, "--time-limit": given.time_limit},
            "has no effect without --sequence. Fix: add that, or leave it out")
    if given.trace is not None:
        from otspec.recording.record import load_trace

        if given.target or given.draft:
            raise BadArgument("--trace: it stands instead of --target and --draft. Fix: give one of the two.")
        _refuse({"--normalize": given.normalize or None, "--logits": given.logits or None},
                "has no effect on a trace, whose laws are normalised. Fix: leave it out")
        trace = load_trace(given.trace, temperature=temperature_of(given))
        return trace.laws(evenly(len(trace), given.contexts or 64))
    if not (given.target or given.draft):
        raise BadArgument("--target: missing, there is nothing to compare on. Fix: --target and --draft for two laws, "
                          "--trace pocket for recorded ones, --sequence for drafted paths of a pair.")
    _refuse({"--contexts": given.contexts}, "has no effect without --trace. Fix: leave it out")
    return read_laws(given)


def _compare(given: Any) -> int:
    if given.out:
        check_place("--out", given.out, endings=[".csv"])
    if given.sequence or given.pair == "toys":
        return _compare_sequences(given)
    from otspec.analysis.compare import comparison
    from otspec.core.table import narrowed
    from otspec.reporting.exact import tolerance
    from otspec.verifiers import list_verifiers

    scheme = read_scheme(given.scheme or "with-replacement", given.k)
    target, draft = _laws(given)
    known = [name for name in list_verifiers(scheme, kind="token") if name != "lp"]
    names = known if given.rules == "all" else read_names("--rules", given.rules)
    table = comparison(target, draft, scheme, names, n=max(2, given.lists or 64), seed=given.seed,
                       skip=given.rules == "all")
    if given.out:
        table.to_csv(given.out)
    with narrowed(terminal_width()):
        show(given, table.rows, str(table))
    failed = _failed_checks(table.rows, tolerance(target.shape[-1]))
    for reason in failed:
        print(f"otspec: check failed: {reason}", file=sys.stderr)
    return FAILED if failed else 0


def _failed_checks(rows: list[dict[str, Any]], limit: float) -> list[str]:
    """What in a table contradicts the theory, one sentence each: an open optimum, rules above it, broken claims."""
    from otspec.analysis.compare import above_optimum, breaks_claim

    said = [f"the two ends of the optimum differ by {rows[0]['certificate']:.2g}, more than {limit:.2g}."
            ] if rows and rows[0]["certificate"] > limit else []
    for row in rows:
        if row["method"] == "exact" and above_optimum(row["acceptance"], row["optimum"], limit, row["deviation"]):
            said.append(f"{row['rule']} accepts {row['acceptance']:.6f}, above the optimum {row['optimum']:.6f} by "
                        f"more than half its deviation {row['deviation']:.3g}.")
        elif breaks_claim(row["rule"], row["deviation"]):
            said.append(f"{row['rule']} claims to be lossless, and its output law is off by {row['deviation']:.3g}.")
    return said
