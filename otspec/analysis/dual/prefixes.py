"""Prefixes below one context with the laws after them, read once each: what sampling the bound asks of two models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from otspec.core.markov import MarkovModel


class Prefixes(ABC):
    """Numbered prefixes; 0 is the context itself. A subclass writes `_read`.

    Parameters
    ----------
    target, draft : [V]
        Laws after the context.
    """

    def __init__(self, target: np.ndarray, draft: np.ndarray) -> None:
        self._target, self._draft = [target], [draft]
        self._known: dict[tuple[int, int], int] = {}
        self.size = target.shape[-1]

    @abstractmethod
    def _read(self, parents: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Laws ``[n V]`` of both models after new prefixes, which get the next numbers in this order."""

    def __len__(self) -> int:
        return len(self._target)

    def visit(self, parents: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """Numbers ``[n]`` of the prefixes that extend ``parents [n]`` by ``tokens [n]``; unknown ones are read."""
        keys = list(zip(parents.tolist(), tokens.tolist(), strict=True))
        fresh = [key for key in dict.fromkeys(keys) if key not in self._known]
        if fresh:
            target, draft = self._read(*np.array(fresh, dtype=np.int64).T)
            self._known.update(zip(fresh, range(len(self), len(self) + len(fresh)), strict=True))
            self._target += list(target)
            self._draft += list(draft)
        return np.array([self._known[key] for key in keys], dtype=np.int64)

    def laws(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Laws ``[V]`` of target and draft after a prefix."""
        return self._target[number], self._draft[number]


class MarkovPrefixes(Prefixes):
    """Prefixes of two Markov models after one context (a list of tokens)."""

    def __init__(self, target: MarkovModel, draft: MarkovModel, context: list[int]) -> None:
        self._models, self._order = (target, draft), max(target.order, draft.order)
        self._texts = [list(context)[-self._order :]]  # what the next laws depend on
        super().__init__(*(model.next_law(context) for model in self._models))

    def _read(self, parents: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        new = [[*self._texts[parent], token][-self._order :] for parent, token in zip(parents, tokens, strict=True)]
        self._texts += new
        target, draft = (model.next_law(np.array(new)) for model in self._models)
        return target, draft


class Drawn(NamedTuple):
    """Drafted paths: number of the prefix before each token, and target/draft of the token, ``[n L]`` each."""

    before: np.ndarray
    ratios: np.ndarray

    def part(self, chosen: slice, length: int) -> Drawn:
        """Some of the paths, cut to their first tokens: again draws."""
        return Drawn(self.before[chosen, :length], self.ratios[chosen, :length])


def draw_paths(prefixes: Prefixes, uniforms: np.ndarray) -> Drawn:
    """Draw a path for every row of ``uniforms [n L]`` from the draft model; the last tokens are not read."""
    count, length = uniforms.shape
    before, ratios = np.zeros((count, length), dtype=np.int64), np.empty((count, length))
    at = before[:, 0]
    for depth in range(length):
        before[:, depth] = at
        tokens = np.empty(count, dtype=np.int64)
        for number in np.unique(at):
            here = np.flatnonzero(at == number)
            target, draft = prefixes.laws(number)
            tokens[here] = pick(np.cumsum(draft, dtype=np.float64), uniforms[here, depth])
            ratios[here, depth] = target[tokens[here]] / draft[tokens[here]].astype(np.float64)
        if depth + 1 < length:
            at = prefixes.visit(at, tokens)
    return Drawn(before, ratios)


def pick(cumulative: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    """Tokens ``[n]`` by inversion of cumulative mass ``[V]``, of whatever total; none without mass is picked."""
    total = cumulative[-1]
    # a uniform times the total may round up to it
    return np.searchsorted(cumulative, np.minimum(uniforms * total, np.nextafter(total, 0)), side="right")
