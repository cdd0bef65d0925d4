"""Blockwise drafts as a lattice: which path through the top tokens of every position to draft.

Definitions. Heads that draft L positions at once give each position a law of its own, blind to the tokens before it.
The *lattice* holds the k best tokens of every position; its k**L paths are the candidate drafts. Greedy verification
keeps the longest prefix that the target's greedy decoding would have written: the *verified prefix*. [blockwise-drafts]

Rescoring. A bigram model scores neighbours by their *lift* ``log P(y_i | y_{i-1}) / P(y_i)``: a head and a neighbour
that were independent given the token would multiply to ``P(y | head) P(y | neighbour) / P(y)``. The best path under
``sum_i s_i(y_i) + w lift_i`` is found by Viterbi's recursion in ``O(L k**2)``, and the p best paths by keeping p of
them at every node (list Viterbi: of the p best paths, any prefix is among the p best that end in its node). A neural
model may then choose among those p paths.

The *oracle* is the path through the lattice with the longest verified prefix: the number of positions before the first
whose right token is missing. No rescoring of the same lattice gets beyond it, so its distance to the best rescoring is
what better rescoring could still gain, and its distance to L what only better heads could.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, ShapeMismatch

Array = Any


@dataclass(frozen=True)
class Lattice:
    """Candidate tokens of every position.

    Attributes
    ----------
    tokens : [*batch L k] int
        Different tokens in each position, best first.
    scores : [*batch L k]
        Log-probabilities of the heads.
    """

    tokens: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        """Check the shapes."""
        if self.tokens.shape != self.scores.shape or self.tokens.ndim < 2:
            raise ShapeMismatch(f"tokens {self.tokens.shape} and scores {self.scores.shape} are no lattice. "
                                f"Fix: both [*batch L k].")

    @classmethod
    def top(cls, logs: Array, k: int) -> Lattice:
        """Keep the ``k`` likeliest tokens of log-probabilities ``[*batch L V]``, ties by lower id.

        Examples
        --------
        >>> Lattice.top(np.log([[0.2, 0.5, 0.3]]), 2).tokens
        array([[1, 2]])
        """
        logs = np.asarray(logs)
        if check_positive("k", k) > logs.shape[-1]:
            raise BadArgument(f"k: {k} of {logs.shape[-1]} tokens. Fix: at most the vocabulary.")
        tokens = np.argsort(-logs, axis=-1, kind="stable")[..., :k]
        return cls(tokens, np.take_along_axis(logs, tokens, axis=-1))

    def greedy(self) -> np.ndarray:
        """Return the best token of every position, ``[*batch L]``: the draft without rescoring."""
        return self.tokens[..., 0]

    def oracle(self, right: Array) -> np.ndarray:
        """Longest verified prefix of any path, ``[*batch]``, the target writing ``right`` ``[*batch L]``."""
        return _run((self.tokens == np.asarray(right)[..., None]).any(axis=-1))

    def best_paths(self, previous: Array, bigram: Bigram | None, *, weight: float = 1.0,
                   paths: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """Return the best paths under heads and bigrams, by list Viterbi.

        Parameters
        ----------
        previous : [*batch] int
            Token before the block.
        bigram : Bigram or None
            None: the heads alone.
        weight : float
            Of the bigram's lifts.
        paths : int
            Number p of paths; at most k**L.

        Returns
        -------
        tokens : [*batch p L] int
            Best first.
        scores : [*batch p]
        """
        batch, (length, k) = self.tokens.shape[:-2], self.tokens.shape[-2:]
        if check_positive("paths", paths) > k**length:
            raise BadArgument(f"paths: {paths} of {k}**{length} paths. Fix: ask for fewer.")
        tokens, scores = (a.reshape(-1, length, k) for a in (self.tokens, self.scores))
        before = np.broadcast_to(np.asarray(previous), batch).reshape(-1, 1)
        total, trails = np.zeros((len(tokens), 1, 1)), []  # [n nodes ways]
        for place in range(length):
            step = scores[:, place, None, :]
            if bigram is not None:
                step = step + weight * bigram.lift(before[:, :, None], tokens[:, place, None, :])
            # [n new (old node, way)]
            ways = (total[:, :, :, None] + step[:, :, None, :]).reshape(len(tokens), -1, k).swapaxes(1, 2)
            kept = np.argsort(-ways, axis=-1, kind="stable")[..., :paths]
            trails.append((kept, total.shape[2]))
            total, before = np.take_along_axis(ways, kept, axis=-1), tokens[:, place]
        flat = total.reshape(len(tokens), -1)
        ends = np.argsort(-flat, axis=-1, kind="stable")[:, :paths]
        found, node, way = [], ends // total.shape[2], ends % total.shape[2]
        rows = np.arange(len(tokens))[:, None]
        for place in reversed(range(length)):
            found.append(tokens[rows, place, node])
            kept, width = trails[place]
            node, way = divmod(kept[rows, node, way], width)
        texts = np.stack(found[::-1], axis=-1).reshape(*batch, paths, length)
        return texts, np.take_along_axis(flat, ends, axis=-1).reshape(*batch, paths)


@dataclass(frozen=True)
class Bigram:
    """Law of a token given the one before: a few successors with their masses, the rest by frequency.

    Attributes
    ----------
    successors : [V s] int
        Listed successors of every token, different ones.
    masses : [V s]
        Their probabilities; a row sums to less than one.
    frequency : [V]
        Law of a token on its own, which the remaining mass follows outside the list.
    """

    successors: np.ndarray
    masses: np.ndarray
    frequency: np.ndarray

    @classmethod
    def fitted(cls, text: Array, vocabulary: int, kept: int, *, discount: float = 0.75) -> Bigram:
        """Count a text: absolute discounting, the ``kept`` most frequent successors of every token.

        Parameters
        ----------
        text : [n] int
        vocabulary, kept : int
        discount : float
            Taken from every count and left to the tokens that are not listed.

        Examples
        --------
        >>> model = Bigram.fitted([0, 1, 0, 1, 0], 3, 1)
        >>> bool(model.law(0)[1] > 0.5), round(float(model.law(0).sum()), 12)
        (True, 1.0)
        """
        text = np.asarray(text, dtype=np.int64)
        pairs, counts = np.unique(text[:-1] * vocabulary + text[1:], return_counts=True)
        first, second = divmod(pairs, vocabulary)
        frequency = np.bincount(text, minlength=vocabulary) + 0.5
        frequency = frequency / frequency.sum()
        totals = np.bincount(first, counts, minlength=vocabulary)
        order = np.lexsort((second, -counts, first))
        first, second, counts = first[order], second[order], counts[order]
        rank = np.arange(len(first)) - np.searchsorted(first, first)
        listed = rank < kept
        # rows with fewer successors are filled up with the most frequent other tokens at mass zero
        successors = np.stack([_filled_up(second[listed & (first == token)], frequency, kept)
                               for token in range(vocabulary)]) if vocabulary else np.zeros((0, kept), int)
        masses = np.zeros((vocabulary, kept))
        masses[first[listed], rank[listed]] = (counts[listed] - discount) / totals[first[listed]]
        return cls(successors, masses, frequency)

    def log(self, previous: Array, token: Array) -> np.ndarray:
        """Log-probability of ``token`` after ``previous``, both ``[*batch]`` int."""
        previous, token = np.broadcast_arrays(previous, token)
        listed = self.successors[previous] == token[..., None]
        own = np.where(listed, self.masses[previous], 0.0).sum(axis=-1)
        return np.log(np.where(listed.any(axis=-1) & (own > 0), own, self._share[previous] * self.frequency[token]))

    def lift(self, previous: Array, token: Array) -> np.ndarray:
        """By how much, in nats, ``token`` is likelier after ``previous`` than on its own."""
        return self.log(previous, token) - np.log(self.frequency[token])

    def law(self, previous: int) -> np.ndarray:
        """Law ``[V]`` of the token after ``previous``."""
        return np.exp(self.log(np.asarray(previous), np.arange(len(self.frequency))))

    @cached_property
    def _share(self) -> np.ndarray:
        """Mass left over, per frequency of the tokens outside the list, ``[V]``."""
        on_list = np.where(self.masses > 0, self.frequency[self.successors], 0.0).sum(axis=-1)
        return (1.0 - self.masses.sum(axis=-1)) / (1.0 - on_list)


def verified_prefix(drafted: Array, right: Array) -> np.ndarray:
    """Number of drafted tokens before the first that differs from what the target writes.

    Parameters
    ----------
    drafted, right : [*batch L] int

    Returns
    -------
    [*batch] int

    Examples
    --------
    >>> verified_prefix([[1, 2, 3], [1, 9, 3]], [1, 2, 3])
    array([3, 1])
    """
    drafted, right = np.asarray(drafted), np.asarray(right)
    if drafted.ndim == 0 or right.ndim == 0 or drafted.shape[-1] != right.shape[-1]:
        raise ShapeMismatch(f"drafted {drafted.shape} and right {right.shape} are blocks of different length. "
                            f"Fix: both [*batch L].")
    return _run(drafted == right)


def _run(correct: np.ndarray) -> np.ndarray:
    return np.cumprod(correct, axis=-1).sum(axis=-1)


def _filled_up(found: np.ndarray, frequency: np.ndarray, kept: int) -> np.ndarray:
    others = np.argsort(-frequency, kind="stable")
    return np.concatenate([found, others[~np.isin(others, found)]])[:kept]
