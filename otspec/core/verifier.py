"""What a verification rule is: the conditional law of the emitted token given the drafts.

From ``conditional`` follow exact acceptance, losslessness, sampling on any array library and the decoder.
*Accepted* means membership: the emitted token is one of the drafts. It is the cost of the transport problem,
never a flag that an algorithm reports.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from otspec.core.checks import as_law, check_together, check_tokens, check_uniforms
from otspec.core.errors import SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw
from otspec.core.schemes import DraftScheme, as_scheme

Array = Any


class Verdict(NamedTuple):
    """The emitted token ``[*batch]`` and the first draft slot that holds it (-1: not a draft)."""

    token: Array
    slot: Array


def slot_of(token: Array, tokens: Array) -> Array:
    """First slot of ``tokens`` ``[*batch k]`` that equals ``token`` ``[*batch]``; -1 where none does."""
    xp = array_namespace(token, tokens)
    hit = tokens == token[..., None]
    first = xp.astype(xp.argmax(xp.astype(hit, xp.int64), axis=-1), xp.int64)
    return xp.where(xp.any(hit, axis=-1), first, -xp.ones_like(first))


class TokenVerifier(ABC):
    """A rule that emits one token from the drafts of one position, bound to the scheme they are drawn by.

    A subclass writes `_conditional`, and lists in `schemes` what it is proved for. An absent draft has token -1;
    a rule for draws with replacement takes the number of drafts from those present, row by row, so that a decoder
    may hand it the surviving copies of a path.
    """

    schemes: ClassVar[tuple[type, ...]] = (DraftScheme,)

    def __init__(self, scheme: DraftScheme | int) -> None:
        self.scheme = as_scheme(scheme)
        if not isinstance(self.scheme, self.schemes):
            proved = ", ".join(kind.__name__ for kind in self.schemes)
            raise SchemeMismatch(
                f"{type(self).__name__} is proved for {proved}; got {self.scheme}. "
                f"Fix: otspec.list_verifiers(scheme) names the rules for a scheme.")

    @property
    def num_uniforms(self) -> int:
        """Uniform numbers that one call of `draw` consumes per row."""
        return 1

    @abstractmethod
    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        """Law of the emitted token, arguments already checked."""

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        """Emitted token ``[*batch]``; override for speed, the contract tests compare it with `_conditional`."""
        return draw(self._conditional(target, draft, tokens), uniforms[..., 0])

    @property
    def acceptance_is_slow(self) -> bool:
        """Whether `acceptance` costs so much more than a draw that a decoder should weigh the drafts at hand."""
        return False

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """Exact acceptance ``[*batch]`` by a closed form at any vocabulary, or None where there is none."""
        return None

    def conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        """Law of the emitted token given the drafts, the rule's own coins integrated out.

        Parameters
        ----------
        target : [*batch V]
        draft : [*batch V]
            The drafter's full law (``[*batch k V]`` for `Independent`).
        tokens : [*batch k]
            In drawing order; -1 where a draft is absent.

        Returns
        -------
        [*batch V]
        """
        return self._conditional(*self._checked(target, draft, tokens))

    def draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Verdict:
        """Emit one token per row.

        Parameters
        ----------
        target, draft, tokens
            As in `conditional`.
        uniforms : [*batch num_uniforms]
            Numbers in [0, 1); the same numbers give the same tokens on every array library.

        Returns
        -------
        Verdict
            ``token [*batch]`` and ``slot [*batch]``.
        """
        target, draft, tokens = self._checked(target, draft, tokens)
        uniforms = check_uniforms(uniforms, self.num_uniforms, target=target)
        if tuple(uniforms.shape[:-1]) != tuple(tokens.shape[:-1]):
            raise ShapeMismatch(f"uniforms: batch shape {tuple(uniforms.shape[:-1])} differs from that of the drafts, "
                                f"{tuple(tokens.shape[:-1])}. Fix: one row of {self.num_uniforms} numbers per list.")
        token = self._draw(target, draft, tokens, uniforms)
        return Verdict(token, slot_of(token, tokens))

    def _checked(self, target: Array, draft: Array, tokens: Array) -> tuple[Array, Array, Array]:
        target, draft = checked_pair(target, draft, self.scheme)
        tokens = check_tokens(tokens, target.shape[-1], self.scheme.num_drafts, target=target)
        batch, axes = tuple(tokens.shape[:-1]), target.ndim - 1
        try:
            target, draft = (_spread(law, (*batch, *law.shape[axes:])) for law in (target, draft))
        except (ValueError, RuntimeError):
            raise ShapeMismatch(
                f"tokens: batch shape {batch} does not fit laws of batch shape {tuple(target.shape[:-1])}. "
                f"Fix: one list of drafts per law.") from None
        self.scheme.check_drawn(draft, tokens)
        return target, draft, tokens

    def __repr__(self) -> str:
        """Class name and scheme."""
        return f"{type(self).__name__}({self.scheme})"


def checked_pair(target: Array, draft: Array, scheme: DraftScheme) -> tuple[Array, Array]:
    """Check the laws of one problem against each other and against the scheme.

    Both come back with the batch axes of the two together: ``draft.shape[target.ndim - 1:]`` are the axes of one
    context, ``[V]``, or ``[k V]`` for different drafters.
    """
    target = as_law("target", target)
    if draft is None:  # the scheme's own law, as the caller's kind of array
        xp = array_namespace(target)
        draft = xp.asarray(scheme.check(None), dtype=target.dtype, device=device(target))
    else:
        draft = scheme.check(draft)
    check_together(target=target, draft=draft)
    if target.shape[-1] != draft.shape[-1]:
        raise ShapeMismatch(
            f"vocabularies differ: target has {target.shape[-1]} tokens, draft {draft.shape[-1]}. "
            f"Fix: both laws must live on one vocabulary.")
    axes = draft.ndim - 1 - scheme.draft_axes
    try:
        batch = np.broadcast_shapes(tuple(target.shape[:-1]), tuple(draft.shape[:axes]))
    except ValueError:
        raise ShapeMismatch(
            f"batch shapes do not fit: target {tuple(target.shape)}, draft {tuple(draft.shape)}. "
            f"Fix: one draft law per target law, or one for all.") from None
    return _spread(target, (*batch, target.shape[-1])), _spread(draft, (*batch, *draft.shape[axes:]))


def _spread(law: Array, shape: tuple[int, ...]) -> Array:
    """Broadcast a law; one that has the shape already stays as it is, and may be written to."""
    return law if tuple(law.shape) == shape else array_namespace(law).broadcast_to(law, shape)
