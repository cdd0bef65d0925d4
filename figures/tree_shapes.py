"""The trees of 16 drafted tokens that each policy draws for the pocket pair, with the chance that a node is kept."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from figures import own
from otspec.core.table import Table

NAME = "tree_shapes"
MEASURED = Path(__file__).parents[1] / "tests" / "bench" / "results" / "tree_rates.csv"
FIXED = (("sequoia", "recursive_walk"), ("fitted", "traversal"), ("caterpillar", "traversal"),
         ("delayed", "traversal"))
TO_THE_TEXT = ("dyspec", "calibrated_heap", "budget_split", "likeliest")
TITLES = {"sequoia": "Sequoia", "fitted": "fitted to its rule", "caterpillar": "caterpillar", "delayed": "delayed",
          "dyspec": "DySpec's heap", "calibrated_heap": "calibrated heap", "budget_split": "budget split",
          "likeliest": "likeliest nodes"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan and draw, or draw from the data of an earlier run; return the exit code."""
    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--rates", default=str(MEASURED), help="rates of python -m tests.bench.tree_policies")
        parser.add_argument("--budget", type=int, default=16, help="drafted tokens; 8 if quick")
        parser.add_argument("--text", type=int, default=0, help="text of the pocket trace for the last four trees")

    def compute(given: argparse.Namespace) -> Table:
        return data(Table.from_csv(given.rates), 8 if given.quick else given.budget, given.text)

    return own(NAME, __doc__, compute, draw, arguments, options)


def acceptance(rates: Table, rule: str, temperature: float = 1.0) -> Any:
    """Acceptance table of a rule from the rates of the benchmark."""
    from otspec.policies.trees import AcceptanceTable, Calibration

    mine = rates.where(rule=rule, temperature=temperature)
    by, edges = {}, {}
    for kind in ("depth", "entropy", "chance"):
        rows = mine.where(by=kind).rows
        edges[kind] = sorted({row["edge"] for row in rows} - {None})
        by[kind] = np.zeros((1 + max(row["cell"] for row in rows), 1 + max(row["rank"] for row in rows)))
        for row in rows:
            by[kind][row["cell"], row["rank"]] = row["rate"]
    calibration = Calibration(edges["entropy"], by["entropy"].T, edges["chance"], by["chance"].T)
    return AcceptanceTable(by["depth"], rule=rule, calibration=calibration)


def data(rates: Table, budget: int, text: int) -> Table:
    """Nodes of every tree: their parents, and the chance that the rule of the policy keeps them."""
    from otspec.policies.trees import tree_policy
    from otspec.policies.trees.shapes import numbered

    tables = {rule: acceptance(rates, rule) for rule in ("recursive_walk", "traversal")}
    rows = []
    for name, rule in FIXED:
        plan = tree_policy(name).plan(tables[rule], budget)
        kept = tables[rule].reached(plan.counts)
        rows += [{"policy": name, "rule": rule, "tokens": plan.tokens.mean, "node": node, "parent": int(parent),
                  "kept": float(kept[node])} for node, parent in enumerate(numbered(plan.counts)[0])]
    speaker = Speaker(text)
    for name in TO_THE_TEXT:
        plan = tree_policy(name).plan(tables["traversal"], budget)
        rows += [{"policy": name, "rule": "traversal", "tokens": None, **row}
                 for row in drawn(plan, speaker, tables["traversal"])]
    return Table(rows, {"budget": budget, "text": text, "temperature": 1.0, "rates": rates.metadata.get("processor")})


