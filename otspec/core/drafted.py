"""Drafted trees in a batch: each row of tokens is a tree, its nodes in the order in which they were drawn.

Column n holds node n + 1; node 0 is the end of the text, where nothing is drafted yet. A parent stands before its
children and siblings stand in drawing order, whatever lies between them, so a heap that grows anywhere is such a row
as it was drawn. A row with fewer nodes has token -1 in the columns that are left.

Facts used by the rules: what a node's children leave of its laws depends on the node and on its children, not on what
grows below them, so one pass over the columns prepares every node; and leaves come before their parents in *postorder*,
whose place of node v is the number of nodes below v and in the subtrees left of the path to v.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.checks import check_place, check_tokens, dtype_name, first_index
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.host import to_host
from otspec.core.laws import namespace
from otspec.core.names import did_you_mean
from otspec.core.tree import SCHEMES, DraftTree

Array = Any


@dataclass(frozen=True, eq=False)
class DraftedTrees:
    """A batch of drafted trees, arrays of any library and device.

    Making one looks at shapes and types only, so that no device is waited for; `check` looks at the numbers.

    Parameters
    ----------
    tokens : [B N] int
        Node n + 1 in column n; -1 where a row has no such node.
    parents : [B N] int
        0 for the text's end, j for node j, which stands in an earlier column; not read where the node is absent.
    scheme : {"without_replacement", "branches", "paths", "greedy", "deterministic"}
        How children are drawn: see `DraftTree`.
    adaptive_widths : bool
        Whether the number of children of a node depends on which children were drawn, as in a best-first heap.
    multiplicity : [B N] int, optional
        Independent copies merged in each node; as in `DraftTree` if not given.

    Raises
    ------
    BadArgument, ShapeMismatch

    Examples
    --------
    >>> drafted = DraftedTrees(np.array([[5, 7, 8], [5, 7, -1]]), np.array([[0, 1, 1], [0, 0, 0]]))
    >>> drafted.depths.tolist(), drafted.postorder.tolist()
    ([[0, 1, 2, 2], [0, 1, 1, 0]], [[3, 2, 0, 1], [3, 0, 1, 2]])
    """

    tokens: Array
    parents: Array
    scheme: str = "without_replacement"
    adaptive_widths: bool = False
    multiplicity: Array | None = None

    def __post_init__(self) -> None:
        if self.scheme not in SCHEMES:
            raise BadArgument(f"scheme: {self.scheme!r} is none of {', '.join(SCHEMES)}."
                              f"{did_you_mean(self.scheme, SCHEMES)} Fix: name one of them.")
        arrays = {name: value for name in ("tokens", "parents", "multiplicity")
                  if (value := getattr(self, name)) is not None}
        xp = check_place(**arrays)
        for name, value in arrays.items():
            if not xp.isdtype(value.dtype, "integral") or value.ndim != 2 or value.shape != self.tokens.shape:
                raise ShapeMismatch(f"{name}: {dtype_name(value)} of shape {tuple(value.shape)}. Fix: whole numbers "
                                    f"[B N], one for each of the tokens {tuple(self.tokens.shape)}.")

    @classmethod
    def stack(cls, trees: Sequence[DraftTree]) -> DraftedTrees:
        """Put trees of one kind into a batch of NumPy arrays; smaller trees are filled up with absent nodes."""
        kinds = {(tree.scheme, tree.adaptive_widths) for tree in trees}
        if len(kinds) != 1:
            raise BadArgument(f"trees: {len(kinds)} kinds, {sorted(kinds)}. Fix: one batch for each kind of tree.")
        most = max(map(len, trees)) - 1
        tokens, parents, copies = (np.full((len(trees), most), fill, dtype=np.int64) for fill in (-1, 0, 1))
        for row, tree in enumerate(trees):
            filled = slice(0, len(tree) - 1)
            tokens[row, filled], parents[row, filled] = tree.tokens[1:], tree.parents[1:]
            copies[row, filled] = tree.multiplicity[1:]
        scheme, adaptive = kinds.pop()
        return cls(tokens, parents, scheme, adaptive, copies)

    @property
    def num_nodes(self) -> int:
        """Columns N; with the text's end there are N + 1 nodes."""
        return self.tokens.shape[1]

    @cached_property
    def present(self) -> Array:
        """Mask of the nodes that there are, ``[B N]``."""
        return self.tokens >= 0

    @cached_property
    def above(self) -> Array:
        """Parents ``[B N]`` int64; 0 where the node is absent."""
        xp = namespace(self.parents)
        return xp.astype(xp.where(self.present, self.parents, xp.zeros_like(self.parents)), xp.int64)

    @cached_property
    def copies(self) -> Array:
        """Copies merged in each node ``[B N]`` int64, 0 where it is absent."""
        xp = namespace(self.tokens)
        none = xp.zeros_like(self.above)
        if self.multiplicity is not None:
            return xp.where(self.present, xp.astype(self.multiplicity, xp.int64), none)
        copies = xp.astype(self.present, xp.int64)
        if self.scheme == "greedy":  # the last child of a node was drawn
            column = xp.arange(self.num_nodes, dtype=xp.int64, device=self.tokens.device)
            beside = (self.above[:, :, None] == self.above[:, None, :]) & self.present[:, None, :]
            copies = xp.where(xp.any(beside & (column[None, None, :] > column[None, :, None]), axis=-1), none, copies)
        if self.scheme == "paths":  # the copies at a node are those of its children, one at a leaf
            for column in range(self.num_nodes - 1, -1, -1):
                held = xp.sum(xp.where(self.above == column + 1, copies, none), axis=-1)
                copies = replaced(xp, copies, column, xp.where(held > 1, held, copies[:, column]))
        return copies

    @cached_property
    def draws(self) -> Array:
        """Draws made at each node, copies counted, ``[B N+1]`` int64."""
        xp = namespace(self.tokens)
        none = xp.zeros_like(self.copies)
        return xp.stack([xp.sum(xp.where(self.above == node, self.copies, none), axis=-1)
                         for node in range(self.num_nodes + 1)], axis=-1)

    @cached_property
    def ancestors(self) -> Array:
        """Mask ``[B N+1 N+1]``: entry [v, u] says that node u is v itself or above it."""
        xp = namespace(self.tokens)
        eye = xp.eye(self.num_nodes + 1, dtype=xp.int64, device=self.tokens.device) > 0
        rows = [xp.broadcast_to(eye[0, :], (self.tokens.shape[0], self.num_nodes + 1))]
        for column in range(self.num_nodes):
            so_far = xp.stack(rows, axis=1)
            index = xp.broadcast_to(self.above[:, column, None, None], (so_far.shape[0], 1, so_far.shape[2]))
            rows.append(xp.take_along_axis(so_far, index, axis=1)[:, 0, :] | eye[column + 1, :])
        return xp.stack(rows, axis=1)

    @cached_property
    def depths(self) -> Array:
        """Number of drafted tokens up to each node, ``[B N+1]`` int64; 0 for absent nodes."""
        xp = namespace(self.tokens)
        depths = xp.sum(xp.astype(self.ancestors, xp.int64), axis=-1) - 1
        ends = xp.zeros_like(depths[:, :1])
        return xp.concat([ends, xp.where(self.present, depths[:, 1:], xp.zeros_like(self.above))], axis=1)

    @cached_property
    def postorder(self) -> Array:
        """Place of each node ``[B N+1]``: children before their parent, siblings in drawing order."""
        xp = namespace(self.tokens)
        column = xp.arange(self.num_nodes, dtype=xp.int64, device=self.tokens.device)
        return self.places(xp.broadcast_to(column, self.tokens.shape))

    def places(self, rank: Array) -> Array:
        """Place of each node ``[B N+1]``: children before their parent, siblings by ``rank`` ``[B N]``."""
        xp = namespace(self.tokens)
        line = xp.astype(self.ancestors, xp.int64)
        size = xp.sum(line, axis=1)
        left = (self.above[:, :, None] == self.above[:, None, :]) & (rank[:, None, :] < rank[:, :, None])
        before = xp.sum(xp.where(left, size[:, None, 1:], xp.zeros_like(size[:, None, 1:])), axis=-1)
        return size - 1 + xp.sum(line[:, :, 1:] * before[:, None, :], axis=-1)

    def __repr__(self) -> str:
        """Size and scheme."""
        widths = ", adaptive widths" if self.adaptive_widths else ""
        return f"DraftedTrees({self.tokens.shape[0]} trees, {self.num_nodes} columns, {self.scheme}{widths})"

    def nodes(self, row: int) -> np.ndarray:
        """Numbers of the nodes that one row has, the text's end first."""
        return np.append(0, 1 + np.flatnonzero(to_host(self.tokens[row, :]) >= 0))

    def tree(self, row: int) -> DraftTree:
        """One row as a `DraftTree`, whose node i is node ``nodes(row)[i]`` here.

        Examples
        --------
        >>> DraftedTrees(np.array([[5, -1, 8]]), np.array([[0, 0, 1]])).tree(0).parents.tolist()
        [-1, 0, 1]
        """
        nodes = self.nodes(row)
        place = np.full(self.num_nodes + 1, -1)
        place[nodes] = np.arange(nodes.size)
        parents, tokens = (to_host(array[row, :])[nodes[1:] - 1] for array in (self.parents, self.tokens))
        copies = None
        if self.multiplicity is not None:
            copies = np.append(1, to_host(self.multiplicity[row, :])[nodes[1:] - 1])
            if self.scheme == "paths":
                copies[0] = max(1, copies[1:][parents == 0].sum())
        return DraftTree(np.append(-1, place[parents]), np.append(-1, tokens), copies, scheme=self.scheme,
                         adaptive_widths=self.adaptive_widths)

    def check(self, vocabulary: int) -> None:
        """Look at the numbers, which waits for the device.

        Raises
        ------
        BadArgument
            A token outside the vocabulary, a parent that stands in a later column or is absent, equal siblings, a
            multiplicity that is too small or that the scheme does not allow.
        """
        xp = namespace(self.tokens)
        check_tokens(self.tokens, vocabulary, self.num_nodes)
        column = xp.arange(self.num_nodes, dtype=self.parents.dtype, device=self.parents.device)
        refuse(self.present & ((self.parents < 0) | (self.parents > column)), "parents", self.parents,
               "a parent is 0, the text's end, or a node in an earlier column. Fix: number the nodes as drawn")
        ends = xp.ones_like(self.present[:, :1])
        there = xp.take_along_axis(xp.concat([ends, self.present], axis=1), self.above, axis=1)
        refuse(self.present & ~there, "parents", self.parents, "that node is absent (token -1). Fix: drop this one too")
        equal, beside = (part[:, :, None] == part[:, None, :] for part in (self.tokens, self.above))
        twice = xp.any(equal & beside & self.present[:, :, None] & (column[None, :] < column[:, None]), axis=-1)
        refuse(twice, "tokens", self.tokens, "drafted twice after one node. Fix: merge equal siblings and count them "
                                             "in multiplicity")
        if self.multiplicity is not None:
            self._check_copies(self.multiplicity)

    def _check_copies(self, copies: Array) -> None:
        least = 0 if self.scheme == "greedy" else 1
        refuse(self.present & (copies < least), "multiplicity", copies,
               f"smaller than {least}. Fix: drop that node, token -1")
        if self.scheme == "greedy":
            xp = namespace(copies)
            refuse(self.present & (xp.take_along_axis(self.draws, self.above, axis=1) > 1), "multiplicity", copies,
                   "of the children of one node several were drawn. Fix: 0 for those that were chosen without chance")
        if self.scheme in ("without_replacement", "deterministic"):
            refuse(self.present & (copies > 1), "multiplicity", copies,
                   f"{self.scheme.replace('_', ' ')} drafts have no copies. Fix: multiplicity 1, or scheme='branches'")
        if self.scheme == "paths":
            refuse(self.present & (self.draws[:, 1:] > self.copies), "multiplicity", copies,
                   "fewer copies than those of its children. Fix: the copies at a node go on to its children, or "
                   "declare scheme='branches', where every node makes its own draws")


def refuse(wrong: Array, name: str, values: Array, why: str) -> None:
    """Raise `BadArgument` that names the first entry where ``wrong``, if there is one."""
    if bool(namespace(wrong).any(wrong)):
        where = first_index(wrong)
        raise BadArgument(f"{name}{list(where)} = {int(values[where])}: {why}.")


def replaced(xp: Any, values: Array, column: int, new: Array) -> Array:
    """Array ``[B n]`` with one column replaced by ``new`` ``[B]``."""
    return xp.concat([values[:, :column], new[:, None], values[:, column + 1 :]], axis=1)
