"""Drafted trees: the prefixes that a draft model proposes, each ending in one drafted token.

Node 0 is the context, nothing drafted yet; every other node stands after its parent. K paths are a tree: common
prefixes are merged, and the *multiplicity* of a node counts the copies merged in it. A chain is the tree of one path.

Fact used by every rule on trees: given the node, the next tokens of the copies at it are independent draws from its
draft law (or one list without replacement), whatever decided how many there are, as long as that was decided before
they were drawn. A tree whose widths depend on the children themselves breaks this and must say so. So must a tree
that is chosen without chance, such as the likeliest tokens of a beam: its drafts have one-hot laws. A *greedy* tree is
between the two: of the children of a node one at most is drawn, from what the children before it leave of the draft
law, and the others are chosen without chance, which a multiplicity of 0 says: no draw is merged in them. Whether the
drawn child is there may depend on anything but which token it is.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.names import did_you_mean

Array = Any
SAMPLED = ("paths", "branches", "without_replacement")
SCHEMES = (*SAMPLED, "greedy", "deterministic")


class DraftTree:
    """A drafted tree.

    Parameters
    ----------
    parents : [N] int
        Parent of each node, -1 for the root, which is node 0. A parent stands before its children, and children of
        one node stand in the order in which they were first drawn.
    tokens : [N] int
        Last token of each node; -1 for the root.
    multiplicity : [N] int, optional
        Independent copies merged in each node; default 1 for each leaf, and elsewhere the
        copies of the children (``"paths"``) or 1. Of greedy trees: 1 for a child that was drawn and 0 for one that was
        chosen; default 1 for the last child of a node alone.
    scheme : {"paths", "branches", "without_replacement", "greedy", "deterministic"}
        How children are drawn: the copies at a node each draw one (K independent paths); every distinct node makes
        its own independent draws; without replacement; one at most, beside others that are chosen without chance; or
        not at all, the tree being a function of the context.
    adaptive_widths : bool
        Whether the number of children of a node depends on which children were drawn, as in a best-first heap.

    Raises
    ------
    BadArgument, ShapeMismatch

    Examples
    --------
    >>> tree = DraftTree.from_paths([[5, 7], [5, 8]])
    >>> tree.parents.tolist(), tree.tokens.tolist(), tree.multiplicity.tolist()
    ([-1, 0, 1, 1], [-1, 5, 7, 8], [2, 2, 1, 1])
    """

    def __init__(self, parents: Array, tokens: Array, multiplicity: Array | None = None, *, scheme: str = "paths",
                 adaptive_widths: bool = False) -> None:
        if scheme not in SCHEMES:
            raise BadArgument(f"scheme: {scheme!r} is none of {', '.join(SCHEMES)}.{did_you_mean(scheme, SCHEMES)} "
                              f"Fix: name one of them.")
        self.scheme, self.adaptive_widths = scheme, bool(adaptive_widths)
        self.parents, self.tokens = _integers("parents", parents), _integers("tokens", tokens)
        _check_parents(self.parents, self.tokens)
        if multiplicity is None:
            multiplicity = np.ones_like(self.parents)
            if scheme == "greedy":
                multiplicity[1:] = [node not in self.parents[other + 1 :] for other, node in
                                    enumerate(self.parents[1:].tolist(), 1)]
            if scheme == "paths":
                for node in range(len(self.parents) - 1, -1, -1):
                    multiplicity[node] = max(1, multiplicity[self.parents == node].sum())
        self.multiplicity = _integers("multiplicity", multiplicity)
        self._check_siblings()
        self._check_multiplicity()

    @classmethod
    def from_paths(cls, tokens: Array) -> DraftTree:
        """Merge the common prefixes of K independent paths ``[K L]``."""
        tokens = _integers("tokens", tokens, 2)
        return cls._merged(tokens, 0)

    @classmethod
    def delayed(cls, trunk: Array, branches: Array) -> DraftTree:
        """One trunk ``[L1]``, then K independent branches ``[K L2]`` from its end. [delayed-trees]."""
        trunk, branches = _integers("trunk", trunk), _integers("branches", branches, 2)
        whole = np.concatenate([np.broadcast_to(trunk, (len(branches), len(trunk))), branches], axis=1)
        return cls._merged(whole, len(trunk))

    @classmethod
    def _merged(cls, paths: np.ndarray, trunk: int) -> DraftTree:
        if paths.size and paths.min() < 0:
            raise BadArgument("tokens: -1 found; a path has no absent tokens. Fix: give whole paths.")
        if len(paths) == 0:
            raise ShapeMismatch("tokens: no path. Fix: give at least one row of tokens.")
        places: dict[tuple[int, ...], int] = {(): 0}
        parents, last, copies = [-1], [-1], [1 if trunk else len(paths)]
        for path in paths.tolist():
            for depth in range(1, len(path) + 1):
                prefix = tuple(path[:depth])
                if prefix not in places:
                    places[prefix] = len(parents)
                    parents.append(places[prefix[:-1]])
                    last.append(prefix[-1])
                    copies.append(1 if depth <= trunk else 0)
                if depth > trunk:
                    copies[places[prefix]] += 1
        return cls(parents, last, copies, scheme="branches" if trunk else "paths")

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Children of each node in drawing order."""
        below: list[list[int]] = [[] for _ in self.parents]
        for node, parent in enumerate(self.parents[1:].tolist(), 1):
            below[parent].append(node)
        return tuple(map(tuple, below))

    @cached_property
    def depths(self) -> np.ndarray:
        """Number of drafted tokens up to each node, ``[N]``."""
        depths = np.zeros_like(self.parents)
        for node, parent in enumerate(self.parents[1:].tolist(), 1):
            depths[node] = depths[parent] + 1
        return depths

    @cached_property
    def draws(self) -> np.ndarray:
        """Number of draws made at each node, copies counted, ``[N]``."""
        return np.bincount(self.parents[1:], weights=self.multiplicity[1:], minlength=len(self)).astype(np.int64)

    @cached_property
    def chains(self) -> list[tuple[int, ...]]:
        """Nodes from the root to each leaf, a leaf listed once for every copy merged in it."""
        chains = []
        for leaf in (node for node, below in enumerate(self.children) if not below):
            nodes = [leaf]
            while nodes[-1]:
                nodes.append(int(self.parents[nodes[-1]]))
            chains += [tuple(reversed(nodes))] * max(1, int(self.multiplicity[leaf]))
        return chains

    def __len__(self) -> int:
        """Return the number of nodes, the root included."""
        return len(self.parents)

    def __repr__(self) -> str:
        """Size, scheme and depth."""
        widths = ", adaptive widths" if self.adaptive_widths else ""
        return f"DraftTree({len(self)} nodes, {self.scheme}, depth {int(self.depths.max())}{widths})"

    def _check_siblings(self) -> None:
        seen: set[tuple[int, int]] = set()
        for node, pair in enumerate(zip(self.parents[1:].tolist(), self.tokens[1:].tolist(), strict=True), 1):
            if pair in seen:
                raise BadArgument(f"tokens[{node}] = {pair[1]} is drafted twice after node {pair[0]}. "
                                  f"Fix: merge equal siblings and count them in multiplicity.")
            seen.add(pair)

    def _check_multiplicity(self) -> None:
        copies = self.multiplicity
        if copies.shape != self.parents.shape:
            raise ShapeMismatch(f"multiplicity: {copies.size} numbers for {len(self)} nodes. Fix: one for each node.")
        least = 0 if self.scheme == "greedy" else 1
        if copies.min() < least:
            node = int(copies.argmin())
            raise BadArgument(f"multiplicity[{node}] = {copies[node]} is smaller than {least}. Fix: drop that node.")
        if self.scheme in ("without_replacement", "deterministic") and copies[1:].max(initial=1) > 1:
            node = 1 + int(copies[1:].argmax())
            raise BadArgument(f"multiplicity[{node}] = {copies[node]}: {self.scheme.replace('_', ' ')} drafts have no "
                              f"copies. Fix: multiplicity 1, or scheme='branches'.")
        if self.scheme == "greedy" and self.draws.max() > 1:
            node = int(self.draws.argmax())
            raise BadArgument(f"multiplicity: {self.draws[node]} draws among the children of node {node}. Fix: 1 for "
                              f"one of them, which was drawn, and 0 for those that were chosen without chance.")
        over = np.flatnonzero(self.draws > copies)
        if self.scheme == "paths" and over.size:
            node = int(over[0])
            raise BadArgument(f"multiplicity: the children of node {node} hold {self.draws[node]} copies, the node "
                              f"itself {copies[node]}. Fix: the copies at a node go on to its children, or declare "
                              f"scheme='branches', where every node makes its own draws.")


