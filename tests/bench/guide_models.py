"""The tables of the guide's page on real models, made from the CSVs: ``python -m tests.bench.guide_models``."""

from __future__ import annotations

from otspec.core.table import Table
from tests.bench.harness import RESULTS

WORDS = {"quantised:4": "4 bits", "quantised:3": "3 bits"}


def rows(name: str) -> list[dict[str, object]]:
    """Rows of a result."""
    return Table.from_csv(RESULTS / f"{name}.csv").rows


def draft_words(draft: str) -> str:
    """A draft in words."""
    return WORDS.get(draft, f"`{draft}`")


def _table(head: list[str], body: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---"] * len(head), *body])


def _three(value: object) -> str:
    return f"{float(value):.3f}".replace("0.", ".", 1) if float(value) < 1 else f"{float(value):.3f}"


def _with_error(row: dict[str, object], name: str, error: str) -> str:
    return f"{row[name]:.2f} ± {row[error]:.2f}"


def acceptance_table() -> str:
    """Acceptance per draft and temperature, the numbers of drafts side by side."""
    groups: dict[tuple[object, ...], list[dict[str, object]]] = {}
    for name in ("real_acceptance", "real_acceptance_gemma3"):
        for row in rows(name) if (RESULTS / f"{name}.csv").is_file() else ():
            groups.setdefault((row["model"], row["draft"], row["temperature"]), []).append(row)
    body = []
    for (model, draft, warmth), group in groups.items():
        three = [" / ".join(_three(row[name]) for row in group)
                 for name in ("recursive", "k_seq", "optimum", "optimum_wor")]
        body.append([f"{model}, {draft_words(draft)}", f"{warmth:g}", _three(group[0]["overlap"]), *three])
    return _table(["target, draft", "T", "one draft", "recursive", "K-SEQ", "optimum", "optimum without replacement"],
                  body)


def paths_table() -> str:
    """Tokens per call of rules on equal drafts."""
    found = {(row["rule"], row["paths"], row["draft_length"]): row for row in rows("real_paths")}
    shapes = sorted({key[1:] for key in found})
    body = []
    for rule in ("traversal", "winner_block", "lookahead_block", "score_block"):
        line = [f"`{rule}`"]
        for shape in shapes:
            row = found[(rule, *shape)]
            more = "" if rule == "traversal" else \
                f" ({100 * (row['ratio'] - 1):+.1f} ± {100 * row['ratio_stderr']:.1f} %)"
            line.append(_with_error(row, "efficiency", "stderr") + more)
        body.append(line)
    room = {(row["paths"], row["draft_length"]): row for row in rows("real_bound")}
    contexts = next(iter(room.values()))["bound_contexts"]
    body.append([f"room of any stateless rule above look-ahead, {contexts} contexts",
                 *(f"at most {_with_error(room[shape], 'room_percent', 'room_stderr')} %" if shape in room else ""
                   for shape in shapes)])
    return _table(["tokens per call", *(f"{paths} × {length}" for paths, length in shapes)], body)


def decoding_table() -> str:
    """Speed beside assisted generation."""
    body = [[draft_words(row["draft"]), str(row["what"]).replace("_", " "), f"{row['tokens_per_second']:.1f}",
             f"{row['ratio_to_assisted']:.2f}",
             "" if row["tokens_per_call"] is None else f"{row['tokens_per_call']:.2f}"]
            for row in rows("real_decoding")]
    return _table(["draft", "what", "tokens a second", "ratio to assisted", "tokens per call"], body)


def planner_table() -> str:
    """What the planner recommends, the prices of a draft step side by side."""
    groups: dict[tuple[object, object], list[dict[str, object]]] = {}
    for row in rows("real_planner"):
        groups.setdefault((row["draft"], row["budget"]), []).append(row)
    costs = [f"{row['draft_cost']:g}" for row in next(iter(groups.values()))]
    body = [[f"{draft_words(draft)}, {budget}", *map(_answer, group)] for (draft, budget), group in groups.items()]
    return _table(["draft, budget", *(f"a step costs {cost}" for cost in costs)], body)


def _answer(row: dict[str, object]) -> str:
    if row["tokens_per_call"] == 1:
        return str(row["choice"])
    speed = _with_error(row, "speedup", "speedup_stderr")
    return f"{row['choice']}: {row['tokens_per_call']:.2f} tokens, {speed} × plain"


TABLES = {"real_acceptance": acceptance_table, "real_paths": paths_table, "real_planner": planner_table,
          "real_decoding": decoding_table}


def main() -> None:
    """Print all tables."""
    for make in TABLES.values():
        print(make(), end="\n\n")  # noqa: T201


if __name__ == "__main__":
    main()
