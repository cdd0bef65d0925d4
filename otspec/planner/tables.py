"""Acceptance tables of the rules that try child after child, measured on drafted trees after calibration contexts.

Let M(v) be the chance that the verdict lies at node v or below. For Traversal and for recursive rejection its mean
over drafts depends on the ranks of the nodes on the way to v and on nothing else of the tree. So one tree of many
nodes gives the masses of all trees inside it, and the rate of rank r at depth d is a ratio of sums of masses, children
over parents. Rates are kept as *hazards*, the chance of a child given that its elder siblings failed: those of depths
at which a rank was not drafted are pooled over the others, and whatever they are, the rates of a node sum to at most
one. [sequoia] [traversal]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from otspec.core.estimate import Estimate
from otspec.core.progress import progress_bar
from otspec.decode.drafters.tree import FixedTree
from otspec.planner.rounds import rounds
from otspec.policies.trees import AcceptanceTable, Calibration, tree_policy
from otspec.policies.trees.shapes import numbered
from otspec.verifiers.tree.batched_traversal import REJECTION, TRAVERSAL, node_masses

#: rules that are measured, and whether they weigh whole blocks
WEIGHTED: Mapping[str, bool] = {"traversal": TRAVERSAL, "recursive_walk": REJECTION}
#: rates that shape the measured tree: rough ones are enough, for they only say where it pays to look
ROUGH = ((0.7, 0.12, 0.05, 0.03, 0.02, 0.01, 0.01, 0.01),)
NODES = 4  # of the measured tree, times the budget
BINS = 6  # of entropy and of the child's chance
ENTROPY_FLOOR = 1e-30
DIGITS = 4  # of calibrations, which a user copies with the drafter


def measured_tree(budget: int) -> FixedTree:
    """Tree whose nodes are measured: at least as deep and as wide as those that a budget buys.

    Examples
    --------
    >>> measured_tree(2).num_nodes
    16
    """
    plan = tree_policy("fitted").plan(ROUGH, max(16, NODES * budget), max_depth=max(2, budget))
    return FixedTree(counts=plan.counts)


def acceptance_tables(pair: Any, prompts: Sequence[Sequence[int]], budget: int, warp: dict[str, Any], *, seed: int,
                      sets: int = 1, progress: bool = False) -> dict[str, AcceptanceTable]:
    """Tables of Traversal and of recursive rejection without replacement.

    Parameters
    ----------
    prompts : sequence of token lists
        Calibration contexts.
    budget : int
    warp, seed, sets
        As in `otspec.planner.rounds.rounds`.
    progress : bool

    Returns
    -------
    dict of rule names to tables
        Each with standard errors over contexts, and with rates by entropy and by the child's chance.
    """
    drafter = measured_tree(budget)
    masses: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {rule: [] for rule in WEIGHTED}
    facts: list[tuple[np.ndarray, np.ndarray]] = []
    with progress_bar(len(prompts), "contexts", progress, title="measure rates") as bar:
        for batch in rounds(pair, prompts, [drafter], warp, seed=seed, sets=sets, show=bar.update):
            for one in batch:
                trees, draft = one.trees(), one.draft.rows.cpu().numpy()
                facts.append(_facts(trees, draft))
                for rule, weighted in WEIGHTED.items():
                    both = node_masses(trees, one.target_rows.cpu().numpy(), draft, weighted)
                    masses[rule].append(tuple(part.reshape(-1, sets, part.shape[1]) for part in both))
    entropy, chance = (np.concatenate(parts) for parts in zip(*facts, strict=True))
    tables = {}
    for rule, found in masses.items():
        passed, kept = (np.concatenate(parts) for parts in zip(*found, strict=True))
        tables[rule] = _table(rule, drafter, passed, kept, entropy, chance)
    return tables


def _facts(trees: Any, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of the draft law that each node is drawn from, and the node's chance under it, ``[B N]``."""
    entropy = -(draft * np.log(np.maximum(draft, ENTROPY_FLOOR))).sum(axis=-1)
    each = np.arange(len(draft))[:, None]
    return entropy[each, trees.above], draft[each, trees.above, np.maximum(trees.tokens, 0)]


