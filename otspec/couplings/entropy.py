"""Minimum-entropy coupling: the joint law of two given laws that needs the fewest bits to describe. [mec].

*Greedy*: pair the largest masses that are left, take the smaller of the two off both, and go on. Theorem: the entropy
of the result is at most ``log2(e) / e < 0.531`` bits above the least possible.

*Exact*: entropy is concave, so its minimum over the joint laws with these marginals lies at a vertex, and every vertex
is supported on a spanning tree of the complete bipartite graph of tokens. All of them are solved, at small support.

*Lower bound*, for any size: the entropy of the law whose partial sums, largest masses first, are the smaller of those
of both laws; every joint law is majorised by both marginals.
"""

from __future__ import annotations

import heapq
import math
from functools import lru_cache
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from otspec.core.coupling import exact_pair
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.host import to_host
from otspec.core.joint_coupling import Coupled, JointCoupling
from otspec.core.laws import draw, namespace
from otspec.core.names import did_you_mean
from otspec.core.noise import Noise

Array = Any
GUARANTEE = math.log2(math.e) / math.e
METHODS = ("greedy", "exact")
MOST_TREES = 12_000  # sets of cells; 4 times 4 tokens have 11,440
ROUNDING = 1e-12  # of a flow, a sum of a few masses


class Cells(NamedTuple):
    """Positive entries of a joint law: target tokens, draft tokens and masses ``[n]``."""

    target: np.ndarray
    draft: np.ndarray
    mass: np.ndarray

    @property
    def entropy(self) -> float:
        """Entropy in bits."""
        return entropy(self.mass)


class MinimumEntropy(JointCoupling):
    """Joint law of least entropy, by one party who knows both laws. [mec].

    Parameters
    ----------
    method : {"greedy", "exact"}

    Raises
    ------
    BadArgument

    Examples
    --------
    >>> MinimumEntropy().cells([0.5, 0.5], [0.25, 0.75]).entropy
    1.5
    """

    def __init__(self, method: str = "greedy") -> None:
        if method not in METHODS:
            raise BadArgument(f"method: {method!r} is none of {', '.join(map(repr, METHODS))}."
                              f"{did_you_mean(method, METHODS)}")
        self.method = method

    def cells(self, target: Array, draft: Array) -> Cells:
        """Positive entries of the joint law of one pair of laws ``[V]``, for any vocabulary.

        Raises
        ------
        TooLarge
            ``"exact"`` beyond a support of 4 times 4 tokens, or one with as many sets of cells.
        """
        target, draft = exact_pair(target, draft)
        if target.ndim != 1:
            raise BadArgument(f"target: shape {tuple(target.shape)} is a batch. Fix: one pair of laws at a time.")
        return self._cells(to_host(target, np.float64), to_host(draft, np.float64))

    def entropy_bounds(self, target: Array, draft: Array) -> tuple[float, float]:
        """Certified ends of the least entropy, in bits: majorisation below, this coupling above."""
        target, draft = (np.sort(to_host(law, np.float64))[::-1] for law in exact_pair(target, draft))
        meet = np.diff(np.minimum(np.cumsum(target), np.cumsum(draft)), prepend=0.0)
        return entropy(meet), self.cells(target, draft).entropy

    def _cells(self, target: np.ndarray, draft: np.ndarray) -> Cells:
        return _greedy(target, draft) if self.method == "greedy" else _best_vertex(target, draft)

    def _agreed(self, target: Array, draft: Array) -> Array:
        def row(cells: Cells) -> np.ndarray:
            same = cells.target == cells.draft
            return np.bincount(cells.target[same], cells.mass[same], minlength=target.shape[-1])

        return self._each(target, draft, row)

    def _joint(self, target: Array, draft: Array) -> Array:
        def table(cells: Cells) -> np.ndarray:
            joint = np.zeros((target.shape[-1],) * 2)
            np.add.at(joint, (cells.target, cells.draft), cells.mass)
            return joint

        return self._each(target, draft, table)

    def _couple(self, target: Array, draft: Array, noise: Noise) -> Coupled:
        coins, batch = to_host(noise.coins(1), np.float64), tuple(target.shape[:-1])
        laws = [to_host(law, np.float64).reshape(-1, law.shape[-1]) for law in (target, draft)]
        # draws of one pair of laws share its joint law
        kinds, kind = np.unique(np.concatenate(laws, axis=1), axis=0, return_inverse=True)
        coins, kind = np.broadcast_to(coins, (*batch, 1)).ravel(), kind.ravel()
        pairs = np.empty((2, kind.size), dtype=np.int64)
        for number, both in enumerate(kinds):
            rows = np.flatnonzero(kind == number)
            cells = self._cells(*np.split(both, 2))
            chosen = draw(np.broadcast_to(cells.mass, (rows.size, cells.mass.size)), coins[rows])
            pairs[:, rows] = cells.target[chosen], cells.draft[chosen]
        xp = namespace(target)
        ours, theirs = (xp.asarray(side.reshape(batch), device=target.device) for side in pairs)
        return Coupled(ours, theirs, None)

    def _each(self, target: Array, draft: Array, what: Any) -> Array:
        """Stack what is found for every pair of a batch."""
        xp, batch = namespace(target), tuple(target.shape[:-1])
        pairs = zip(*(to_host(law, np.float64).reshape(-1, law.shape[-1]) for law in (target, draft)), strict=True)
        found = np.stack([what(self._cells(*pair)) for pair in pairs])
        return xp.asarray(found.reshape(batch + found.shape[1:]), device=target.device)

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        shared = namespace(target).sum(namespace(target).minimum(target, draft), axis=-1)
        return 0.0 * shared, shared

    def __repr__(self) -> str:
        """Class and parameter."""
        return f"MinimumEntropy(method={self.method!r})"


