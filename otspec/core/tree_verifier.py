"""What a rule on drafted trees is: the law of (node where it stops, next token) given the tree.

Row n of the target is its law after node n, and so is row n of the draft; a leaf's draft row is never read. A rule
keeps the prefix of one node and emits one more token. `draw_paths` is the same for K paths of a decoder, on any array
library and device.

Theorem used for every block rule: enter a subtree with weight w and let it stop inside with probability w given
anything that was known before its own draws. Then the parent may go on as if that child had failed, with the residual
``(w target - draft)+`` of mass S left and weight ``S / (S + 1 - w)``. [traversal]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import as_law, check_together, check_tokens, check_uniforms
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw, namespace
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.core.tree import SAMPLED, DraftTree
from otspec.core.tree_batches import BatchedTrees, check_lawful

Array = Any


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


class TreeVerifier(BatchedTrees, ABC):
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
    trees: ClassVar[tuple[str, ...]] = SAMPLED

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        self.scheme = as_scheme(scheme)
        if not isinstance(self.scheme, self.schemes):
            proved = ", ".join(kind.__name__ for kind in self.schemes)
            raise SchemeMismatch(f"{type(self).__name__} is proved for {proved}; got {self.scheme}. "
                                 f"Fix: otspec.list_verifiers(scheme) names the rules for a scheme.")

    @abstractmethod
    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Mass ``[N V]`` of (node, next token), the rule's coins integrated out; arguments float64, checked."""

    def num_uniforms(self, draft_length: int) -> int:
        """Uniform numbers that one call of `draw_paths` consumes per row."""
        raise self._trees_only()

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple[Array, ...]:
        """Fields of the verdict ``[B]`` on ``[B K L]`` paths."""
        raise self._trees_only()

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Unbiased estimate ``[B]`` of the number of tokens kept, as few coins tossed as possible."""
        raise self._trees_only()

    def _trees_only(self) -> SchemeMismatch:
        return SchemeMismatch(f"{self!r} verifies drafted trees, not paths in a batch. "
                              f"Fix: conditional(tree, ...) or draw(tree, ...).")

    def conditional(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None) -> TreeLaw:
        """Law of the verdict given the tree, the rule's own coins integrated out.

        Parameters
        ----------
        tree : DraftTree
        target_rows, draft_rows : [N V]
            Laws after every node; the draft rows of leaves are not read, and of a deterministic tree none are: they
            may be None.

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

    def draw(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None, uniforms: Array) -> TreeVerdict:
        """Verify one tree with two uniforms in [0, 1): one chooses the node, the other the token."""
        uniforms = check_uniforms(np.asarray(uniforms), 2)
        law = self.conditional(tree, target_rows, draft_rows)
        node = int(draw(law.stop, uniforms[0]))
        return TreeVerdict(node, int(draw(law.following[node], uniforms[1])))

    def expected_accepted(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None) -> float:
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

    def _checked(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None) -> tuple[np.ndarray, np.ndarray]:
        self._check_tree(tree)
        target = _tree_rows("target_rows", target_rows, tree)
        if tree.scheme == "deterministic":
            return target, np.zeros_like(target)
        draft = _tree_rows("draft_rows", draft_rows, tree)
        if target.shape != draft.shape:
            raise ShapeMismatch(f"vocabularies differ: target_rows {target.shape}, draft_rows {draft.shape}. "
                                f"Fix: both laws must live on one vocabulary.")
        drawn = draft[tree.parents[1:], tree.tokens[1:]]
        if drawn.size and drawn.min() <= 0:
            node = 1 + int(drawn.argmin())
            raise BadArgument(f"tokens[{node}] = {tree.tokens[node]} has probability 0 under the draft row of node "
                              f"{tree.parents[node]}, so it was not drawn from it. Fix: pass the laws that the tokens "
                              f"were drawn from; drafts chosen without chance make a tree of scheme='deterministic'.")
        return target, draft

    def _check_tree(self, tree: DraftTree) -> None:
        if not isinstance(tree, DraftTree):
            raise BadArgument(f"tree: {type(tree).__name__} is no DraftTree. Fix: DraftTree(parents, tokens).")
        check_lawful(self, tree, int(tree.draws.max()))

    def _checked_paths(self, target_rows: Array, draft_rows: Array, tokens: Array,
                       uniforms: Array) -> tuple[tuple[int, ...], tuple[Array, Array, Array, Array]]:
        if not isinstance(self.scheme, WithReplacement):
            raise SchemeMismatch(f"{self!r}: paths are independent draws. Fix: bind the rule to WithReplacement(K), "
                                 f"or verify a DraftTree.")
        arrays = checked_paths(target_rows, draft_rows, tokens, self.scheme.num_drafts)
        batch, (count, length) = tuple(arrays[2].shape[:-2]), arrays[2].shape[-2:]
        check_uniforms(uniforms, self.num_uniforms(length), target_rows=arrays[0])
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


def _tree_rows(name: str, given: Array, tree: DraftTree) -> np.ndarray:
    """Laws ``[N V]`` after every node, in float64."""
    law = np.asarray(as_law(name, given))
    if law.ndim != 2 or len(law) != len(tree):
        raise ShapeMismatch(f"{name}: shape {law.shape} for a tree of {len(tree)} nodes. "
                            f"Fix: [N V], one row after every node, the root first.")
    if tree.tokens.max() >= law.shape[1]:
        raise BadArgument(f"tokens: {int(tree.tokens.max())} is outside the vocabulary of {law.shape[1]}.")
    law = law.astype(np.float64)
    return law / law.sum(axis=1, keepdims=True)


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
    tokens = check_tokens(tokens, size, length, target_rows=target_rows)
    if bool(namespace(tokens).any(tokens < 0)):
        raise BadArgument("tokens: -1 found; a path has no absent tokens. Fix: verify shorter paths separately.")
    return target_rows, draft_rows, tokens