def _table(rule: str, drafter: FixedTree, passed: np.ndarray, kept: np.ndarray, entropy: np.ndarray,
           chance: np.ndarray) -> AcceptanceTable:
    """Table of masses ``[contexts sets N]``."""
    assert drafter.counts is not None  # a measured tree is given by them
    parents, depths, ranks = numbered(drafter.counts)
    above = np.concatenate([np.ones_like(kept[..., :1]), kept], axis=-1)[..., parents[1:]]
    deep, rank = depths[1:] - 1, ranks[1:]
    shape = (int(deep.max()) + 1, int(rank.max()) + 1)
    rates, stderr = np.full(shape, np.nan), np.zeros(shape)
    seen = np.zeros(shape)
    for place in np.ndindex(*shape):
        here = (deep == place[0]) & (rank == place[1])
        if here.any():
            top, bottom = (part[..., here].sum(axis=-1).mean(axis=1) for part in (passed, above))
            found = Estimate.from_ratio(top, bottom)
            rates[place], stderr[place], seen[place] = found.mean, found.stderr, top.size
    passed, kept, above = (part.reshape(-1, part.shape[-1]) for part in (passed, kept, above))
    return AcceptanceTable(_filled(rates), rule=rule, stderr=np.where(seen > 0, stderr, stderr.max(axis=0)),
                           observations=np.where(seen > 0, seen, seen.max(axis=0)),
                           calibration=_calibration(passed, kept, above, rank, entropy, chance))


def _filled(rates: np.ndarray) -> np.ndarray:
    """Rates of every depth and rank, those that were not measured from the hazards of other depths."""
    hazards = np.full_like(rates, np.nan)
    left = np.ones(len(rates))
    for rank in range(rates.shape[1]):
        hazards[:, rank] = rates[:, rank] / np.maximum(left, 1e-12)
        hazards[:, rank] = np.where(np.isnan(hazards[:, rank]), np.nanmean(hazards[:, rank]), hazards[:, rank])
        hazards[:, rank] = np.clip(hazards[:, rank], 0.0, 1.0)
        left = left * (1.0 - hazards[:, rank])
    failed = np.cumprod(np.concatenate([np.ones((len(rates), 1)), 1.0 - hazards[:, :-1]], axis=1), axis=1)
    return hazards * failed


def _calibration(passed: np.ndarray, kept: np.ndarray, above: np.ndarray, rank: np.ndarray, entropy: np.ndarray,
                 chance: np.ndarray) -> Calibration:
    """Rates by rank and entropy bin before a child is drawn, by rank and bin of its chance afterwards."""
    there = chance > 0
    entropy_edges, chance_edges = (_edges(values[there]) for values in (entropy, chance))
    first = np.broadcast_to(rank, entropy.shape)
    return Calibration(entropy_edges, _binned(passed, above, first, entropy, entropy_edges),
                       chance_edges, _binned(kept, above, first, chance, chance_edges))


def _edges(values: np.ndarray) -> tuple[float, ...]:
    found = np.quantile(values, np.linspace(0, 1, BINS + 1)[1:-1])
    return tuple(np.unique(found.round(DIGITS)).tolist())


def _binned(top: np.ndarray, bottom: np.ndarray, rank: np.ndarray, values: np.ndarray,
            edges: Sequence[float]) -> np.ndarray:
    """Sum over sum ``[ranks bins]``; an empty cell has the rate of its rank."""
    cell = np.searchsorted(np.asarray(edges), values, side="right")
    shape = int(rank.max()) + 1, len(edges) + 1
    flat = (rank * shape[1] + cell).ravel()
    sums = [np.bincount(flat, weights=part.ravel(), minlength=shape[0] * shape[1]).reshape(shape)
            for part in (top, bottom)]
    whole = sums[0].sum(axis=1, keepdims=True) / np.maximum(sums[1].sum(axis=1, keepdims=True), 1e-12)
    rates = np.where(sums[1] > 0, sums[0] / np.where(sums[1] > 0, sums[1], 1.0), whole)
    return np.clip(rates, 0.0, 1.0).round(DIGITS)
