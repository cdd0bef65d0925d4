"""What each way to choose the draft length is worth on the pocket pair, beside the clairvoyant length."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from figures import own
from otspec.core.table import Table

NAME = "length_policies"
COSTS = (0.02, 0.05, 0.1, 0.2, 0.4)
TEMPERATURES = (1.0, 0.6)
# engines are shown as they come, policies that are fitted when they are
SHOWN = {"fixed": "default", "best": "fitted", "specdec++": "fitted", "confidence": "default",
         "min_probability": "default", "true_threshold": "fitted", "clairvoyant": "default"}
COLUMNS = ("policy", "parameters", "tokens_per_call", "drafts_per_call", "speedup", "speedup_stderr", "regret",
           "regret_stderr", "chosen")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and draw, or draw from the data of an earlier run; return the exit code."""
    return own(NAME, __doc__, lambda quick: data(quick=quick), draw, arguments)


def data(*, quick: bool = False) -> Table:
    """Every policy at every cost and temperature, block verification, on contexts that nothing was fitted on."""
    import otspec as ot

    rows, about = [], {}
    for temperature in TEMPERATURES[: 1 if quick else None]:
        if quick:
            prompts = [prompt[-16:] for prompt in ot.load_trace("pocket").prompts[:32]]
            trace = ot.record(ot.load_pair("pocket", device="cpu"), prompts, draft_length=4, temperature=temperature,
                              progress=False)
        else:
            trace = ot.load_trace("pocket", draft_length=8, temperature=temperature)
        blocks = ot.drafted_blocks(trace)
        for cost in COSTS[1:3] if quick else COSTS:
            table = ot.compare_lengths(blocks, draft_cost=cost, policies=SHOWN)
            about = table.metadata
            found = {(row["policy"], row["parameters"]): row for row in table.rows}
            for policy, kind in SHOWN.items():
                # where fitting changes nothing, the table has no second row
                row = found.get((policy, kind)) or found[policy, "default"]
                rows.append({"temperature": temperature, "draft_cost": cost, **{name: row[name] for name in COLUMNS}})
    return Table(rows, {**about, "pair": "pocket", "seed": 0, "otspec": ot.__version__})


def draw(table: Table) -> Any:
    """One panel per temperature, as PDF and PNG beside the data."""
    from otspec.plots.layout import legend_below, panels
    from otspec.plots.length_policies import speedup_of_policies
    from otspec.plots.style import context

    temperatures = list(dict.fromkeys(table.column("temperature")))
    with context():
        figure, axes = panels(len(temperatures), height=3.3, sharey=True)
        for ax, temperature in zip(axes, temperatures, strict=True):
            speedup_of_policies(table.where(temperature=temperature), ax)
            ax.set_title(f"pocket pair, T = {temperature:g}")
            ax.set_ylabel(ax.get_ylabel() if ax is axes[0] else "")
        legend_below(figure, axes[:1], columns=2)
        return figure


if __name__ == "__main__":
    sys.exit(main())
