"""Section of a report on rules that verify whole paths: exact on small models, estimated on the pair.

On small models every rule lies beside the certified optimum of its drafts, and rules that lose are named. With the
models, all rules see the same drafted paths, so that their differences have small standard errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from otspec.analysis.toys import compare_toys
from otspec.core.errors import BadArgument
from otspec.core.estimate import critical
from otspec.core.table import Table
from otspec.decode.models import Pair, load_pair
from otspec.recording.record import load_trace
from otspec.recording.sequence import compare_sequences
from otspec.reporting.bounds import best_with_bound, report_bounds, room_sentence
from otspec.reporting.decoded import spread
from otspec.reporting.settings import Settings
from otspec.verifiers import list_verifiers

LIMIT = 1e-9  # of exact differences and certificates: accuracy of the linear programmes, as for single tokens
DIGITS = 9  # of differences in a summary: what equal sums leave is not shown; the table of all models keeps it
LARGEST_Z = 5.0  # standard errors of a paired difference that must not be positive


def sequence_rows(pair: Pair, prompts: Sequence[Sequence[int]], settings: Settings,
                  temperature: float) -> list[dict[str, Any]]:
    """Tokens per target call of every block and tree rule on the same drafted paths, with paired differences."""
    texts = spread(prompts, max(2, min(settings.path_contexts, len(prompts))))
    shapes = [(paths, length) for paths in sorted({1, *settings.paths}) for length in sorted(settings.path_lengths)]
    table = compare_sequences(pair, texts, num_paths=settings.paths, draft_lengths=settings.path_lengths,
                              temperature=temperature, seed=settings.seed, progress=False,
                              bound=report_bounds(pair, texts, shapes, temperature))
    return [{"rule": row["rule"], "paths": row["paths"], "draft_length": row["draft_length"],
             "target_tokens": row["paths"] * row["draft_length"], **row, "contexts": len(texts)}
            for row in table.rows]


def toy_summary(toys: Table) -> Table:
    """Means over the toys, one row per shape of drafts and rule, with the number of toys on which it loses."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in toys.rows:
        groups.setdefault((row["vocabulary"], row["paths"], row["draft_length"], row["rule"]), []).append(row)
    return Table([_summary_row(key, rows) for key, rows in groups.items()], toys.metadata)


