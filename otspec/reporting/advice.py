"""Section of a report that decides: which drafts and which rule for a budget of drafted tokens per target call.

The planner's search on fewer contexts. It chooses on some of them, predicts on others, and what it chose is then
decoded, so that a prediction stands beside a measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from otspec.core.errors import BadArgument, TooLarge
from otspec.core.table import Table
from otspec.decode.models import Pair
from otspec.planner.candidates import FAMILIES, Candidate, drafts_in_words
from otspec.planner.contexts import FEWEST, SHARE
from otspec.planner.costs import Costs
from otspec.planner.search import Found, Option, search
from otspec.planner.sources import PairSource
from otspec.reporting.decoded import PROMPT_TOKENS, decoding_row, is_small
from otspec.reporting.settings import Run, Settings

SHORTEST = 8  # tokens of an earlier part of a prompt that still makes a context
MEASURED = ("measured", "measured_stderr", "in_run", "z", "calls", "sequences")


class _Planned(PairSource):
    """Models after contexts; the report has a sharper limit than the planner's own."""

    def prefixes(self) -> None:
        """None: the limit is left out."""


def advice(pair: Pair, prompts: Sequence[Sequence[int]], settings: Settings, warp: dict[str, Any],
           calls: int) -> dict[str, Any]:
    """Best drafts and rule of every family for each budget; the choices decoded.

    Parameters
    ----------
    pair, prompts, settings
    warp : dict
        Temperature of both models.
    calls : int
        Target calls of each decoded choice, about.

    Returns
    -------
    dict
        ``rows`` of the table, ``costs`` in words and ``missing``: why there are no rows, or None. JSON values.
    """
    contexts = windows(prompts, settings.plan_contexts if is_small(pair) else 2 * FEWEST)
    if len(contexts) < 2 * FEWEST:
        return {"rows": [], "costs": "", "missing": f"{len(contexts)} contexts of at most {PROMPT_TOKENS} tokens, and "
                                                    f"{2 * FEWEST} are needed (more or longer prompts)"}
    ratio = pair.draft.num_parameters() / pair.target.num_parameters()
    try:
        found = _search(pair, contexts, settings, warp, Costs(ratio))
    except (BadArgument, TooLarge) as why:
        return {"rows": [], "costs": "", "missing": str(why)}
    measured = {one.candidate: _measured(pair, prompts, one, settings, calls, warp) for one in
                dict.fromkeys(found.by_budget.values()) if one.candidate.drafter is not None}
    rows = [_row(found, row, measured) for row in found.curve.rows]
    costs = f"a draft step {ratio:.3g} target calls (the ratio of the models' parameters), a target call 1"
    return {"rows": rows, "costs": costs, "missing": None}


def windows(prompts: Sequence[Sequence[int]], wanted: int, tokens: int = PROMPT_TOKENS) -> list[list[int]]:
    """Contexts of at most ``tokens`` each, no two of which share a place: the ends of the prompts, then what is before.

    Examples
    --------
    >>> windows([[1, 2, 3, 4], [5, 6]], 3, 2)
    [[3, 4], [5, 6], [1, 2]]
    """
    found: dict[tuple[int, ...], None] = {}
    for back in range(max(map(len, prompts)) // tokens + 1):
        stops = [len(prompt) - back * tokens for prompt in prompts]
        parts = [tuple(prompt[max(0, stop - tokens) : stop]) for prompt, stop in zip(prompts, stops, strict=True)
                 if stop >= (SHORTEST if back and tokens > SHORTEST else 1)]
        step = max(1.0, len(parts) / max(1, wanted - len(found)))
        found.update(dict.fromkeys(parts[int(i * step)] for i in range(int(len(parts) / step))))
        if len(found) >= wanted:
            break
    return [list(text) for text in found][:wanted]


def _search(pair: Pair, contexts: list[list[int]], settings: Settings, warp: dict[str, Any], costs: Costs) -> Found:
    few = len(contexts) < SHARE * FEWEST  # then one in two calibrates
    held_out, calibration = (contexts[1::2], contexts[::2]) if few else (contexts, None)
    most = max(settings.budgets)
    source = _Planned(pair, held_out, calibration, most, warp.get("temperature", 1.0), seed=settings.seed, sets=1,
                      progress=False)
    return search(source, most, sorted(settings.budgets), costs)


def _measured(pair: Pair, prompts: Sequence[Sequence[int]], one: Option, settings: Settings, calls: int,
              warp: dict[str, Any]) -> dict[str, Any]:
    """Decode one choice; beside the measurement, what its own run predicts."""
    candidate = one.candidate
    assert candidate.drafter is not None  # plain sampling is not decoded
    run = Run(str(candidate.verifier), drafter=candidate.drafter, tokens_per_call=one.tokens.mean)
    size = min(settings.advice_sequences, calls), calls
    row = decoding_row(pair, prompts, run, size, settings.seed, warp)
    return {"measured": row["measured"], "measured_stderr": row["stderr"], "in_run": row["predicted"], "z": row["z"],
            "calls": row["calls"], "sequences": row["sequences"]}


def _row(found: Found, row: dict[str, Any], measured: dict[Candidate, dict[str, Any]]) -> dict[str, Any]:
    """Row of the curve, with what was chosen and measured."""
    choice = found.by_budget[row["budget"]].candidate
    mine = choice.family == row["family"]
    drafts = drafts_in_words(choice.drafter) if choice.drafter else ""
    kept = {name: row[name] for name in ("drafts", "steps", "tokens", "stderr", "speedup", "speedup_stderr",
                                         "over_default", "over_default_stderr", "contexts")}
    return {"budget": row["budget"], "method": row["method"], "chosen": mine, "rival": FAMILIES[row["family"]].rival,
            "family": row["family"], **kept, "drafter": drafts if mine else None,
            "rule": choice.verifier if mine else None, **(measured[choice] if mine else dict.fromkeys(MEASURED))}


def decoded_choices(table: Table) -> list[dict[str, Any]]:
    """Rows of the choices that were decoded, each once."""
    return list({row["method"]: row for row in table.rows if row["z"] is not None}.values())


def plain_budgets(table: Table) -> list[int]:
    """Budgets for which nothing that was measured beats plain sampling."""
    return [budget for budget in dict.fromkeys(table.column("budget"))
            if not any(table.where(budget=budget).column("chosen"))]