def _integers(name: str, values: Array, ndim: int = 1) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ShapeMismatch(f"{name}: lists of different length. Fix: whole numbers with {ndim} axes.") from None
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind not in "iu" or array.ndim != ndim:
        raise ShapeMismatch(f"{name}: {array.dtype} of shape {array.shape}. Fix: whole numbers with {ndim} axes.")
    return array.astype(np.int64)


def _check_parents(parents: np.ndarray, tokens: np.ndarray) -> None:
    if parents.size == 0 or parents[0] != -1 or tokens.size == 0:
        raise BadArgument("parents: node 0 must be the root, with parent -1. Fix: put the root first.")
    if tokens.shape != parents.shape:
        raise ShapeMismatch(f"tokens: {tokens.size} numbers for {parents.size} nodes. Fix: one for each node.")
    wrong = np.flatnonzero((parents[1:] < 0) | (parents[1:] >= np.arange(1, parents.size)))
    if wrong.size:
        node = int(wrong[0]) + 1
        raise BadArgument(f"parents[{node}] = {parents[node]}: a parent is a node that stands before its children, so "
                          f"that there are no cycles. Fix: number the nodes from the root downwards.")
    absent = np.flatnonzero(tokens[1:] < 0)
    if absent.size or tokens[0] != -1:
        node = int(absent[0]) + 1 if absent.size else 0
        raise BadArgument(f"tokens[{node}] = {tokens[node]}. Fix: -1 for the root, a token id for all others.")
