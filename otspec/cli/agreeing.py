"""``otspec agree``: how often a drafter and a verifier who share randomness select the same token."""

from __future__ import annotations

from typing import Any

from otspec.cli.shared import FAILED, command, show, terminal_width
from otspec.cli.values import add_law_options, count, read_laws, read_names, scale, seed, temperature_of
from otspec.core.files import check_place


def add_agree(commands: Any) -> None:
    """Add ``otspec agree``."""
    parser = command(commands, "agree", _agree, "agreement of couplings, with and without communication",
                     "agree --target 0.5,0.3,0.2 --draft 0.2,0.3,0.5 --coupling gumbel")
    add_law_options(parser)
    parser.add_argument("--temperature", type=float, help="of the laws of a trace, or of --logits (default: 1)")
    parser.add_argument("--trace", metavar="PATH", help="recorded laws instead of --target and --draft, or 'pocket'")
    parser.add_argument("--contexts", type=count, default=32, help="contexts of the trace, evenly spaced")
    parser.add_argument("--coupling", default="all", metavar="NAMES",
                        help="names separated by commas (default: all; otspec decode --list shows them)")
    parser.add_argument("-k", type=count, help="drafts of the couplings with lists (default: 4, or all tokens)")
    parser.add_argument("--epsilon", type=scale, default=0.01,
                        help="agreement that the protocol with few bits may lose (default: 0.01)")
    parser.add_argument("--samples", type=count, default=20_000, help="where no exact form is known or fits")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--out", metavar="FILE", help="also write the table as CSV")


def _agree(given: Any) -> int:
    from otspec.analysis.coupling_table import compare_couplings
    from otspec.core.table import narrowed

    if given.out:
        check_place("--out", given.out, endings=[".csv"])
    target, draft = _laws(given)
    names = "all" if given.coupling == "all" else read_names("--coupling", given.coupling)
    k = min(4, target.shape[-1]) if given.k is None else given.k
    table = compare_couplings(target, draft, names, num_drafts=k, epsilon=given.epsilon, n=given.samples,
                              seed=given.seed)
    if given.out:
        table.to_csv(given.out)
    outside = sum(table.column("outside"))
    note = f"\n{outside} contexts outside their bounds" if outside else ""
    with narrowed(terminal_width()):
        show(given, table.rows, f"{table}{note}")
    return FAILED if outside else 0


def _laws(given: Any) -> tuple[Any, Any]:
    """Laws of both parties, from their options or a trace."""
    from otspec.core.errors import BadArgument

    if given.trace is None:
        return read_laws(given)
    if given.target or given.draft:
        raise BadArgument("--trace: it stands instead of --target and --draft. Fix: give one of the two.")
    from otspec.recording.record import load_trace
    from otspec.reporting.exact import evenly

    trace = load_trace(given.trace, temperature=temperature_of(given))
    return trace.laws(evenly(len(trace), given.contexts))
