"""What a sequence rule is: the law of (node where it stops, next token), given the drafted tree.

Node 0 is the context, nothing drafted yet; every other node is the prefix that ends in one drafted token. Row n of the
target is its law after node n, and so is row n of the draft where something was drafted after node n. A rule keeps the
prefix of one node and emits one more token. A chain is the tree of one path; K paths are the tree of their prefixes; a
token rule is the walk of `otspec.core.walk`. A rule that carries a *state* from block to block declares it.

`_joint` is the one definition. The forms for many blocks at once, `_draw_paths` and `_expected_paths` here and those of
`otspec.core.block` for chains, follow from it; rules override them for speed, and tests compare them with it.

Theorem used for every block rule: enter a subtree with weight w and let it stop inside with probability w given
anything that was known before its own draws. Then the parent may go on as if that child had failed, with the residual
``(w target - draft)+`` of mass S left and weight ``S / (S + 1 - w)``. [traversal]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import check_uniforms
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw, namespace
from otspec.core.pathwise import draw_each, expect_each
from otspec.core.rows import checked_coins, checked_rows, tree_rows
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.core.tree import SAMPLED, DraftTree
from otspec.core.tree_batches import check_lawful

Array = Any
State = Any


class SequenceLaw(NamedTuple):
    """Law of the verdict: ``stop`` ``[*batch N]`` over nodes, ``following`` ``[*batch N V]`` of the next token."""

    stop: Array
    following: Array


class TreeVerdict(NamedTuple):
    """The node whose prefix is kept, and the token emitted after it."""

    node: int
    token: int


class PathVerdict(NamedTuple):
    """Drafted tokens kept ``[*batch]``, the token emitted after them, and a path that begins with those kept."""

    accepted: Array
    token: Array
    path: Array


class SequenceVerifier(ABC):
    """A rule that keeps the prefix of one node of a drafted tree and emits one more token.

    A subclass writes `_joint`, and may write `num_uniforms`, `_draw_paths` and `_expected_paths` for K independent
    paths of many texts at once. A rule with a state sets `stateful`, takes the state as last argument of `_joint`, and
    writes `fresh_state` and `_carried`; a state is a value that can be hashed.

    Parameters
    ----------
    scheme : DraftScheme or int
        How the children of a node are drawn, and the most draws at one node; ``K`` means K independent paths.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)
    #: whether the rule is proved for one path only
    one_path: ClassVar[bool] = False
    #: whether the law depends on the order in which siblings were drawn; False lets exact analysis skip orders
    order_matters: ClassVar[bool] = True
    #: kinds of trees whose widths may depend on the children drawn
    adaptive: ClassVar[tuple[str, ...]] = ()
    #: kinds of trees that the rule is proved for, all but these being refused
    trees: ClassVar[tuple[str, ...]] = SAMPLED
    #: whether a state goes from one block of a text to the next
    stateful: ClassVar[bool] = False
    #: whether that state depends on the emitted tokens alone, and not on drafts that were refused
    state_of_text: ClassVar[bool] = False

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        self.scheme = as_scheme(scheme)
        name = type(self).__name__
        if self.one_path and (not isinstance(self.scheme, self.schemes) or self.scheme.num_drafts > 1):
            raise SchemeMismatch(f"{name} is proved for 1 path drawn with replacement; got {self.scheme}, which is not "
                                 f"one path. Fix: scheme=1, or otspec.list_verifiers(scheme), which names the rules "
                                 f"for a scheme.")
        if not isinstance(self.scheme, self.schemes):
            proved = ", ".join(kind.__name__ for kind in self.schemes)
            raise SchemeMismatch(f"{name} is proved for {proved}; got {self.scheme}. "
                                 f"Fix: otspec.list_verifiers(scheme) names the rules for a scheme.")

    # -- what a rule writes ---------------------------------------------------------------------------------------

    @abstractmethod
    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Mass ``[N V]`` of (node, next token), the rule's coins integrated out; arguments float64, checked.

        A rule with a state takes it as a fourth argument.
        """

    def fresh_state(self) -> State:
        """State at the beginning of a text."""
        raise self._no_state()

    def _carried(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray, state: State, node: int,
                 token: int) -> State:
        """State after a verdict; arguments checked."""
        raise self._no_state()

    def num_uniforms(self, draft_length: int) -> int:
        """Uniform numbers that one call of `draw_paths` consumes per row."""
        if not isinstance(self.scheme, WithReplacement):
            raise self._trees_only()
        return 2

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple[Array, ...]:
        """Fields of the verdict ``[B]`` on ``[B K L]`` paths; by the definition, one set of paths after the other."""
        self._check_paths()
        return draw_each(self._joint, target_rows, draft_rows, tokens, uniforms)

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        """Unbiased estimate ``[B]`` of the number of tokens kept, as few coins tossed as possible."""
        self._check_paths()
        return expect_each(self._joint, target_rows, draft_rows, tokens)

    # -- one tree -------------------------------------------------------------------------------------------------

    def conditional(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None,
                    state: State = None) -> SequenceLaw:
        """Law of the verdict given the tree, the rule's own coins integrated out.

        Parameters
        ----------
        tree : DraftTree
        target_rows, draft_rows : [N V]
            Laws after every node; the draft rows of leaves are not read, and of a deterministic tree none are: they
            may be None.
        state : optional
            Of a rule that carries one: what the last block of the text left; None at the beginning of a text.

        Returns
        -------
        SequenceLaw
            ``stop [N]`` and ``following [N V]``, NumPy float64.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument, SchemeMismatch
        """
        target, draft = self._checked(tree, target_rows, draft_rows)
        joint = self._joint(tree, target, draft, *self._memory(state))
        stop = joint.sum(axis=-1)
        reached = stop[:, None] > 0
        return SequenceLaw(stop, np.where(reached, joint / np.where(reached, stop[:, None], 1.0), target))

    def draw(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None, uniforms: Array,
             state: State = None) -> TreeVerdict:
        """Verify one tree with two uniforms in [0, 1): one chooses the node, the other the token."""
        uniforms = check_uniforms(np.asarray(uniforms), 2)
        law = SequenceVerifier.conditional(self, tree, target_rows, draft_rows, state)
        node = int(draw(law.stop, uniforms[0]))
        return TreeVerdict(node, int(draw(law.following[node], uniforms[1])))

    def expected_accepted(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None,
                          state: State = None) -> Any:
        """Mean number of tokens kept, given the tree."""
        return float(SequenceVerifier.conditional(self, tree, target_rows, draft_rows, state).stop @ tree.depths)

    def carried(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None, state: State, node: int,
                token: int) -> State:
        """State for the next block of the text, after the prefix of ``node`` and ``token`` have been emitted."""
        target, draft = self._checked(tree, target_rows, draft_rows)
        (before,) = self._memory(state) or (None,)
        return self._carried(tree, target, draft, before, int(node), int(token))

    # -- K paths of many texts ------------------------------------------------------------------------------------

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

    # -- checks ---------------------------------------------------------------------------------------------------

    def _memory(self, state: State) -> tuple[State, ...]:
        """The state as an argument of `_joint`, or no argument."""
        if self.stateful:
            return (self.fresh_state() if state is None else state,)
        if state is not None:
            raise BadArgument(f"state: {self!r} carries none from block to block. Fix: leave it out.")
        return ()

    def _no_state(self) -> BadArgument:
        return BadArgument(f"state: {self!r} carries none from block to block. Fix: every block of a text is verified "
                           f"by itself.")

    def _trees_only(self) -> SchemeMismatch:
        return SchemeMismatch(f"{self!r} verifies drafted trees, not paths in a batch. "
                              f"Fix: conditional(tree, ...) or draw(tree, ...).")

    def _check_paths(self) -> None:
        if self.stateful:
            raise SchemeMismatch(f"{self!r} carries a state, which paths of many texts have no place for. "
                                 f"Fix: draw(tree, ..., state) and carried(...), text by text.")

    def _checked(self, tree: DraftTree, target_rows: Array, draft_rows: Array | None) -> tuple[np.ndarray, np.ndarray]:
        self._check_tree(tree)
        target = tree_rows("target_rows", target_rows, tree)
        if tree.scheme == "deterministic":
            return target, np.zeros_like(target)
        draft = tree_rows("draft_rows", draft_rows, tree)
        if target.shape != draft.shape:
            raise ShapeMismatch(f"vocabularies differ: target_rows {target.shape}, draft_rows {draft.shape}. "
                                f"Fix: both laws must live on one vocabulary.")
        drawn = draft[tree.parents[1:], tree.tokens[1:]]
        drawn = np.where(tree.multiplicity[1:] > 0, drawn, 1.0)  # what was chosen may be anything
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
                       uniforms: Array) -> tuple[tuple[int, ...], tuple[Array, ...]]:
        if not isinstance(self.scheme, WithReplacement):
            raise SchemeMismatch(f"{self!r}: paths are independent draws. Fix: bind the rule to WithReplacement(K), "
                                 f"or verify a DraftTree.")
        arrays = checked_rows(target_rows, draft_rows, tokens, leading="K")
        (*batch, count, length), paths = arrays[2].shape, self.scheme.num_drafts
        if length < 1:
            raise ShapeMismatch("tokens: paths of no tokens. Fix: draft at least one token.")
        if count != paths:
            raise SchemeMismatch(f"tokens: {count} paths for a rule bound to {paths}. Fix: make it for {count} paths.")
        uniforms = checked_coins(uniforms, self.num_uniforms(length), tuple(batch), arrays[0])
        xp, size = namespace(arrays[0]), arrays[0].shape[-1]
        tails = ((count, length + 1, size), (count, length, size), (count, length), (uniforms.shape[-1],))
        flat = int(np.prod(batch))
        return tuple(batch), tuple(xp.reshape(a, (flat, *tail)) for a, tail in zip((*arrays, uniforms), tails,
                                                                                   strict=True))

    def __repr__(self) -> str:
        """Class name and scheme."""
        return f"{type(self).__name__}({self.scheme})"
