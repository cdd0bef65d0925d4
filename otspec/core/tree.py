"""Drafted trees, and what a rule on them is: the law of (node where it stops, next token) given the tree.

Node 0 is the context; every other node is the prefix that ends in one drafted token, and stands after its parent.
K paths are a tree: common prefixes are merged, and the *multiplicity* of a node counts the copies merged in it. A
chain is the tree of one path. Row n of the target is its law after node n, and so is row n of the draft; a leaf's
draft row is never read. How many children a node has must be fixed before they are drawn, unless the tree says that
its widths are adaptive; then only rules that look at the children one by one keep the target's law.

Theorem used for every rule here: enter a subtree with weight w, verified against some draft law, and let it stop
inside with probability w given anything that was known before its own draws. Then the parent may go on as if its
child had failed with the residual ``(w target - draft)+`` left, at weight ``S / (S + 1 - w)``, S its mass. [traversal]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import as_law, check_together, check_tokens, check_uniforms
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw, namespace
from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement, as_scheme

Array = Any
SCHEMES = ("paths", "branches", "without_replacement")


class TreeLaw(NamedTuple):
    """Law of the verdict on one tree: ``stop`` ``[N]`` over nodes, ``following`` ``[N V]`` of the next token."""

    stop: np.ndarray
    following: np.ndarray


class TreeVerdict(NamedTuple):
    """The node whose prefix is kept, and the token emitted after it."""

    node: int
    token: int


class PathVerdict(NamedTuple):
    """Drafted tokens kept ``[*batch]``, the token emitted after them, and a path that begins with those kept."""

    accepted: Array
    token: Array
    path: Array


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
        Independent copies merged in each node; default 1, and for the root of ``"paths"`` the number of paths.
    scheme : {"paths", "branches", "without_replacement"}
        How children are drawn: the copies at a node each draw one (K independent paths); every distinct node makes
        its own independent draws; or without replacement.
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
            raise BadArgument(f"scheme: {scheme!r} is none of {', '.join(SCHEMES)}. Fix: name one of them.")
        self.scheme, self.adaptive_widths = scheme, bool(adaptive_widths)
        self.parents, self.tokens = _integers("parents", parents), _integers("tokens", tokens)
        _check_parents(self.parents, self.tokens)
        if multiplicity is None:
            multiplicity = np.ones_like(self.parents)
            if scheme == "paths":
                multiplicity[0] = max(1, int((self.parents == 0).sum()))
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
            chains += [tuple(reversed(nodes))] * max(1, int(self.multiplicity[leaf]) if leaf else 1)
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
        if copies.min() < 1:
            node = int(copies.argmin())
            raise BadArgument(f"multiplicity[{node}] = {copies[node]} is smaller than 1. Fix: drop that node.")
        if self.scheme == "without_replacement" and copies[1:].max(initial=1) > 1:
            node = 1 + int(copies[1:].argmax())
            raise BadArgument(f"multiplicity[{node}] = {copies[node]}: draws without replacement have no copies. "
                              f"Fix: multiplicity 1, or scheme='branches'.")
        over = np.flatnonzero(self.draws > copies)
        if self.scheme == "paths" and over.size:
            node = int(over[0])
            raise BadArgument(f"multiplicity: the children of node {node} hold {self.draws[node]} copies, the node "
                              f"itself {copies[node]}. Fix: the copies at a node go on to its children, or declare "
                              f"scheme='branches', where every node makes its own draws.")


def _integers(name: str, values: Array, ndim: int = 1) -> np.ndarray:
    array = np.asarray(values)
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


class TreeVerifier(ABC):
    """A rule that keeps the prefix of one node of a drafted tree and emits one more token.

    A subclass writes `_joint`, and `_draw_paths` and `_expected_paths` for K independent paths.

    Parameters
    ----------
    scheme : DraftScheme or int
        How the children of a node are drawn, and the most draws at one node; ``K`` means K independent paths.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)
    #: whether the law depends on the order in which siblings were drawn
    order_matters: ClassVar[bool] = False
    #: kinds of trees whose widths may depend on the children drawn
    adaptive: ClassVar[tuple[str, ...]] = ()
    #: kinds of trees that the rule is proved for, all but these being refused
    trees: ClassVar[tuple[str, ...]] = SCHEMES

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        self.scheme = as_scheme(scheme)
        if not isinstance(self.scheme, self.schemes):
            proved = ", ".join(kind.__name__ for kind in self.schemes)
            raise SchemeMismatch(f"{type(self).__name__} is proved for {proved}; got {self.scheme}. "
                                 f"Fix: otspec.list_verifiers(scheme) names the rules for a scheme.")

    @abstractmethod
    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Mass ``[N V]`` of (node, next token), the rule's coins integrated out; arguments float64, checked."""

    @abstractmethod
    def num_uniforms(self, draft_length: int) -> int:
        """Uniform numbers that one call of `draw_paths` consumes per row."""

    @abstractmethod
    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> PathVerdict:
        """Verdict on ``[B K L]`` paths."""

    @abstractmethod
    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Unbiased estimate ``[B]`` of the number of tokens kept, as few coins tossed as possible."""

    def conditional(self, tree: DraftTree, target_rows: Array, draft_rows: Array) -> TreeLaw:
        """Law of the verdict given the tree, the rule's own coins integrated out.

        Parameters
        ----------
        tree : DraftTree
        target_rows, draft_rows : [N V]
            Laws after every node; the draft rows of leaves are not read.

        Returns
        -------
        TreeLaw
            ``stop [N]`` and ``following [N V]``, NumPy float64.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument, SchemeMismatch
        """
        target, draft = self._checked(tree, target_rows, draft_rows)
        joint = self._joint(tree, target, draft)
        stop = joint.sum(axis=-1)
        reached = stop[:, None] > 0
        return TreeLaw(stop, np.where(reached, joint / np.where(reached, stop[:, None], 1.0), target))

    def draw(self, tree: DraftTree, target_rows: Array, draft_rows: Array, uniforms: Array) -> TreeVerdict:
        """Verify one tree with two uniforms in [0, 1): one chooses the node, the other the token."""
        uniforms = check_uniforms(np.asarray(uniforms), 2)
        law = self.conditional(tree, target_rows, draft_rows)
        node = int(draw(law.stop, uniforms[0]))
        return TreeVerdict(node, int(draw(law.following[node], uniforms[1])))

    def expected_accepted(self, tree: DraftTree, target_rows: Array, draft_rows: Array) -> float:
        """Mean number of tokens kept, given the tree."""
        return float(self.conditional(tree, target_rows, draft_rows).stop @ tree.depths)

    def draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> PathVerdict:
        """Verify K independent paths per row.

        Parameters
        ----------
        target_rows : [*batch K L+1 V]
        draft_rows : [*batch K L V]
            Paths with a common prefix have equal rows there.
        tokens : [*batch K L] int
        uniforms : [*batch num_uniforms(L)]
            Numbers in [0, 1); the same numbers give the same verdict on every array library.

        Returns
        -------
        PathVerdict
            ``accepted``, ``token`` and ``path``, ``[*batch]`` int64 each.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument, SchemeMismatch
        """
        batch, arrays = self._checked_paths(target_rows, draft_rows, tokens, uniforms)
        xp = namespace(arrays[0])
        return PathVerdict(*(xp.reshape(part, batch) for part in self._draw_paths(*arrays)))

    def expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Unbiased estimate ``[*batch]`` of the number of tokens kept; arguments as in `draw_paths`.

        Unbiased over paths that are drawn from the draft rows; whatever the rule can integrate out, it does.
        """
        batch, arrays = self._checked_paths(target_rows, draft_rows, tokens, uniforms)
        return namespace(arrays[0]).reshape(self._expected_paths(*arrays), batch)

    def _checked(self, tree: DraftTree, target_rows: Array, draft_rows: Array) -> tuple[np.ndarray, np.ndarray]:
        self._check_tree(tree)
        rows = []
        for name, given in (("target_rows", target_rows), ("draft_rows", draft_rows)):
            law = np.asarray(as_law(name, given))
            if law.ndim != 2 or len(law) != len(tree):
                raise ShapeMismatch(f"{name}: shape {law.shape} for a tree of {len(tree)} nodes. "
                                    f"Fix: [N V], one row after every node, the root first.")
            rows.append(law.astype(np.float64))
        if rows[0].shape != rows[1].shape:
            raise ShapeMismatch(f"vocabularies differ: target_rows {rows[0].shape}, draft_rows {rows[1].shape}. "
                                f"Fix: both laws must live on one vocabulary.")
        if tree.tokens.max() >= rows[0].shape[1]:
            raise BadArgument(f"tokens: {int(tree.tokens.max())} is outside the vocabulary of {rows[0].shape[1]}.")
        drawn = rows[1][tree.parents[1:], tree.tokens[1:]]
        if drawn.size and drawn.min() <= 0:
            node = 1 + int(drawn.argmin())
            raise BadArgument(f"tokens[{node}] = {tree.tokens[node]} has probability 0 under the draft row of node "
                              f"{tree.parents[node]}, so it was not drawn from it. Fix: pass the laws that the tokens "
                              f"were drawn from; a draft chosen without chance is a one-hot row with one child.")
        return rows[0] / rows[0].sum(axis=1, keepdims=True), rows[1] / rows[1].sum(axis=1, keepdims=True)

    def _check_tree(self, tree: DraftTree) -> None:
        if not isinstance(tree, DraftTree):
            raise BadArgument(f"tree: {type(tree).__name__} is no DraftTree. Fix: DraftTree(parents, tokens).")
        single = len(tree) == 1 or tree.draws.max() == 1  # a chain is a tree of every scheme
        without = tree.scheme == "without_replacement"
        bound = WithoutReplacement if without else WithReplacement
        if tree.scheme not in self.trees or not (single or isinstance(self.scheme, bound)):
            raise SchemeMismatch(f"{self!r} does not verify {tree!r}. Fix: bind the rule to the scheme that the "
                                 f"children of the tree were drawn by.")
        if tree.adaptive_widths and tree.scheme not in self.adaptive:
            raise SchemeMismatch(f"{type(self).__name__} would be biased on {tree!r}: it must know how many children "
                                 f"a node has before they are drawn. Fix: traversal, or fix the widths beforehand.")
        if tree.draws.max() > self.scheme.num_drafts:
            raise SchemeMismatch(f"{self!r}: a node of the tree has {tree.draws.max()} draws. "
                                 f"Fix: bind the rule to {tree.draws.max()} drafts.")

    def _checked_paths(self, target_rows: Array, draft_rows: Array, tokens: Array,
                       uniforms: Array) -> tuple[tuple[int, ...], tuple[Array, Array, Array, Array]]:
        if not isinstance(self.scheme, WithReplacement):
            raise SchemeMismatch(f"{self!r}: paths are independent draws. Fix: bind the rule to WithReplacement(K), "
                                 f"or verify a DraftTree.")
        arrays = checked_paths(target_rows, draft_rows, tokens, self.scheme.num_drafts)
        batch, (count, length) = tuple(arrays[2].shape[:-2]), arrays[2].shape[-2:]
        check_uniforms(uniforms, self.num_uniforms(length))
        if tuple(uniforms.shape[:-1]) != batch:
            raise ShapeMismatch(f"uniforms: batch shape {tuple(uniforms.shape[:-1])} differs from that of tokens, "
                                f"{batch}. Fix: one row of uniforms per set of paths.")
        xp, size = namespace(arrays[0]), arrays[0].shape[-1]
        tails = ((count, length + 1, size), (count, length, size), (count, length), (uniforms.shape[-1],))
        flat = int(np.prod(batch))
        arrays = (*arrays, uniforms)
        return batch, tuple(xp.reshape(a, (flat, *tail)) for a, tail in zip(arrays, tails, strict=True))

    def __repr__(self) -> str:
        """Class name and scheme."""
        return f"{type(self).__name__}({self.scheme})"