def drawn(plan: Any, speaker: Speaker, table: Any) -> Iterator[dict[str, object]]:
    """Nodes of one tree of a drafter behind the text, and the mean chance of their depths and ranks to be kept.

    A node that was chosen without chance is kept with the target probability of the way to it.
    """
    import torch

    from otspec.decode.drafters import drafter

    drafts = drafter(plan.drafter, **plan.parameters)
    speaker.begin()
    uniforms = torch.from_numpy(np.random.default_rng(1).random((1, drafts.num_uniforms)))
    draft = drafts.propose(speaker, uniforms)
    place, kept, parents, children, ways = {0: 0}, [1.0], [-1], [0], [()]
    for number, (token, above) in enumerate(zip(draft.tokens[0].tolist(), draft.parents[0].tolist(), strict=True), 1):
        if token < 0:
            continue
        parent = place[above]
        rates = table.at(len(ways[parent]), table.num_ranks)
        rank = min(children[parent], table.num_ranks - 1)
        share = speaker.target(ways[parent])[token] if plan.scheme == "deterministic" else rates[rank]
        children[parent] += 1
        place[number] = len(kept)
        kept.append(kept[parent] * float(share))
        parents.append(parent)
        children.append(0)
        ways.append((*ways[parent], token))
    for node, (parent, chance) in enumerate(zip(parents, kept, strict=True)):
        yield {"node": node, "parent": parent, "kept": chance}


class Speaker:
    """The pocket pair behind one text, read anew for every node: for a picture, not for speed."""

    def __init__(self, text: int) -> None:
        from otspec.decode.models import load_pair
        from otspec.recording.record import load_trace

        self._pair, self._text = load_pair("pocket", device="cpu"), list(load_trace("pocket").prompts[text])
        self.begin()

    def begin(self) -> None:
        """Begin a round."""
        self._ways: list[list[int]] = [[]]

    def start(self) -> Any:
        """Law ``[1 V]`` after the text."""
        return self._law(self._pair.draft, [])[None]

    def after(self, tokens: Any, parents: Any) -> Any:
        """Laws ``[1 n V]`` after new nodes."""
        import torch

        new = [[*self._ways[above], max(token, 0)] for token, above in zip(tokens[0].tolist(), parents[0].tolist(),
                                                                           strict=True)]
        self._ways += new
        return torch.stack([self._law(self._pair.draft, way) for way in new])[None]

    def target(self, way: Sequence[int]) -> Any:
        """Target law ``[V]`` after a way."""
        return self._law(self._pair.target, list(way))

    def _law(self, model: Any, way: list[int]) -> Any:
        import torch

        with torch.inference_mode():
            logits = model(torch.tensor([[*self._text, *way]])).logits[0, -1]
        return torch.softmax(logits.double(), dim=-1)


def draw(table: Table) -> Any:
    """Two trees in a row: fixed ones above, those that follow the text below."""
    from matplotlib.figure import Figure

    from otspec.plots.style import WIDTH, context
    from otspec.plots.trees import places, tree_shape

    trees = {name: table.where(policy=name) for name in TITLES}
    spots = {name: places(tree.column("parent")) for name, tree in trees.items()}
    deepest = max(depth for found in spots.values() for depth, _ in found)
    deep = [max(line for _, line in found) for found in spots.values()]
    rows = [max(pair) for pair in zip(deep[::2], deep[1::2], strict=True)]
    with context():
        figure = Figure(figsize=(WIDTH, 2.6 + 0.1 * sum(rows)), layout="constrained")
        axes = figure.subplots(len(rows), 2, height_ratios=[count + 2 for count in rows])
        for place, ((name, tree), ax) in enumerate(zip(trees.items(), axes.flat, strict=True)):
            dots = tree_shape(tree, ax, deepest=deepest, lines=rows[place // 2])
            tokens = tree.rows[0]["tokens"]
            note = f"{tokens:.2f} tokens per call" if tokens else "follows the text"
            ax.set_title(f"{TITLES[name]}\n{note}", fontsize=7.5)
        bar = figure.colorbar(dots, ax=axes, label="chance that the draft is kept", shrink=0.9, aspect=35, extend="min",
                              location="bottom")
        bar.set_ticks([0.01, 0.03, 0.1, 0.3, 1.0], labels=["1 %", "3 %", "10 %", "30 %", "100 %"])
        bar.minorticks_off()
        return figure


if __name__ == "__main__":
    sys.exit(main())
