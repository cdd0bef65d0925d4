"""Acceptance tables: how likely a rule is to keep the child of each rank, given that it keeps its parent.

The rate of rank r at depth d is ``Pr[the verdict lies in the subtree of that child | it lies in that of the parent]``;
the children of a node exclude each other, so the rates of one node sum to at most one. If rates depend on depth and
rank alone, the mean number of drafts kept is the sum over nodes of the product of the rates on the way to them, and so
tokens per call are ``1 +`` that sum, the one being the token that every call adds. [sequoia]

A rule that must know how many children a node has (optimal, grouped, winner rules) has other rates for each width, one
that tries child after child (Traversal, recursive rejection) has not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.policies.trees.shapes import numbered

ROUNDING = 1e-9


@dataclass(frozen=True)
class Calibration:
    """Rates of a child by its rank and by what is known of it, pooled over depths.

    Parameters
    ----------
    entropy_edges : [E - 1] increasing
        Edges, in nats, between bins of the entropy of the draft law that the children are drawn from; an edge itself
        belongs to the bin above it.
    by_entropy : [R E] or [K R E]
        Rate of each rank before the child is drawn; with widths, of a node that has k + 1 children.
    chance_edges : [C - 1] increasing
        Edges between bins of the child's probability under the draft law of its parent.
    by_chance : [R C] or [K R C]
        Rate of each rank once the child is known.

    Examples
    --------
    >>> Calibration((), [[0.8], [0.1]], (0.5,), [[0.7, 0.9], [0.1, 0.1]]).num_ranks
    2
    """

    entropy_edges: Sequence[float]
    by_entropy: Sequence[Any] | np.ndarray
    chance_edges: Sequence[float]
    by_chance: Sequence[Any] | np.ndarray

    def __post_init__(self) -> None:
        """Check the shapes, and keep plain tuples, which can be hashed and written down."""
        for edges, rates in (("entropy_edges", "by_entropy"), ("chance_edges", "by_chance")):
            found = _numbers(edges, getattr(self, edges), (1,)) if len(getattr(self, edges)) else np.zeros(0)
            if (np.diff(found) <= 0).any():
                raise BadArgument(f"{edges}: {found.tolist()} do not increase. Fix: sort them, and drop equal ones.")
            table = _rates(rates, getattr(self, rates), (2, 3))
            if table.shape[-1] != found.size + 1:
                raise ShapeMismatch(f"{rates}: {table.shape[-1]} bins for {found.size} edges. Fix: [ranks edges + 1].")
            object.__setattr__(self, edges, tuple(found.tolist()))
            object.__setattr__(self, rates, _tuples(table))
        before, after = np.shape(self.by_entropy)[:-1], np.shape(self.by_chance)[:-1]
        if before != after or len(set(before)) > 1:
            raise ShapeMismatch(f"by_entropy, by_chance: ranks {before} and {after}. Fix: the same ranks in both, or "
                                f"[K K], as many widths as ranks.")

    @property
    def num_ranks(self) -> int:
        """Most children of a node that rates are known for."""
        return len(self.by_entropy)

    @property
    def by_width(self) -> bool:
        """Whether rates depend on the number of children."""
        return np.ndim(self.by_entropy) == 3


@dataclass(frozen=True, eq=False)
class AcceptanceTable:
    """Rates of a rule by depth and rank.

    Parameters
    ----------
    rates : [R] or [D R] or [D K R]
        Rate of rank r; with depths, of the children of a node at depth d, the root being depth 0; with widths, of the
        children of a node that has k + 1 of them, where ranks from k + 1 on are 0. Deeper nodes have the last row.
    rule : str, optional
        Name of the verifier that the rates were measured for.
    observations : int or array like `rates`, optional
        How many parents each rate was measured on; None for exact rates.
    stderr : array like `rates`, optional
        Standard errors of the rates; None for exact rates.
    calibration : Calibration, optional
        For trees whose shape depends on the draft laws.

    Raises
    ------
    BadArgument, ShapeMismatch

    Examples
    --------
    >>> AcceptanceTable([0.5, 0.25]).expected_tokens((2, 1)).mean  # 1 + .5 + .25 + .5 * .5
    2.0
    """

    rates: Any
    rule: str | None = None
    observations: Any = None
    stderr: Any = None
    calibration: Calibration | None = None
    by_width: bool = field(init=False)

    def __post_init__(self) -> None:
        """Check the rates and give them their full number of axes."""
        rates = _rates("rates", self.rates, (1, 2, 3))
        shape = rates.shape
        object.__setattr__(self, "by_width", rates.ndim == 3)
        rates = rates[None] if rates.ndim == 1 else rates
        if self.by_width:
            widths, ranks = shape[1:]
            if widths != ranks:
                raise ShapeMismatch(f"rates: {widths} widths and {ranks} ranks. Fix: [depths K K], K the most "
                                    f"children.")
            if np.triu(rates, 1).any():
                raise BadArgument("rates: a child of rank k + 1 or more of a node of k + 1 children has a rate. Fix: 0 "
                                  "there.")
        over = rates.sum(axis=-1).max()
        if over > 1 + 1e-6:
            raise BadArgument(f"rates: those of one node sum to {over:.6g}. Fix: rates of children that exclude each "
                              f"other, which sum to at most 1; not chances given that earlier children failed.")
        object.__setattr__(self, "rates", rates)
        for name in ("observations", "stderr"):
            given = getattr(self, name)
            if given is not None:
                array = np.asarray(given, dtype=np.float64)
                if array.shape not in ((), shape) or not (array >= 0).all() or not np.isfinite(array).all():
                    raise BadArgument(f"{name}: shape {array.shape}, rates {shape}. Fix: finite numbers of at least 0, "
                                      f"one for each rate.")
                object.__setattr__(self, name, np.broadcast_to(array, shape).reshape(rates.shape))

    @property
    def num_depths(self) -> int:
        """Depths that have a row of their own."""
        return self.rates.shape[0]

    @property
    def num_ranks(self) -> int:
        """Most children of a node that rates are known for."""
        return self.rates.shape[-1]

    def at(self, depth: int, width: int) -> np.ndarray:
        """Rates ``[width]`` of the children of a node at a depth that has so many of them."""
        return self.rates[self._cell(depth, width)][:width]

    def _cell(self, depth: int, width: int) -> tuple[int, ...]:
        if width > self.num_ranks:
            raise BadArgument(f"counts: a node of {width} children, but rates are known for {self.num_ranks}. "
                              f"Fix: max_children={self.num_ranks}, or a table of more ranks.")
        row = min(depth, self.num_depths - 1)
        return (row, width - 1) if self.by_width else (row,)

    def pooled(self) -> AcceptanceTable:
        """Rates that do not depend on depth: the mean over depths, each weighed by its observations.

        Examples
        --------
        >>> AcceptanceTable([[0.9], [0.5]], observations=[[300], [100]]).pooled().rates
        array([[0.8]])
        """
        seen = np.ones_like(self.rates) if self.observations is None else self.observations
        total = seen.sum(axis=0)
        share = np.where(total > 0, seen / np.where(total > 0, total, 1.0), 1.0 / self.num_depths)
        errors = None if self.stderr is None else self._like_given(np.sqrt(((share * self.stderr) ** 2).sum(axis=0)))
        counts = None if self.observations is None else self._like_given(total)
        return AcceptanceTable(self._like_given((share * self.rates).sum(axis=0)), self.rule, counts, errors,
                               self.calibration)

    def _like_given(self, pooled: np.ndarray) -> np.ndarray:
        return pooled[None] if self.by_width else pooled

    def reached(self, counts: Sequence[int]) -> np.ndarray:
        """Chance ``[N+1]`` that the verdict lies in the subtree of each node of a shape; 1 at the root."""
        parents, depths, ranks = numbered(counts)
        width = np.bincount(parents[1:], minlength=len(parents))
        reach = np.ones(len(parents))
        for node in range(1, len(parents)):
            parent = parents[node]
            reach[node] = reach[parent] * self.at(depths[parent], width[parent])[ranks[node]]
        return reach

    def expected_tokens(self, counts: Sequence[int]) -> Estimate:
        """Predicted tokens per call of a shape, in the numbering of the drafter ``"tree"``.

        The standard error is that of the rates, taken as independent of each other; n is the fewest observations that
        a rate in use rests on. What the assumption of depth and rank costs is not in it: measure that on contexts of
        their own.
        """
        parents, depths, ranks = numbered(counts)
        width = np.bincount(parents[1:], minlength=len(parents))
        reach = self.reached(counts)
        if self.stderr is None:
            return Estimate(float(reach.sum()))
        below = np.ones(len(parents))  # tokens of the subtree of an accepted node
        slope, used = np.zeros_like(self.rates), np.zeros(self.rates.shape, dtype=bool)
        for node in range(len(parents) - 1, 0, -1):
            parent = parents[node]
            cell = (*self._cell(depths[parent], width[parent]), ranks[node])
            slope[cell] += reach[parent] * below[node]
            used[cell] = True
            below[parent] += self.rates[cell] * below[node]
        seen = None if self.observations is None else int(self.observations[used].min(initial=np.inf))
        return Estimate(float(reach.sum()), float(np.sqrt(((slope * self.stderr) ** 2).sum())), seen)

    def __repr__(self) -> str:
        """Size and rule."""
        widths = f", {self.num_ranks} widths" if self.by_width else ""
        return f"AcceptanceTable({self.num_depths} depths, {self.num_ranks} ranks{widths}, rule={self.rule!r})"


def _tuples(array: np.ndarray) -> tuple[Any, ...]:
    return tuple(map(_tuples, array)) if array.ndim > 1 else tuple(array.tolist())


def _numbers(name: str, values: Any, dimensions: tuple[int, ...]) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise ShapeMismatch(f"{name}: no array of numbers. Fix: rows of one length, all numbers.") from None
    if array.ndim not in dimensions or array.size == 0:
        raise ShapeMismatch(f"{name}: shape {array.shape}. Fix: {' or '.join(map(str, dimensions))} axes, none empty.")
    if not np.isfinite(array).all():
        raise BadArgument(f"{name}: {array[~np.isfinite(array)][0]} found. Fix: finite numbers.")
    return array


def _rates(name: str, values: Any, dimensions: tuple[int, ...]) -> np.ndarray:
    array = _numbers(name, values, dimensions)
    wrong = (array < 0) | (array > 1 + ROUNDING)
    if wrong.any():
        raise BadArgument(f"{name}: {array[wrong][0]} is no chance. Fix: numbers from 0 to 1.")
    return np.minimum(array, 1.0)
