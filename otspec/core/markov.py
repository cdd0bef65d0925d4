"""Markov models over tokens: language models small enough for exact enumeration.

A model of order m gives the law of the next token after the last m tokens. Its *stationary* law is the law of m
consecutive tokens that one more step leaves unchanged; it is unique if and only if the m-token contexts have one
closed class, and is then the solution of a linear system.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.checks import as_law, check_no_grad, check_positive
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge

Array = Any
MAX_STATES = 4096
MAX_TEXTS = 2**26


class MarkovModel:
    """Language model of order ``m`` on ``V`` tokens.

    Parameters
    ----------
    transition : [V] * (m + 1)
        Law of the next token (last axis) after each context (the other axes, oldest token first).
    initial : [V] * m, optional
        Law of the context in which a text starts; None means the stationary law.

    Raises
    ------
    NotALaw, ShapeMismatch

    Examples
    --------
    >>> MarkovModel([[0.0, 1.0], [1.0, 0.0]]).initial
    array([0.5, 0.5])
    """

    def __init__(self, transition: Array, initial: Array | None = None) -> None:
        self.transition = _table("transition", transition)
        if self.transition.ndim < 2:
            raise ShapeMismatch(
                f"transition: shape {self.transition.shape} has no context axis. "
                f"Fix: pass [V] * (m + 1) with m >= 1, or use MarkovModel.memoryless(law).")
        as_law("transition", self.transition)
        self.transition = self.transition / self.transition.sum(axis=-1, keepdims=True)
        self._initial = None
        if initial is not None:
            given = _table("initial", initial)
            if given.shape != self.transition.shape[:-1]:
                raise ShapeMismatch(
                    f"initial: shape {given.shape} is not that of a context, {self.transition.shape[:-1]}. "
                    f"Fix: give the joint law of the first {self.order} tokens.")
            as_law("initial", given.reshape(-1))
            self._initial = given / given.sum()

    @classmethod
    def memoryless(cls, law: Array) -> MarkovModel:
        """Model whose tokens are independent draws from ``law`` ``[V]``.

        Examples
        --------
        >>> MarkovModel.memoryless([0.25, 0.75]).next_law([0])
        array([0.25, 0.75])
        """
        check_no_grad(law=law)
        law = np.asarray(as_law("law", law), dtype=np.float64)
        if law.ndim != 1:
            raise ShapeMismatch(f"law: shape {law.shape} is not one law. Fix: pass [V].")
        return cls(np.broadcast_to(law, (law.size, law.size)), law)

    @property
    def vocabulary(self) -> int:
        """Number of tokens V."""
        return self.transition.shape[-1]

    @property
    def order(self) -> int:
        """Number of tokens m that the next one depends on."""
        return self.transition.ndim - 1

    @property
    def is_stationary(self) -> bool:
        """Whether texts start in the stationary law because no other was given."""
        return self._initial is None

    @cached_property
    def initial(self) -> np.ndarray:
        """Law of the context in which a text starts, ``[V] * m``."""
        return self._stationary() if self._initial is None else self._initial

    def next_law(self, context: Array) -> np.ndarray:
        """Law of the next token.

        Parameters
        ----------
        context : [*batch n] int, n >= m
            Oldest token first; only the last m count.

        Returns
        -------
        [*batch V]
        """
        context = np.asarray(context)
        if context.dtype.kind not in "iu" or context.ndim == 0 or context.shape[-1] < self.order:
            raise ShapeMismatch(
                f"context: {context.dtype} of shape {context.shape} does not hold {self.order} tokens. "
                f"Fix: pass integers [*batch {self.order}].")
        last = context[..., -self.order:]
        if np.any((last < 0) | (last >= self.vocabulary)):
            raise BadArgument(f"context: a token lies outside 0 .. {self.vocabulary - 1}. Fix: pass token ids.")
        return self.transition[tuple(np.moveaxis(last, -1, 0))]

    def lifted(self, order: int) -> MarkovModel:
        """Return the same model written with a longer context.

        Raises
        ------
        BadArgument
            A shorter context, or a given initial law, which says nothing about earlier tokens.
        """
        order = check_positive("order", order)
        if order == self.order:
            return self
        if order < self.order or not self.is_stationary:
            raise BadArgument(
                f"order: a model of order {self.order}{'' if self.is_stationary else ' with a given initial law'} "
                f"cannot be written with order {order}. Fix: give its transition [V] * {order + 1} and its initial.")
        return MarkovModel(np.broadcast_to(self.transition, (self.vocabulary,) * (order + 1)))

    def text_law(self, length: int) -> np.ndarray:
        """Law of the next ``length`` tokens after a context drawn from `initial`, ``[V] * length``.

        Raises
        ------
        TooLarge
        """
        length, size = check_positive("length", length), self.vocabulary
        count = float(size) ** (self.order + length)
        if count > MAX_TEXTS:
            raise TooLarge(f"{count:.3g} texts with their contexts, more than {MAX_TEXTS:.3g}. Fix: a shorter text.",
                           count)
        law = self.initial.reshape(-1, 1)
        for _ in range(length):
            law = (law[:, :, None] * self.rows[self.contexts_after(law.shape[1])]).reshape(law.shape[0], -1)
        return law.sum(axis=0).reshape((size,) * length)

    @property
    def rows(self) -> np.ndarray:
        """Transition as ``[V**m V]``, contexts numbered with the oldest token first."""
        return self.transition.reshape(-1, self.vocabulary)

    def contexts_after(self, texts: int) -> np.ndarray:
        """Number of the context reached from each context by each of ``texts = V**n`` texts, ``[V**m texts]``."""
        states = len(self.rows)
        return (np.arange(states)[:, None] * texts + np.arange(texts)) % states

    def _stationary(self) -> np.ndarray:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        states, size = len(self.rows), self.vocabulary
        if states > MAX_STATES:
            raise TooLarge(f"the stationary law of {states} contexts needs a dense system of that size, more than "
                           f"{MAX_STATES}. Fix: pass initial=.", states)
        source = np.repeat(np.arange(states), size)
        after = self.contexts_after(size).ravel()
        live = self.rows.ravel() > 0
        graph = coo_array((np.ones(live.sum()), (source[live], after[live])), shape=(states, states))
        count, label = connected_components(graph, directed=True, connection="strong")
        closed = np.ones(count, dtype=bool)
        closed[label[source[live]][label[source[live]] != label[after[live]]]] = False
        if closed.sum() > 1:
            raise BadArgument(
                f"transition: {int(closed.sum())} closed sets of contexts, so the stationary law is not unique. "
                f"Fix: pass initial=, the law of the first {self.order} tokens.")
        inside = np.flatnonzero(closed[label])
        step = np.zeros((states, states))
        np.add.at(step, (after, source), self.rows.ravel())
        system = step[np.ix_(inside, inside)] - np.eye(inside.size)
        # the rows of the system sum to zero, so any of them may give way to "the masses sum to one"
        system[-1] = 1.0
        law = np.zeros(states)
        law[inside] = np.maximum(np.linalg.solve(system, np.eye(inside.size)[-1]), 0.0)
        return (law / law.sum()).reshape(self.transition.shape[:-1])

    def __repr__(self) -> str:
        """Order and vocabulary."""
        return f"MarkovModel(order={self.order}, vocabulary={self.vocabulary})"


def _table(name: str, value: Array) -> np.ndarray:
    check_no_grad(**{name: value})
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        raise ShapeMismatch(f"{name}: no array of numbers. Fix: pass a NumPy array of floats.") from None
    if array.dtype.kind not in "fiu":
        raise ShapeMismatch(f"{name}: dtype {array.dtype} holds no probabilities. Fix: pass an array of floats.")
    array = array.astype(np.float64)
    if array.ndim == 0 or len(set(array.shape)) != 1:
        raise ShapeMismatch(f"{name}: shape {array.shape} has axes of different lengths. Fix: one axis of V per token.")
    return array


def check_models(target_model: MarkovModel, draft_model: MarkovModel) -> None:
    """Refuse a pair that is not two models of one vocabulary.

    Raises
    ------
    BadArgument, ShapeMismatch
    """
    for name, model in (("target_model", target_model), ("draft_model", draft_model)):
        if not isinstance(model, MarkovModel):
            raise BadArgument(f"{name}: {type(model).__name__} is no MarkovModel. Fix: MarkovModel.memoryless(law).")
    if target_model.vocabulary != draft_model.vocabulary:
        raise ShapeMismatch(f"vocabularies differ: target_model has {target_model.vocabulary} tokens, draft_model "
                            f"{draft_model.vocabulary}. Fix: both models must live on one vocabulary.")