def _summary_row(key: tuple[Any, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    vocabulary, paths, length, rule = key
    column = {name: [row[name] for row in rows] for name in rows[0]}

    def mean(name: str) -> float:
        return sum(column[name]) / len(rows)

    def shown(value: float) -> float:
        return round(value, DIGITS) + 0.0  # no negative zero

    def losses(name: str) -> int:
        return sum(value < -LIMIT for value in column[name])

    return {"vocabulary": vocabulary, "paths": paths, "draft_length": length, "target_tokens": paths * length,
            "rule": rule, "toys": len(rows), "efficiency": mean("efficiency"), "optimum": mean("optimum"),
            "one_call": mean("one_call"), "certificate": max(column["certificate"]),
            "mean_gap_percent": shown(mean("gap_percent")),
            "largest_gap_percent": shown(max(column["gap_percent"])),
            "below_traversal": losses("to_traversal"), "below_token_wise": losses("to_token_wise"),
            "below_chain": losses("to_chain"), "worst_to_traversal": shown(min(column["to_traversal"]))}


@dataclass(frozen=True)
class Checked:
    """Whether every check of the section held, and what to say of it."""

    ok: bool
    sentences: tuple[str, ...]


def check_toys(toys: Table) -> Checked:
    """Check the exact table: certificates closed, no rule above its optimum, and two theorems on one path."""
    lossless = [row for row in toys.rows if "lossless" in list_verifiers()[row["rule"]].claims]
    violations = sum(row["efficiency"] > row["optimum"] + LIMIT or row["optimum"] > row["one_call"] + LIMIT
                     for row in lossless)
    open_ends = max(row["certificate"] for row in toys.rows)
    reached = all(row["gap_percent"] <= 100 * LIMIT for row in toys.where(rule="block").rows)
    ordered = all(row["to_traversal"] <= LIMIT for row in toys.where(rule="token_wise").rows)
    return Checked(violations == 0 and open_ends <= LIMIT and reached and ordered, (
        f"Whole paths, exact on {_models(toys)} small models: no rule above the certified optimum of its drafts: "
        f"{yes(violations == 0)}; {len(lossless)} comparisons, {violations} violations, the ends of an optimum differ "
        f"by at most {max(open_ends, 0.0):.1e}. Block verification reaches the optimum of one path: {yes(reached)}; "
        f"token-wise verification nowhere above it: {yes(ordered)}.",
        *_losers(toys)))


def check_sequences(toys: Table, sequences: Table, skipped: str | None) -> Checked:
    """Check the exact table, and the estimated one where there is one."""
    exact = check_toys(toys)
    if not len(sequences):
        return Checked(exact.ok, (*exact.sentences, f"Whole paths not compared on the pair: {skipped}."))
    contexts = sequences.rows[0]["contexts"]
    margin = critical(LARGEST_Z, contexts - 1)
    worst = max((row["difference"] - margin * row["difference_stderr"]
                 for row in sequences.where(rule="token_wise").rows if row["difference"] is not None), default=0.0)
    return Checked(exact.ok and worst <= LIMIT, (
        *exact.sentences,
        f"Whole paths on the pair, {contexts} contexts: token-wise verification not above block "
        f"verification within {margin:.1f} standard errors of their paired difference (as rare as {LARGEST_Z:.0f} of a "
        f"normal law): {yes(worst <= LIMIT)}."))


def yes(held: bool) -> str:
    """Result of a check; the bad one in capitals."""
    return "yes" if held else "NO"


def _models(toys: Table) -> int:
    return len(set(map(_toy, toys.rows)))


def _losers(toys: Table) -> list[str]:
    """Sentences on the tree rules that lose on the same drafts: to Traversal, to the best token rule."""
    count, sentences = _models(toys), []
    for column, name in (("to_traversal", "Traversal"), ("to_token_wise", "the optimal token rule down the tree")):
        worst: dict[str, list[float]] = {}
        for row in toys.rows:
            if row["paths"] > 1 and row[column] < -LIMIT:
                worst.setdefault(row["rule"], []).append(-row[column])
        listed = [f"{rule} (on {len(lost)}, by up to {max(lost):.2g} tokens)" for rule, lost in
                  sorted(worst.items(), key=lambda item: -len(item[1]))]
        sentences.append(f"Below {name} on the same paths of small models, of {count}: "
                         f"{', '.join(listed) or 'none'}.")
    return sentences


def toys_sentence(toys: Table) -> str:
    """Tree rules by their mean distance to the optimum, and how often a chain of as many tokens is better."""
    trees = [row for row in toys.rows if row["paths"] > 1]
    gaps: dict[str, list[float]] = {}
    for row in trees:
        gaps.setdefault(row["rule"], []).append(row["gap_percent"])
    listed = ", ".join(f"{rule} {sum(gap) / len(gap):.2f} %" for rule, gap in
                       sorted(gaps.items(), key=lambda item: sum(item[1])))
    best = max({row["one_call"] / row["optimum"] for row in trees})
    chains = sum(max(row["to_chain"] for row in trees if _toy(row) == toy) < -LIMIT for toy in set(map(_toy, trees)))
    return (f"What to see: every rule lies right of zero, the largest number of tokens that any stateless rule for the "
            f"same drafts emits; mean distances with {trees[0]['paths']} paths: {listed}. Drafts are compared at equal "
            f"target tokens: on {chains} of {_models(toys)} models every tree rule stays below block verification on "
            f"one path of as many tokens. The one-call optimum, which a rule with a state may reach in one call, is up "
            f"to {100 * best - 100:.1f} % above. Every model: [tables/toys.csv](tables/toys.csv).")


def _toy(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["family"], row["vocabulary"], row["seed"]


def pair_sentence(sequences: Table) -> str:
    """Best rule at the most and longest paths, and the best shapes at equal target tokens."""
    # a rule that carries a state is counted in the first block of a text, whose surplus later blocks pay for
    known = [row for row in sequences.rows if row["efficiency"] is not None
             and "carries_state" not in list_verifiers()[row["rule"]].claims]
    if not known:
        return "What to see: no rule gave a number here; `method` says why."
    top = max(known, key=lambda row: (row["target_tokens"], row["paths"], row["efficiency"]))
    text = (f"What to see: with {top['paths']} paths of {top['draft_length']} tokens, {top['rule']} emits "
            f"{top['efficiency']:.2f} ± {top['stderr']:.2f} tokens per target call")
    if top["difference"] is not None:
        other = "Traversal" if top["paths"] > 1 else "block verification"
        text += f", {top['difference']:+.3f} ± {top['difference_stderr']:.3f} against {other} on the same paths"
    for tokens in sorted({row["target_tokens"] for row in known}):
        shapes = [[row for row in known if row["target_tokens"] == tokens and row["paths"] == paths]
                  for paths in sorted({row["paths"] for row in known})]
        best = [max(rows, key=lambda row: row["efficiency"]) for rows in shapes if rows]
        if len(best) > 1:
            listed = ", ".join(f"{row['paths']} × {row['draft_length']} {row['rule']} {row['efficiency']:.2f} ± "
                               f"{row['stderr']:.2f}" for row in best)
            text += f"; at {tokens} drafted tokens per call, best rule by shape: {listed}"
    limit = "" if best_with_bound(sequences) is None else (
        "`limit` is what no stateless rule exceeds: the row's own tokens times the ratio of the bound to them, paired "
        "after `bound_contexts` contexts. ")
    return (f"{text}. `difference` is to Traversal on the same drafts (one path: to block verification). {limit}"
            f"{room_sentence(sequences)}").rstrip()


def compare_drafts(pair: str, trace: str | None, *, rules: str | Sequence[str], num_paths: int | None, contexts: int,
                   temperature: float, seed: int, time_limit: float | None, progress: bool) -> tuple[Table, str, bool]:
    """Compare sequence-level rules for the command line: table, what to print, and whether no check failed.

    Parameters
    ----------
    pair : str
        Name of a pair; ``toys`` for small models, which have no trace and are compared under every rule.
    trace : str or None
        Whose contexts to draft after; by default those of the bundled trace.
    rules : "all" or list of names
    num_paths : int or None
        By default 2, and on a pair also 4.
    contexts, temperature, seed, progress
        As in `compare_sequences`.
    time_limit : float or None
        Its ``bound_time_limit``.

    Raises
    ------
    BadArgument, TooLarge
    """
    if pair == "toys":
        if trace is not None or rules != "all":
            raise BadArgument("--pair toys: every rule on random models, no --trace, no --rules. Fix: leave them out.")
        table = compare_toys(num_paths=2 if num_paths is None else num_paths, seed=seed)
        checked = check_toys(table)
        return table, "\n".join([str(toy_summary(table)), *checked.sentences]), checked.ok
    laws = load_trace("pocket" if trace is None else trace)
    table = compare_sequences(load_pair(pair), laws, rules=rules, num_paths=(2, 4) if num_paths is None else
                              (num_paths,), temperature=temperature, contexts=min(contexts, len(laws)), seed=seed,
                              bound_time_limit=time_limit, progress=progress)
    shown = [{"target_tokens": row["paths"] * row["draft_length"], **row} for row in table.rows]
    return table, f"{table}\n{room_sentence(Table(shown))}".rstrip(), True