def entropy(masses: np.ndarray) -> float:
    """Entropy in bits; masses of zero count nothing.

    Examples
    --------
    >>> entropy(np.array([0.5, 0.25, 0.25, 0.0]))
    1.5
    """
    masses = masses[masses > 0]
    return max(0.0, -float((masses * np.log2(masses)).sum()))


def _greedy(target: np.ndarray, draft: np.ndarray) -> Cells:
    left = [[(-mass, token) for token, mass in enumerate(law.tolist()) if mass > 0] for law in (target, draft)]
    for heap in left:
        heapq.heapify(heap)
    cells = []
    while left[0] and left[1]:
        (row_mass, row), (column_mass, column) = (heapq.heappop(heap) for heap in left)
        mass = max(row_mass, column_mass)  # both negative: the smaller of the two
        cells.append((row, column, -mass))
        for heap, whole, token in ((left[0], row_mass, row), (left[1], column_mass, column)):
            if whole < mass:
                heapq.heappush(heap, (whole - mass, token))
    rows, columns, masses = zip(*cells, strict=True)
    return Cells(np.array(rows), np.array(columns), np.array(masses))


def _best_vertex(target: np.ndarray, draft: np.ndarray) -> Cells:
    rows, columns = np.flatnonzero(target), np.flatnonzero(draft)
    cells, inverse = _trees(rows.size, columns.size)
    flows = inverse @ np.concatenate([target[rows], draft[columns[:-1]]])
    lawful = (flows >= -ROUNDING).all(axis=1)
    masses, cells = np.maximum(flows[lawful], 0.0), cells[lawful]
    bits = -(masses * np.log2(np.where(masses > 0, masses, 1.0))).sum(axis=1)
    best = int(np.argmin(bits))
    chosen = masses[best] > 0
    row, column = np.divmod(cells[best][chosen], columns.size)
    return Cells(rows[row], columns[column], masses[best][chosen])


@lru_cache(maxsize=32)
def _trees(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Cells ``[n e]`` of every spanning tree, and the matrices ``[n e e]`` from marginals to their masses."""
    edges = rows + columns - 1
    count = math.comb(rows * columns, edges)
    if count > MOST_TREES:
        raise TooLarge(f"{rows} times {columns} tokens have {count:.3g} sets of cells, more than {MOST_TREES:,}. "
                       f"Fix: method='greedy'.", count)
    cells = np.array(list(combinations(range(rows * columns), edges))).reshape(count, edges)
    row, column = np.divmod(cells, columns)
    sums = np.concatenate([row[:, None, :] == np.arange(rows)[:, None],
                           column[:, None, :] == np.arange(columns - 1)[:, None]], axis=1).astype(np.float64)
    # determinants of incidence matrices are -1, 0 and 1, and those of trees are not 0
    tree = np.abs(np.linalg.det(sums)) > 0.5
    return cells[tree], np.rint(np.linalg.inv(sums[tree]))
