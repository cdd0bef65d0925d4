"""Section of a report that can be laid beside an engine's log: acceptance position by position.

Engines print, for every position of a draft, the share of their drafts that kept it, and the mean acceptance length.
Both are predicted from blocks that were recorded once, with the coins of the rule integrated out.
"""

from __future__ import annotations

from typing import Any

from otspec.analysis.profile import expected_profile
from otspec.core.estimate import Estimate
from otspec.core.table import Table
from otspec.couplings import list_couplings

COLUMNS = ("rule", "position", "conditional", "unconditional", "stderr", "exactly", "mean_acceptance_length", "blocks")


def kept_at(rule: str, rows: tuple[Any, Any, Any]) -> list[Estimate]:
    """Chance that each position of recorded blocks is kept; none of a coupling, whose tokens are not verified."""
    if rule in list_couplings():
        return []
    count = len(rows[2])
    return [Estimate(row["unconditional"], row["unconditional_stderr"], count, count - 1)
            for row in expected_profile(rows, rule).rows]


def profile_summary(efficiency: Table) -> Table:
    """One row per rule and position, from the table of tokens per call, whose blocks they share."""
    rows = []
    for rule in dict.fromkeys(efficiency.column("rule")) if len(efficiency) else ():
        known = [row for row in efficiency.where(rule=rule).rows if row["kept"] is not None]
        chances = [1.0, *(row["kept"] for row in known), 0.0]
        rows += [{"rule": rule, "position": row["draft_length"], "conditional": chances[i] / chances[i - 1]
                  if chances[i - 1] else None, "unconditional": chances[i], "stderr": row["kept_stderr"],
                  "exactly": chances[i] - chances[i + 1], "mean_acceptance_length": row["tokens_per_call"],
                  "blocks": row["blocks"]} for i, row in enumerate(known, 1)]
    return Table(rows, efficiency.metadata)


def profile_sentence(table: Table) -> str:
    """How acceptance changes along a block."""
    parts = []
    for rule in dict.fromkeys(table.column("rule")):
        rows = [row for row in table.where(rule=rule).rows if row["conditional"] is not None]
        parts.append(f"with {rule} the first draft is kept with probability {rows[0]['unconditional']:.3f}, the one at "
                     f"position {rows[-1]['position']}, once reached, with {rows[-1]['conditional']:.3f}")
    return (f"What to see: {'; '.join(parts)}. An engine prints the column `unconditional` as "
            f"num_accepted_tokens_per_pos / num_drafts, and `mean_acceptance_length` for drafts that end at the "
            f"position. `exactly`: the share of the longest drafts that keep so many.")
