"""Recursive rejection on trees with copies, compiled for the CPU: the same walk as `otspec.verifiers.tree.copies`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from otspec.core.drafted import DraftedTrees
from otspec.verifiers.tree.refusals import LARGEST
from otspec.verifiers.tree.refusals_compiled import excess, host_views, links, quantile, row_sum

Array = Any


@njit(cache=True, nogil=True)
def _refuse(p, q, scale, mass, offer):
    """Take one offer from the goal: scale and mass after it, and the chance that the draw was kept."""
    later = min(scale + mass / offer, LARGEST)
    rest, _ = excess(p, q, later, 0, p.size)
    kept = max(1.0 - rest / mass, 0.0)
    return (later, rest, kept) if rest > 0.0 else (scale, mass, kept)


@njit(cache=True, nogil=True)
def _ratio(p, q, scale, mass, offer):
    """Chance to keep a child with these masses."""
    wanted, offered = max(p - scale * q, 0.0) * offer, q * mass
    if wanted > 0.0 and wanted >= offered:
        return 1.0
    return wanted / (offered if offered > 0.0 else 1.0)


@njit(cache=True, nogil=True)
def _walk_row(tokens, copies, target, draft, coins, measure, first, following):
    """Node, scale and mass at the end of the walk, and the mean number of draws kept."""
    count = tokens.size
    node, mean = 0, 0.0
    while True:
        scale, mass = 0.0, row_sum(target[node])
        child = first[node]
        if child == 0:
            return node, scale, mass, mean
        offer, unseen, repeats, moved = row_sum(draft[node]), 0, 0, False
        while child > 0:
            unseen += copies[child - 1]
            child = following[child]
        child = first[node]
        while child > 0 and not moved:
            token = tokens[child - 1]
            unseen -= copies[child - 1]
            repeats += copies[child - 1] - 1
            keep = _ratio(np.float64(target[node, token]), np.float64(draft[node, token]), scale, mass, offer)
            moved = coins[child - 1] < keep
            if measure or not moved:
                scale, mass, kept = _refuse(target[node], draft[node], scale, mass, offer)
                mean += kept
            alike = 1.0
            while repeats > 0 and not moved:
                alike *= repeats / (repeats + unseen)
                if coins[count + child - 1] >= alike:
                    break
                repeats -= 1
                scale, mass, kept = _refuse(target[node], draft[node], scale, mass, offer)
                mean += kept
            if moved:
                node = child
            else:
                child = following[child]
        if not moved:
            return node, scale, mass, mean


@njit(cache=True, nogil=True)
def _walk(tokens, parents, copies, target, draft, coins, measure, nodes, emitted, means):
    count = tokens.shape[1]
    first, following, earlier = (np.zeros(count + 1, np.int64), np.zeros(count + 1, np.int64),
                                 np.zeros(count + 1, np.int64))
    marks, values = np.full(1, target.shape[2], np.int64), np.zeros(1)
    for row in range(tokens.shape[0]):
        links(tokens[row], parents[row], first, following, earlier)
        node, scale, mass, mean = _walk_row(tokens[row], copies[row], target[row], draft[row], coins[row], measure,
                                            first, following)
        nodes[row], means[row] = node, mean
        emitted[row] = quantile(target[row, node], draft[row, node], scale, mass, coins[row, 2 * count], marks, values)


def walk_copies_compiled(drafted: DraftedTrees, target_rows: Array, draft_rows: Array, uniforms: Array,
                         measure: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Node, token and mean ``[B]``; see `otspec.verifiers.tree.copies.walk_copies`."""
    tokens, parents, target, draft, _ = host_views(drafted, target_rows, draft_rows)
    copies = np.ascontiguousarray(drafted.copies, dtype=np.int64)
    nodes, emitted = (np.empty(len(tokens), dtype=np.int64) for _ in range(2))
    means = np.zeros(len(tokens))
    coins = np.asarray(uniforms, dtype=np.float64)
    _walk(tokens, parents, copies, target, draft, coins, measure, nodes, emitted, means)
    return nodes, emitted, means
