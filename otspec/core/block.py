"""Rules on one drafted path: a chain, which is the tree of one path, so that the number of a node is its depth.

A rule is written for many chains at once, as the law of (tokens kept, next token) on rows ``[*batch L+1 V]``; its form
on a `DraftTree` follows. Only the last node of a chain has no draft row.

Theorem used for every chain rule: if prefix ``x^n`` is kept or passed with probability ``w_n`` given that prefix,
and the rule that stops there draws from ``(w_n target - draft)+``, then the emitted text has the target's law as
soon as ``Pr[stop at n | x^n] = sum (w_n target - draft)+`` on the row after ``x^n``. [block]
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.laws import draw, namespace
from otspec.core.rows import (
    checked_coins,
    checked_rows,
    clipped_ratio,
    draw_residual,
    path_masses,
    residual_laws,
    row_at,
)
from otspec.core.sequence import SequenceLaw, SequenceVerifier, State
from otspec.core.tree import DraftTree

Array = Any
BlockLaw = SequenceLaw


class BlockVerdict(NamedTuple):
    """Number of drafted tokens kept ``[*batch]`` and the token emitted after them ``[*batch]``."""

    accepted: Array
    token: Array


class BlockVerifier(SequenceVerifier):
    """A rule that keeps a prefix of one drafted path and emits one more token.

    A subclass writes `_conditional`, and may write `_draw`, `_kept` and `_passed` for speed; none of them checks its
    arguments. A rule with a state takes it as last argument of `_conditional` and `_draw`.

    Every public form takes the rows of chains, or a `DraftTree` with the rows after its nodes.

    Parameters
    ----------
    scheme : DraftScheme or int
        One path.
    """

    one_path: ClassVar[bool] = True

    def num_uniforms(self, draft_length: int) -> int:
        """Uniform numbers that one call of `draw` consumes per row: one per drafted token, one for the next."""
        return draft_length + 1

    @abstractmethod
    def _conditional(self, target_rows: Array, draft_rows: Array, tokens: Array) -> SequenceLaw:
        """Law of the verdict, every coin of the rule enumerated."""

    def _draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array,
              *state: State) -> BlockVerdict:
        """Verdict from given uniforms; by the definition, the first number for the node and the last for the token."""
        law = self._conditional(target_rows, draft_rows, tokens, *state)
        accepted = draw(law.stop, uniforms[..., 0])
        return BlockVerdict(accepted, draw(row_at(law.following, accepted), uniforms[..., -1]))

    def _kept(self, target_rows: Array, draft_rows: Array, tokens: Array, *state: State) -> Array:
        """``Pr[accepted >= i | x^i]`` for i = 1 .. L, float64 ``[*batch L]``; by the definition, given all of x^L.

        Of a rule that looks ahead this is an unbiased estimate.
        """
        stop = self._conditional(target_rows, draft_rows, tokens, *state).stop
        xp = namespace(stop)
        return xp.flip(xp.cumulative_sum(xp.flip(stop, axis=-1), axis=-1), axis=-1)[..., 1:]

    def _passed(self, target_rows: Array, draft_rows: Array, tokens: Array, *state: State) -> Array:
        """``Pr[accepted >= i | x^(i-1)]`` for i = 1 .. L, float64 ``[*batch L]``, or an unbiased estimate of it."""
        return self._kept(target_rows, draft_rows, tokens, *state)

    # -- texts with a state each: one by one, unless a rule knows which go together ----------------------------------

    def draw_texts(self, target_rows: np.ndarray, draft_rows: np.ndarray, tokens: np.ndarray, uniforms: np.ndarray,
                   states: list[Any]) -> tuple[np.ndarray, np.ndarray, list[Any]]:
        """`draw` for texts ``[B]`` of a rule with states: accepted and token ``[B]``, and the states after."""
        done = [self.draw(*rows) for rows in zip(target_rows, draft_rows, tokens, uniforms, states, strict=True)]
        accepted, emitted = np.array([tuple(verdict) for verdict, _ in done], dtype=np.int64).reshape(-1, 2).T
        return accepted, emitted, [state for _, state in done]

    def expected_texts(self, target_rows: np.ndarray, draft_rows: np.ndarray, tokens: np.ndarray,
                       states: list[Any]) -> np.ndarray:
        """Mean number kept of the paths ``[B]`` of texts with a state each."""
        stops = [self.conditional(*rows).stop for rows in zip(target_rows, draft_rows, tokens, states, strict=True)]
        return np.asarray(stops) @ np.arange(tokens.shape[-1] + 1)

    # -- a chain is a tree of one path ----------------------------------------------------------------------------

    def _joint(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray, *state: State) -> np.ndarray:
        law = self._conditional(target, draft[:-1], tree.tokens[1:], *state)
        return law.stop[:, None] * law.following

    def _draw_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> tuple[Array, ...]:
        self._check_paths()
        accepted, token = self._draw(target_rows[:, 0], draft_rows[:, 0], tokens[:, 0], uniforms)
        return accepted, token, namespace(tokens).zeros_like(accepted)

    def _expected_paths(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> Array:
        self._check_paths()
        passed = self._passed(target_rows[:, 0], draft_rows[:, 0], tokens[:, 0])
        return namespace(passed).sum(passed, axis=-1)

    # -- public forms ---------------------------------------------------------------------------------------------

    def conditional(  # type: ignore[override]  # rows of chains, or a tree
            self, target_rows: Array, draft_rows: Array, tokens: Array, state: State = None) -> SequenceLaw:
        """Law of the verdict given the drafted block, the rule's own coins integrated out.

        Parameters
        ----------
        target_rows : [*batch L+1 V]
            Target laws after each prefix, the empty one first.
        draft_rows : [*batch L V]
            Draft laws that the tokens were drawn from.
        tokens : [*batch L] int
        state : optional
            Of a rule that carries one, the same for all rows; None at the beginning of a text.

        Returns
        -------
        SequenceLaw
            ``stop [*batch L+1]`` and ``following [*batch L+1 V]``, float64.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument
        """
        if isinstance(target_rows, DraftTree):
            return super().conditional(target_rows, draft_rows, tokens, state)
        return self._conditional(*checked_rows(target_rows, draft_rows, tokens), *self._memory(state))

    def draw(  # type: ignore[override]  # rows of chains, or a tree
            self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array, state: State = None) -> Any:
        """Verify one block per row.

        Parameters
        ----------
        target_rows, draft_rows, tokens, state
            As in `conditional`.
        uniforms : [*batch num_uniforms(L)]
            Numbers in [0, 1); the same numbers give the same verdict on every array library.

        Returns
        -------
        BlockVerdict
        """
        if isinstance(target_rows, DraftTree):
            return super().draw(target_rows, draft_rows, tokens, uniforms, state)
        target_rows, draft_rows, tokens = checked_rows(target_rows, draft_rows, tokens)
        uniforms = checked_coins(uniforms, self.num_uniforms(tokens.shape[-1]), tuple(tokens.shape[:-1]), target_rows)
        return BlockVerdict(*self._draw(target_rows, draft_rows, tokens, uniforms, *self._memory(state)))

    def expected_accepted(  # type: ignore[override]  # rows of chains, or a tree
            self, target_rows: Array, draft_rows: Array, tokens: Array, state: State = None) -> Any:
        """Sum over the path of ``Pr[accepted >= i | x^i]``, ``[*batch]``.

        Its mean over drafted blocks is the expected number of accepted tokens, without the noise of the coins.
        Arguments as in `conditional`.
        """
        if isinstance(target_rows, DraftTree):
            return super().expected_accepted(target_rows, draft_rows, tokens, state)
        kept = self._kept(*checked_rows(target_rows, draft_rows, tokens), *self._memory(state))
        return namespace(kept).sum(kept, axis=-1)


__all__ = ["BlockLaw", "BlockVerdict", "BlockVerifier", "clipped_ratio", "draw_residual",
           "path_masses", "residual_laws", "row_at"]
