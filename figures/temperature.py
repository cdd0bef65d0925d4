"""Optimal acceptance of four drafts against temperature: drawn with and without replacement, and partly chosen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

import otspec as ot
from figures import own
from otspec.analysis.sweep import sweep
from otspec.core.laws import temper
from otspec.core.versions import installed

NAME = "temperature"
SEED, K, LISTS = 0, 4, 64
SCHEMES = {"with": ot.WithReplacement(K), "without": ot.WithoutReplacement(K), "greedy": ot.Greedy(K),
           "hybrid": ot.Hybrid(1, K)}


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the figure; return the exit code."""
    return own(NAME, __doc__, data, draw, arguments)


def data(quick: bool) -> ot.Table:
    """Means over contexts of the pocket trace: the optimum of each kind of drafts and the best published rule."""
    trace = ot.load_trace("pocket")
    laws = trace.laws(np.linspace(0, len(trace) - 1, 12 if quick else 192).round().astype(int))
    temperatures = [0.2, 0.6, 1.0, 1.4] if quick else [round(0.1 * tenths, 1) for tenths in range(2, 15)]
    found = sweep(laws, rules=["k_seq"], schemes=list(SCHEMES.values()), temperatures=temperatures, progress=False)
    # the sweep's rows come scheme by scheme, an optimum at the head of each
    names = [name for _ in temperatures for name in SCHEMES]
    optima = [row for row in found.rows if row["rule"] == "optimum"]
    rows = [{"drafts": name, "rule": "optimum", **_numbers(row)} for name, row in zip(names, optima, strict=True)]
    rows += [{"drafts": "with", "rule": "k_seq", **_numbers(row)} for row in found.where(rule="k_seq").rows]
    rows += [_recursive(laws, temperature, 8 if quick else LISTS) for temperature in temperatures]
    return ot.Table(rows, {"seed": SEED, "k": K, "trace": trace.fingerprint, "contexts": len(laws[0]),
                           "lists": 8 if quick else LISTS, "otspec": ot.__version__, **installed()})


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    return {"temperature": row["temperature"], "acceptance": row["acceptance"], "stderr": row["stderr"],
            "monte_carlo": 0.0}


def _recursive(laws: tuple[np.ndarray, np.ndarray], temperature: float, lists: int) -> dict[str, Any]:
    """Recursive rejection without replacement has no closed form: drafts are drawn, the rest is exact."""
    found = [ot.sampled_acceptance("recursive_wor", *(temper(law, temperature) for law in pair),
                                   ot.WithoutReplacement(K), n=lists, seed=SEED + place)
             for place, pair in enumerate(zip(*laws, strict=True))]
    means, errors = ([getattr(one, of) for one in found] for of in ("mean", "stderr"))
    return {"drafts": "without", "rule": "recursive_wor", "temperature": temperature,
            "acceptance": float(np.mean(means)), "stderr": float(np.std(means, ddof=1) / np.sqrt(len(means))),
            "monte_carlo": float(np.linalg.norm(errors) / len(errors))}


def draw(table: ot.Table) -> Any:
    """One panel."""
    from otspec.plots.acceptance import acceptance_vs_temperature
    from otspec.plots.layout import label_ends, panels
    from otspec.plots.style import context

    with context():
        figure, (ax,) = panels(1, height=2.9)
        acceptance_vs_temperature(table, ax).set_title(
            f"{table.metadata['k']} drafts: optimum, and two published rules")
        label_ends(ax)
        return figure


if __name__ == "__main__":
    sys.exit(main())