def checked_paths(target_rows: Array, draft_rows: Array, tokens: Array, paths: int) -> tuple[Array, Array, Array]:
    """Check the rows and tokens of K paths against each other; lists become arrays."""
    target_rows, draft_rows = as_law("target_rows", target_rows), as_law("draft_rows", draft_rows)
    check_together(target_rows=target_rows, draft_rows=draft_rows)
    tokens = np.asarray(tokens) if isinstance(tokens, (list, tuple)) else tokens
    shapes = f"target_rows {tuple(target_rows.shape)}, draft_rows {tuple(draft_rows.shape)}, " \
             f"tokens {tuple(tokens.shape)}"
    if target_rows.ndim < 3 or tokens.ndim != target_rows.ndim - 1 or tokens.shape[-1] < 1:
        raise ShapeMismatch(f"rows and tokens do not fit: {shapes}. Fix: pass [*batch K L+1 V], [*batch K L V] and "
                            f"[*batch K L].")
    *batch, count, length = tokens.shape
    size = target_rows.shape[-1]
    if tuple(target_rows.shape) != (*batch, count, length + 1, size) \
            or tuple(draft_rows.shape) != (*batch, count, length, size):
        raise ShapeMismatch(f"{count} paths of {length} tokens need {length} draft rows and {length + 1} target rows "
                            f"each; got {shapes}. Fix: one target row per prefix, the empty and the full one included.")
    if count != paths:
        raise SchemeMismatch(f"tokens: {count} paths for a rule bound to {paths}. Fix: make it for {count} paths.")
    tokens = check_tokens(tokens, size, length)
    if bool(namespace(tokens).any(tokens < 0)):
        raise BadArgument("tokens: -1 found; a path has no absent tokens. Fix: verify shorter paths separately.")
    return target_rows, draft_rows, tokens
