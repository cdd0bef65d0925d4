"""Rules that choose one path of a tree and then verify it by block verification.

At each node on the way some drafts are chosen among those drawn there, and the choice makes the next token of the path
have a known law L. The path is then as good as one drafted from L, and block verification with L as its draft law
decides how much of it is kept.

Theorem: if the next token of the chosen path has law L given the path so far and everything else known before that
node's draws, then the text has the target's law, and ``E[accepted]`` is the mean of the sum of the weights. [block]
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.errors import SchemeMismatch
from otspec.core.laws import namespace
from otspec.core.rows import row_at
from otspec.core.tree import DraftTree
from otspec.core.tree_verifier import TreeVerifier
from otspec.verifiers.block.block import Block

Array = Any


class Choice(NamedTuple):
    """One way in which the coins may choose: its chance, the nodes of the path and the laws of its tokens."""

    chance: float
    nodes: tuple[int, ...]
    laws: tuple[np.ndarray, ...]


class Chosen(NamedTuple):
    """Paths chosen by coins: which ``[B]``, and the laws of their tokens ``[B L V]``."""

    path: Array
    laws: Array


class ChosenPath(TreeVerifier):
    """Base of the rules that choose a path first; a subclass writes `_choices`, `_choose` and `num_choice_uniforms`."""

    order_matters: ClassVar[bool] = False

    @abstractmethod
    def _choices(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> Iterator[Choice]:
        """Every choice that the coins may make, given the tree."""

    @abstractmethod
    def _choose(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Chosen:
        """Toss the coins for ``[B K L]`` paths."""

    @abstractmethod
    def num_choice_uniforms(self, draft_length: int) -> int:
        """Uniforms that `_choose` consumes."""

    def num_uniforms(self, draft_length: int) -> int:
        """Those of the choice, then those of block verification."""
        return self.num_choice_uniforms(draft_length) + draft_length + 1

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray) -> np.ndarray:
        joint = np.zeros_like(target)
        by_length: dict[int, list[Choice]] = {}
        for choice in self._choices(tree, target, draft):
            by_length.setdefault(len(choice.laws), []).append(choice)
        for length, choices in by_length.items():
            if length == 0:
                joint[0] += sum(choice.chance for choice in choices) * target[0]
                continue
            nodes = np.asarray([choice.nodes for choice in choices])
            laws = np.asarray([choice.laws for choice in choices])
            verdict = Block()._conditional(target[nodes], laws, tree.tokens[nodes[:, 1:]])
            mass = np.asarray([choice.chance for choice in choices])[:, None] * verdict.stop
            np.add.at(joint, nodes, mass[..., None] * verdict.following)
        return joint

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple:
        path, target, laws, kept = self._chosen_rows(target_rows, draft_rows, tokens, uniforms)
        start = self.num_choice_uniforms(tokens.shape[-1])
        accepted, token = Block()._draw(target, laws, kept, uniforms[:, start:])
        return accepted, token, path

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        _, target, laws, kept = self._chosen_rows(target_rows, draft_rows, tokens, uniforms)
        # the last draft of every prefix is integrated out too: its law is known
        return namespace(laws).sum(Block()._passed(target, laws, kept), axis=-1)

    def _chosen_rows(self, target_rows: Array, draft_rows: Array, tokens: Array,
                     uniforms: Array) -> tuple[Array, Array, Array, Array]:
        xp = namespace(target_rows)
        size, _, length = tokens.shape
        path, laws = self._choose(target_rows, draft_rows, tokens,
                                  uniforms[:, : self.num_choice_uniforms(length)])
        flat = xp.reshape(target_rows, (size, target_rows.shape[1], -1))
        target = xp.reshape(row_at(flat, path), (size, length + 1, target_rows.shape[-1]))
        return path, xp.astype(target, xp.float64), laws, row_at(tokens, path)


def node_rows(rows: Array, path: Array, depth: int) -> Array:
    """Rows ``[B V]`` at one depth of one path each, of ``[B K L V]``."""
    return row_at(rows[:, :, depth, :], path)


def equal_chains(tree: DraftTree) -> np.ndarray:
    """Nodes ``[n L+1]`` of the chains of a tree of whole paths of one length.

    Raises
    ------
    SchemeMismatch
    """
    chains = tree.chains
    whole = len(chains) == tree.multiplicity[0] and len({len(chain) for chain in chains}) == 1
    if not whole:
        raise SchemeMismatch(f"tree: {tree!r} has paths of different lengths. Fix: this rule verifies K whole paths, "
                             f"DraftTree.from_paths(tokens).")
    return np.asarray(chains)
