"""What a sequence-level rule is: the law of (node where it stops, next token) given the drafted nodes.

Drafted tokens form nodes: node 0 is the context, nothing drafted yet; every other node is the prefix that ends in
one drafted token. Row n of the target is its law *after* node n, and so is row n of the draft where something was
drafted after node n. A rule keeps the prefix of one node and emits one more token. On a chain, which is the tree of
one path, node n is the first n drafted tokens, so its number is its depth, and only the last node has no draft row.

Theorem used for every chain rule: if prefix ``x^n`` is kept or passed with probability ``w_n`` given that prefix,
and the rule that stops there draws from ``(w_n target - draft)+``, then the emitted text has the target's law as
soon as ``Pr[stop at n | x^n] = sum (w_n target - draft)+`` on the row after ``x^n``. [block]
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.checks import as_law, check_together, check_tokens, check_uniforms
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme

Array = Any


class BlockLaw(NamedTuple):
    """Law of the verdict: ``stop`` ``[*batch N]`` over nodes, ``following`` ``[*batch N V]`` of the next token."""

    stop: Array
    following: Array


class BlockVerdict(NamedTuple):
    """Number of drafted tokens kept ``[*batch]`` and the token emitted after them ``[*batch]``."""

    accepted: Array
    token: Array


class BlockVerifier(ABC):
    """A rule that keeps a prefix of a drafted block and emits one more token.

    A subclass writes `_conditional`, `_draw`, `_kept` and `_passed`; none of them checks its arguments.

    Parameters
    ----------
    scheme : DraftScheme or int
        How paths are drawn: ``K`` means K independent paths. Chain rules take one.
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)
    #: most paths that the rule is proved for
    max_paths: ClassVar[int] = 1

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        self.scheme = as_scheme(scheme)
        if not isinstance(self.scheme, self.schemes) or self.scheme.num_drafts > self.max_paths:
            raise SchemeMismatch(
                f"{type(self).__name__} is proved for {self.max_paths} path(s) drawn with replacement; got "
                f"{self.scheme}. Fix: WithReplacement({self.max_paths}), or otspec.list_verifiers(scheme).")

    def num_uniforms(self, draft_length: int) -> int:
        """Uniform numbers that one call of `draw` consumes per row: one per drafted token, one for the next."""
        return draft_length + 1

    @abstractmethod
    def _conditional(self, target_rows: Array, draft_rows: Array, tokens: Array) -> BlockLaw:
        """Law of the verdict, every coin of the rule enumerated."""

    @abstractmethod
    def _draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> BlockVerdict:
        """Verdict from given uniforms, in memory of a few rows ``[*batch V]``."""

    @abstractmethod
    def _kept(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        """``Pr[accepted >= i | x^i]`` for i = 1 .. L, float64 ``[*batch L]``."""

    @abstractmethod
    def _passed(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        """``Pr[accepted >= i | x^(i-1)]`` for i = 1 .. L, the i-th draft integrated out, float64 ``[*batch L]``."""

    def conditional(self, target_rows: Array, draft_rows: Array, tokens: Array) -> BlockLaw:
        """Law of the verdict given the drafted block, the rule's own coins integrated out.

        Parameters
        ----------
        target_rows : [*batch L+1 V]
            Target laws after each prefix, the empty one first.
        draft_rows : [*batch L V]
            Draft laws that the tokens were drawn from.
        tokens : [*batch L] int

        Returns
        -------
        BlockLaw
            ``stop [*batch L+1]`` and ``following [*batch L+1 V]``, float64.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument
        """
        return self._conditional(*checked_block(target_rows, draft_rows, tokens))

    def draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> BlockVerdict:
        """Verify one block per row.

        Parameters
        ----------
        target_rows, draft_rows, tokens
            As in `conditional`.
        uniforms : [*batch num_uniforms(L)]
            Numbers in [0, 1); the same numbers give the same verdict on every array library.
        """
        target_rows, draft_rows, tokens = checked_block(target_rows, draft_rows, tokens)
        check_uniforms(uniforms, self.num_uniforms(tokens.shape[-1]), target_rows=target_rows)
        if tuple(uniforms.shape[:-1]) != tuple(tokens.shape[:-1]):
            raise ShapeMismatch(
                f"uniforms: batch shape {tuple(uniforms.shape[:-1])} differs from that of tokens, "
                f"{tuple(tokens.shape[:-1])}. Fix: one row of uniforms per block.")
        return self._draw(target_rows, draft_rows, tokens, uniforms)

    def expected_accepted(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        """Sum over the path of ``Pr[accepted >= i | x^i]``, ``[*batch]``.

        Its mean over drafted blocks is the expected number of accepted tokens, without the noise of the coins.
        Arguments as in `conditional`.
        """
        target_rows, draft_rows, tokens = checked_block(target_rows, draft_rows, tokens)
        kept = self._kept(target_rows, draft_rows, tokens)
        return namespace(kept).sum(kept, axis=-1)

    def __repr__(self) -> str:
        """Class name and scheme."""
        return f"{type(self).__name__}({self.scheme})"


def checked_block(target_rows: Array, draft_rows: Array, tokens: Array) -> tuple[Array, Array, Array]:
    """Check the rows and the tokens of blocks against each other; lists become arrays."""
    target_rows, draft_rows = as_law("target_rows", target_rows), as_law("draft_rows", draft_rows)
    check_together(target_rows=target_rows, draft_rows=draft_rows)
    if isinstance(tokens, (list, tuple)):
        tokens = np.asarray(tokens)
    shapes = f"target_rows {tuple(target_rows.shape)}, draft_rows {tuple(draft_rows.shape)}, " \
             f"tokens {tuple(tokens.shape)}"
    if target_rows.ndim < 2 or draft_rows.ndim != target_rows.ndim or tokens.ndim != target_rows.ndim - 1:
        raise ShapeMismatch(f"rows and tokens do not fit: {shapes}. Fix: pass [*batch L+1 V], [*batch L V] and "
                            f"[*batch L].")
    length = draft_rows.shape[-2]
    if tokens.shape[-1] != length or target_rows.shape[-2] != length + 1:
        raise ShapeMismatch(
            f"a path of {tokens.shape[-1]} tokens needs {tokens.shape[-1]} draft rows and {tokens.shape[-1] + 1} "
            f"target rows; got {shapes}. Fix: one target row per prefix, the empty and the full one included.")
    batches = {tuple(target_rows.shape[:-2]), tuple(draft_rows.shape[:-2]), tuple(tokens.shape[:-1])}
    if len(batches) > 1 or target_rows.shape[-1] != draft_rows.shape[-1]:
        raise ShapeMismatch(f"batch shapes or vocabularies differ: {shapes}. Fix: give all three the same.")
    tokens = check_tokens(tokens, target_rows.shape[-1], length, target_rows=target_rows)
    if bool(namespace(tokens).any(tokens < 0)):
        raise BadArgument("tokens: -1 found; a path has no absent tokens. Fix: verify shorter paths separately.")
    return target_rows, draft_rows, tokens


def path_masses(rows: Array, tokens: Array) -> Array:
    """Mass of each drafted token under the row before it, float64 ``[*batch L]``; ``rows`` ``[*batch >=L V]``."""
    xp = namespace(rows, tokens)
    return xp.astype(at(rows[..., : tokens.shape[-1], :], tokens[..., None])[..., 0], xp.float64)


def clipped_ratio(numerator: Array, denominator: Array) -> Array:
    """``min(1, numerator / denominator)``, 0 where the numerator is 0, also for 0/0."""
    xp = namespace(numerator)
    one = xp.ones_like(numerator)
    sure = (numerator > 0) & (numerator >= denominator)
    return xp.where(sure, one, numerator / xp.where(denominator > 0, denominator, one))


def row_at(rows: Array, index: Array) -> Array:
    """Row ``index`` ``[*batch]`` of ``rows`` ``[*batch N V]``, as ``[*batch V]``."""
    xp = namespace(rows, index)
    size = rows.shape[-1]
    flat = xp.reshape(rows, (-1, size))
    start = xp.arange(flat.shape[0] // rows.shape[-2], dtype=xp.int64, device=rows.device) * rows.shape[-2]
    picked = xp.take(flat, start + xp.reshape(xp.astype(index, xp.int64), (-1,)), axis=0)
    return xp.reshape(picked, (*rows.shape[:-2], size))


def residual_laws(target_rows: Array, draft_rows: Array, scale: Array) -> Array:
    """Laws ``(scale target - draft)+`` after every node of a chain, normalised, float64 ``[*batch L+1 V]``.

    ``scale`` is ``[*batch L+1]``; at the last node, where nothing was drafted, the law is the target's own.
    """
    xp = namespace(target_rows)
    target_rows = xp.astype(target_rows, xp.float64)
    excess = positive_part(scale[..., :-1, None] * target_rows[..., :-1, :] - draft_rows)
    inner = normalized_or(excess, target_rows[..., :-1, :])
    return xp.concat([inner, target_rows[..., -1:, :]], axis=-2)


def draw_residual(target_rows: Array, draft_rows: Array, node: Array, scale: Array, uniform: Array) -> Array:
    """Token ``[*batch]`` from the law of `residual_laws` after ``node`` ``[*batch]``, that row alone being made."""
    xp = namespace(target_rows)
    length = draft_rows.shape[-2]
    target = xp.astype(row_at(target_rows, node), xp.float64)
    if length == 0:
        return draw(target, uniform)
    last = (node == length)[..., None]
    draft = row_at(draft_rows, xp.where(node == length, xp.zeros_like(node), node))
    excess = positive_part(xp.astype(scale, xp.float64)[..., None] * target - draft)
    return draw(xp.where(last, target, normalized_or(excess, target)), uniform)
