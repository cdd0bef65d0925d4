"""How long a tree policy plans, and how well it predicts: tables from one half of the texts, decoding of the other.

A table is measured with the rule that it is for: a tree of many nodes is decoded, and of all calls whose verdict lay
below a node, those are counted whose verdict lay below its child of each rank. Then each policy plans for a budget with
the table of its rule, and the plan is decoded on texts that the table has not seen. Standard errors of what was
decoded are over texts; those of a table take its calls for independent, so z is too large where texts differ much.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import otspec as ot
from otspec.decode.tree_judge import TreeJudge
from otspec.policies.trees.shapes import numbered
from tests.bench.harness import save

ROUGH = (0.6, 0.13, 0.05, 0.03, 0.02)  # shapes the measured tree: it says where to look, not what is found there
PAIRS = (("sequoia", "recursive_walk"), ("fitted", "traversal"))
BUDGETS = (8, 16, 32)
BINS = ot.Calibration((), [[0.6], [0.13]], (), [[0.6], [0.13]])
ENTROPIES, CHANCES = (0.5, 1.5, 3.0), (0.05, 0.2, 0.5, 0.8)  # edges between bins
Call = tuple[np.ndarray, np.ndarray, np.ndarray]


@contextmanager
def verdicts(parents: np.ndarray) -> Iterator[list[Call]]:
    """Of every call: whether the verdict lies below each node ``[B N+1]``, and bins of nodes ``[B N+1]``.

    The bins are those of the entropy of the law that a node was drawn from, and of its chance under it.
    """
    found: list[Call] = []
    judge, above = TreeJudge.judge, torch.as_tensor(parents[1:])

    def recorded(self: TreeJudge, target_rows: Any, draft: Any, *given: Any) -> Any:
        outcome = judge(self, target_rows, draft, *given)
        below = torch.zeros(draft.tokens.shape[0], len(parents) + 1, dtype=torch.bool)
        there = torch.arange(outcome.nodes.shape[1]) < outcome.accepted[:, None]
        below.scatter_(1, torch.where(there, outcome.nodes, len(parents)), True)
        below[:, 0] = True
        entropy = torch.special.entr(draft.rows).sum(dim=-1)[:, above]
        chance = draft.rows[:, above].gather(2, draft.tokens.clamp(min=0)[..., None])[..., 0]
        found.append((below[:, :-1].numpy(), np.digitize(entropy.numpy(), ENTROPIES),
                      np.digitize(chance.numpy(), CHANCES)))
        return outcome

    with mock.patch.object(TreeJudge, "judge", recorded):
        yield found


def measured_table(pair: Any, prompts: list[list[int]], rule: str, *, new: int, temperature: float) -> Any:
    """Acceptance table of a rule, from the verdicts on one tree of many nodes."""
    plan = ot.tree_policy("fitted").plan(ROUGH, 48, max_depth=12)
    parents, depths, ranks = numbered(plan.counts)
    with verdicts(parents) as found:
        ot.generate(pair, prompts, verifier=rule, drafter=ot.drafter("tree", counts=plan.counts), max_new_tokens=new,
                    batch_size=64, stop_token=None, predict=False, temperature=temperature, seed=1)
    passed, entropy, chance = (np.concatenate(parts) for parts in zip(*found, strict=True))
    children, their_parents = passed[:, 1:], passed[:, parents[1:]]
    depth, rank = depths[1:] - 1, ranks[1:]
    below, tried = (np.zeros((plan.depth, plan.most_draws)) for _ in range(2))
    np.add.at(below, (depth, rank), children.sum(axis=0))
    np.add.at(tried, (depth, rank), their_parents.sum(axis=0))
    # where a rank was not drafted, or seen too seldom, the rate of its rank over all depths
    pooled = below.sum(axis=0) / tried.sum(axis=0)
    few = tried < 50
    rates = np.where(few, pooled, below / np.maximum(tried, 1))
    seen = np.where(few, tried.sum(axis=0), tried)
    rates = rates / np.maximum(1.0, rates.sum(axis=1, keepdims=True))
    every = np.broadcast_to(rank, entropy.shape)
    bins = [_binned(children, their_parents, every, cell, len(edges) + 1, pooled)
            for cell, edges in ((entropy, ENTROPIES), (chance, CHANCES))]
    return ot.AcceptanceTable(rates, rule=rule, observations=seen, stderr=np.sqrt(rates * (1 - rates) / seen),
                              calibration=ot.Calibration(ENTROPIES, bins[0], CHANCES, bins[1]))


def _binned(children: np.ndarray, parents: np.ndarray, rank: np.ndarray, cell: np.ndarray, bins: int,
            pooled: np.ndarray) -> np.ndarray:
    """Rates ``[R bins]``; a bin that was seen too seldom has the rate of its rank."""
    below, tried = (np.zeros((len(pooled), bins)) for _ in range(2))
    np.add.at(below, (rank, cell), children)
    np.add.at(tried, (rank, cell), parents)
    return np.where(tried < 50, pooled[:, None], below / np.maximum(tried, 1))


def as_rows(table: Any, temperature: float) -> list[dict[str, object]]:
    """A table, one rate a line; ``edge`` is where a bin begins, None for the first."""
    edges: dict[str, tuple[float | None, ...]] = {"entropy": (None, *ENTROPIES), "chance": (None, *CHANCES)}
    kinds = {"depth": (table.rates, table.stderr, table.observations),
             "entropy": (np.transpose(table.calibration.by_entropy),) * 3,
             "chance": (np.transpose(table.calibration.by_chance),) * 3}
    return [{"temperature": temperature, "rule": table.rule, "by": kind, "cell": cell,
             "edge": edges[kind][cell] if kind in edges else None, "rank": rank, "rate": float(rates[cell, rank]),
             "stderr": float(stderr[cell, rank]) if kind == "depth" else None,
             "observations": int(seen[cell, rank]) if kind == "depth" else None}
            for kind, (rates, stderr, seen) in kinds.items() for cell, rank in np.ndindex(*rates.shape)]


def predictions(pair: Any, texts: list[list[int]], tables: dict[str, Any], temperature: float,
                new: int) -> list[dict[str, object]]:
    """Predicted and measured tokens per call of every policy with its rule."""
    rows: list[dict[str, object]] = []
    for budget in BUDGETS:
        for policy, rule in PAIRS:
            plan = ot.tree_policy(policy).plan(tables[rule], budget)
            run = ot.generate(pair, texts, verifier=rule, drafter=ot.drafter(plan.drafter, **plan.parameters),
                              max_new_tokens=new, batch_size=64, stop_token=None, temperature=temperature, seed=2)
            got, told = run.block_efficiency, run.predicted_efficiency
            spread = float(np.hypot(got.stderr, plan.tokens.stderr))
            rows.append({"temperature": temperature, "budget": budget, "policy": policy, "rule": rule,
                         "shape": plan.text, "draft_steps": plan.depth, "predicted": plan.tokens.mean,
                         "predicted_stderr": plan.tokens.stderr, "measured": got.mean, "stderr": got.stderr,
                         "n": got.n, "predicted_in_run": told.mean,
                         "off_percent": 100 * (plan.tokens.mean / got.mean - 1),
                         "z": (plan.tokens.mean - got.mean) / spread})
            print(rows[-1])  # noqa: T201
    return rows


def planning() -> list[dict[str, object]]:
    """Milliseconds of a plan: the best of five."""
    rng = np.random.default_rng(0)
    rates = -np.sort(-rng.dirichlet((6, 1.5, 0.8, 0.5, 0.4, 0.3, 0.2, 0.2, 2), 12)[:, :8], axis=1)
    ranks = ot.AcceptanceTable(rates, calibration=BINS)
    width = np.stack([np.where(np.arange(8) <= k, rates * (1 - 0.05 * k), 0.0) for k in range(8)], axis=1)
    rows: list[dict[str, object]] = []
    for policy in ot.list_tree_policies():
        for kind, table in (("ranks", ranks), ("widths", ot.AcceptanceTable(width))):
            if kind == "widths" and policy not in ("fitted", "caterpillar"):
                continue
            for budget in (8, 16, 32, 64):
                seconds = []
                for _ in range(5):
                    start = time.perf_counter()
                    ot.tree_policy(policy).plan(table, budget)
                    seconds.append(time.perf_counter() - start)
                rows.append({"policy": policy, "rates": kind, "budget": budget, "min_ms": 1e3 * min(seconds)})
    return rows


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=112)
    parser.add_argument("--tokens", type=int, default=56)
    parser.add_argument("--temperatures", type=float, nargs="+", default=[1.0])
    parser.add_argument("--predictions-only", action="store_true", help="leave the times of planning as they are")
    given = parser.parse_args()
    torch.set_num_threads(1)
    if not given.predictions_only:
        save("tree_planning", planning())
    pair = ot.load_pair("pocket", device="cpu")
    texts = [list(text[-64:]) for text in ot.load_trace("pocket").prompts[: given.texts]]
    rates, rows = [], []
    for temperature in given.temperatures:
        tables = {rule: measured_table(pair, texts[::2], rule, new=given.tokens, temperature=temperature)
                  for rule in ("recursive_walk", "traversal")}
        rates += [row for table in tables.values() for row in as_rows(table, temperature)]
        save("tree_rates", rates, "torch", "transformers")
        rows += predictions(pair, texts[1::2], tables, temperature, given.tokens)
        save("tree_predictions", rows, "torch", "transformers")


if __name__ == "__main__":
    main()
