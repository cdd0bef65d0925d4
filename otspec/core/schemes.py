"""Draft schemes: how the ``k`` drafts of one position are drawn from the draft law.

A scheme is the joint law of the draft list ``x_1 .. x_k``. Exact analysis reads it as lists or, since membership
ignores order and copies, as *sets* of tokens; a decoder reads it as a sampler fed with uniforms.

Where the draft law supports fewer than ``k`` tokens, draws without replacement run out: the missing drafts are
absent (token -1), and every statement holds with ``k := min(k, support)``. Draws with replacement never run out.
A token is in the support if and only if its mass, as a number of the law's dtype, is greater than 0: 5e-324 in float64
and 1.4e-45 in float32 included. What is drawn next depends on the masses relative to what is left, never on their size.
Ties in the draft law: the lower id counts as larger.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import as_law, check_positive, check_possible, check_uniforms, first_index, whole
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.core.laws import at, descending_order, draw, one_hot
from otspec.core.lists import first_and_group, ordered_draws
from otspec.core.truncation import top_mask

Array = Any
MAX_LISTS = 5_000_000


class DraftScheme(ABC):
    """Joint law of the drafts of one position; see the module's concrete schemes."""

    #: leading axes of the draft argument that belong to the scheme (1 for different drafters)
    draft_axes = 0
    #: whether every draft is another token, so that k may not exceed the vocabulary
    distinct = True

    @property
    @abstractmethod
    def num_drafts(self) -> int:
        """Number of drafts ``k``."""

    @property
    def num_uniforms(self) -> int:
        """Uniform numbers that one call of `sample` consumes per row."""
        return self.num_drafts

    def vocabulary(self, draft: Array) -> int:
        """Return the size of the vocabulary."""
        return draft.shape[-1]

    def check(self, draft: Array) -> Array:
        """Check the draft argument and return it as an array.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument
            Not laws, a missing drafter axis, or more distinct drafts than tokens.
        """
        draft = as_law("draft", draft)
        if self.distinct and self.num_drafts > draft.shape[-1]:
            raise BadArgument(
                f"scheme: {self} draws {self.num_drafts} drafts from a vocabulary of {draft.shape[-1]}. "
                f"Fix: choose k <= {draft.shape[-1]}."
            )
        return draft

    def check_drawn(self, draft: Array, tokens: Array) -> None:
        """Refuse lists ``[*batch k]`` that are not drawn from the draft law, both checked already.

        Raises
        ------
        BadArgument
            A token of mass 0, or one that draws without replacement hold twice.
        """
        xp = array_namespace(draft, tokens)
        mass = at(draft, tokens[..., None])[..., 0] if self.draft_axes else at(draft, tokens)
        check_possible(mass, tokens, "the draft law")
        ordered = xp.sort(tokens, axis=-1) if self.distinct else tokens[..., :1]
        twice = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] >= 0)
        if bool(xp.any(twice)):
            where = first_index(twice)
            raise BadArgument(f"tokens{list(where[:-1])} hold {int(ordered[..., 1:][where])} twice, and {self} draws "
                              f"each token once at most. Fix: pass the drafts as drawn, -1 for one that is absent.")

    @abstractmethod
    def count_lists(self, draft: Array) -> float:
        """Number of lists that `lists` would enumerate for one context."""

    @abstractmethod
    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lists of positive probability ``[n k]`` and their law ``[n]``."""

    def lists(self, draft: Array) -> tuple[np.ndarray, np.ndarray]:
        """Enumerate every draft list of one context.

        Parameters
        ----------
        draft : [V] (``[k V]`` for `Independent`)

        Returns
        -------
        tokens : [n k] int64
            -1 where a draft is absent.
        law : [n] float64

        Raises
        ------
        TooLarge
            More than five million lists.
        """
        draft = np.asarray(self.check(draft), dtype=np.float64)
        if draft.ndim != 1 + self.draft_axes:
            raise ShapeMismatch(f"draft: shape {draft.shape} is a batch; lists are those of one context. "
                                f"Fix: pass one row.")
        count = self.count_lists(draft)
        if count > MAX_LISTS:
            raise TooLarge(
                f"{self} on {self.vocabulary(draft)} tokens has {count:.3g} draft lists, more than {MAX_LISTS:.0e}. "
                f"Fix: use optimal_acceptance or sampled_acceptance, which enumerate nothing.", count)
        return self._lists(draft)

    def sets(self, draft: Array) -> tuple[np.ndarray, np.ndarray]:
        """Draft *sets* ``[n k]`` (ascending ids, padded with -1 in front) and their law ``[n]``."""
        draft = self.check(draft)
        tokens, law = self.lists(draft)
        tokens = np.sort(tokens, axis=-1)
        tokens[:, 1:][tokens[:, 1:] == tokens[:, :-1]] = -1
        tokens = np.sort(tokens, axis=-1)
        first, group = first_and_group(tokens, self.vocabulary(draft) + 1)
        return tokens[first], np.bincount(group, weights=law)

    def sample(self, draft: Array, uniforms: Array) -> Array:
        """Draw one list per row.

        Parameters
        ----------
        draft : [*batch V]
        uniforms : [*batch num_uniforms]

        Returns
        -------
        [*batch k] int64
            In drawing order, -1 where a draft is absent.
        """
        law = self.check(draft)
        # a law that the scheme brings itself does not bind the uniforms to its library
        uniforms = check_uniforms(uniforms, self.num_uniforms, **({} if draft is None else {"draft": law}))
        if draft is not None and tuple(law.shape[: law.ndim - 1 - self.draft_axes]) != tuple(uniforms.shape[:-1]):
            shape = (*uniforms.shape[:-1], *law.shape[law.ndim - 1 - self.draft_axes :])
            try:
                law = array_namespace(law).broadcast_to(law, shape)
            except (ValueError, RuntimeError):
                raise ShapeMismatch(f"uniforms: shape {tuple(uniforms.shape)} does not fit draft {tuple(law.shape)}. "
                                    f"Fix: one row of uniforms for each law.") from None
        return self._sample(law, uniforms)

    @abstractmethod
    def _sample(self, draft: Array, uniforms: Array) -> Array:
        """Draw without checks."""


@dataclass(frozen=True)
class WithReplacement(DraftScheme):
    """``k`` independent draws from the draft law.

    Examples
    --------
    >>> WithReplacement(2).lists([1.0, 0.0])[0]
    array([[0, 0]])
    """

    k: int
    distinct = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_positive("k", self.k))

    @property
    def num_drafts(self) -> int:
        """Number of drafts."""
        return self.k

    def count_lists(self, draft: Array) -> float:
        """``support ** k``."""
        try:
            return float(np.count_nonzero(draft)) ** self.k
        except OverflowError:
            return math.inf

    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        support = np.flatnonzero(draft)
        # NumPy has no arrays of more than 64 axes, and one token alone may be drawn more often
        places = np.arange(support.size**self.k)
        powers = [support.size ** (self.k - 1 - slot) for slot in range(self.k)]
        tokens = support[np.stack([places // power % support.size for power in powers], axis=-1)]
        return tokens, draft[tokens].prod(axis=-1)

    def _sample(self, draft: Array, uniforms: Array) -> Array:
        xp = array_namespace(draft, uniforms)
        return xp.stack([draw(draft, uniforms[..., i]) for i in range(self.k)], axis=-1)


@dataclass(frozen=True)
class Hybrid(DraftScheme):
    """The ``top`` likeliest tokens for certain, then ``k - top`` draws without replacement from the rest.

    `WithoutReplacement(k)` is ``Hybrid(0, k)`` and `Greedy(k)` is ``Hybrid(k - 1, k)``. [mdsd]
    """

    top: int
    k: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_positive("k", self.k))
        top = whole(self.top)
        if top is None or not 0 <= top < self.k:
            raise BadArgument(f"top: {self.top!r} is outside 0 .. k-1 = {self.k - 1}. Fix: leave one sampled draft.")
        object.__setattr__(self, "top", top)

    @property
    def num_drafts(self) -> int:
        """Number of drafts, the top ones included."""
        return self.k

    @property
    def num_sampled(self) -> int:
        """Number of drafts that are drawn at random."""
        return self.k - self.top

    @property
    def num_uniforms(self) -> int:
        """One uniform for each sampled draft."""
        return self.num_sampled

    def split(self, draft: Array) -> tuple[Array, Array]:
        """Mask of the top tokens and the law of the rest, ``[*batch V]`` each (zeros where no rest has mass)."""
        xp = array_namespace(draft)
        if self.top == 0:
            return xp.zeros_like(draft, dtype=xp.bool), draft
        mask = top_mask(draft, self.top)
        rest = xp.where(mask, xp.zeros_like(draft), draft)
        mass = xp.sum(rest, axis=-1, keepdims=True)
        return mask, rest / xp.where(mass > 0, mass, xp.ones_like(mass))

    def top_tokens(self, draft: Array) -> Array:
        """Return the ``top`` likeliest tokens in descending order, ``[*batch top]``; -1 past the support."""
        xp = array_namespace(draft)
        order = xp.astype(descending_order(draft)[..., : self.top], xp.int64)
        return xp.where(at(draft, order) > 0, order, -xp.ones_like(order))

    def count_lists(self, draft: Array) -> float:
        """Ordered draws without replacement from the support of the rest."""
        size = max(int(np.count_nonzero(draft)) - self.top, 0)
        return _as_float(math.perm(size, min(self.num_sampled, size)))

    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        _, rest = self.split(draft)
        sampled, law = ordered_draws(rest, self.num_sampled)
        head = np.broadcast_to(self.top_tokens(draft), (len(law), self.top))
        return np.concatenate([head, sampled], axis=-1).astype(np.int64), law

    def _sample(self, draft: Array, uniforms: Array) -> Array:
        xp = array_namespace(draft, uniforms)
        _, rest = self.split(draft)
        rest = xp.astype(rest, xp.float64)
        columns = []
        for i in range(self.num_sampled):
            token = draw(_lifted(rest), uniforms[..., i])
            token = xp.where(xp.sum(rest, axis=-1) > 0, token, -xp.ones_like(token))
            columns.append(token)
            rest = xp.where(one_hot(token, rest.shape[-1], rest.dtype) > 0, xp.zeros_like(rest), rest)
        sampled = xp.stack(columns, axis=-1)
        return xp.concat([self.top_tokens(draft), sampled], axis=-1) if self.top else sampled


@dataclass(frozen=True)
class WithoutReplacement(Hybrid):
    """``k`` draws from the draft law without replacement, renormalised after each (Plackett-Luce)."""

    top: int = field(default=0, init=False, repr=False)
    k: int

    def __init__(self, k: int) -> None:
        object.__setattr__(self, "top", 0)
        object.__setattr__(self, "k", k)
        self.__post_init__()


@dataclass(frozen=True)
class Greedy(Hybrid):
    """The ``k - 1`` likeliest tokens for certain, then one draw from the rest [mdsd]."""

    top: int = field(default=0, init=False, repr=False)
    k: int

    def __init__(self, k: int) -> None:
        object.__setattr__(self, "k", check_positive("k", k))
        object.__setattr__(self, "top", self.k - 1)
        self.__post_init__()


@dataclass(frozen=True)
class Hub(DraftScheme):
    """SpecHub's two drafts: a draw ``x`` and the likeliest token ``a``, always both in the list [spechub].

    The list is ``(x, a)`` when ``x`` is not ``a``; a draw of ``a`` is completed by a draw from the rest, ``(a, x)``.
    As sets this is ``Greedy(2)``.
    """

    @property
    def num_drafts(self) -> int:
        """Two."""
        return 2

    def count_lists(self, draft: Array) -> float:
        """Two lists for each token but the likeliest."""
        return 2.0 * max(int(np.count_nonzero(draft)) - 1, 1)

    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        top = int(descending_order(draft)[0])
        others = np.setdiff1d(np.flatnonzero(draft), [top])
        if others.size == 0:
            return np.array([[top, -1]]), np.ones(1)
        pairs = np.stack([others, np.full_like(others, top)], axis=-1)
        completed = draft[top] * (draft[others] / draft[others].sum())
        return np.concatenate([pairs, pairs[:, ::-1]]), np.concatenate([draft[others], completed])

    def _sample(self, draft: Array, uniforms: Array) -> Array:
        xp = array_namespace(draft, uniforms)
        top = xp.astype(descending_order(draft)[..., 0], xp.int64)
        rest = xp.where(one_hot(top, draft.shape[-1], draft.dtype) > 0, xp.zeros_like(draft), draft)
        first, other = draw(draft, uniforms[..., 0]), draw(_lifted(xp.astype(rest, xp.float64)), uniforms[..., 1])
        other = xp.where(xp.sum(rest, axis=-1) > 0, other, -xp.ones_like(other))
        return xp.stack([first, xp.where(first == top, other, top)], axis=-1)


def same_sets(scheme: DraftScheme) -> DraftScheme:
    """Return the scheme to compute with where only the set of drafts counts: `Hub`'s are those of `Greedy` (2).

    Examples
    --------
    >>> same_sets(Hub()), same_sets(WithReplacement(3))
    (Greedy(k=2), WithReplacement(k=3))
    """
    return Greedy(2) if isinstance(scheme, Hub) else scheme


def as_scheme(scheme: DraftScheme | int) -> DraftScheme:
    """Return a scheme; an int ``k`` means `WithReplacement(k)`.

    Raises
    ------
    BadArgument
        Neither a scheme nor a whole number of at least 1.
    """
    if isinstance(scheme, DraftScheme):
        return scheme
    if isinstance(scheme, type):
        raise BadArgument(f"scheme: the class {scheme.__name__} was given. Fix: make one, {scheme.__name__}(k).")
    return WithReplacement(check_positive("scheme", scheme))


def _as_float(count: int) -> float:
    """Count as a float; infinite where no float is as large."""
    try:
        return float(count)
    except OverflowError:
        return math.inf


def _lifted(weights: Array) -> Array:
    """Weights ``[*batch V]`` times a power of two where little is left: a quantile of subnormal sums has no digits."""
    xp = array_namespace(weights)
    mass = xp.sum(weights, axis=-1, keepdims=True)
    one = xp.ones_like(mass)
    return weights * xp.where(mass < 2.0**-500, one * 2.0**1000, one)
