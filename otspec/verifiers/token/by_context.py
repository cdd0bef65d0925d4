"""Rules that must solve a problem before they can verify: one solution for each context, shared by its draft lists.

A batch is cut into groups of rows with equal laws and equally many drafts present; each group is solved once, and the
latest solutions are kept. The work is done in NumPy, in float64, whatever the caller's array library.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import check_no_grad
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument
from otspec.core.host import check_host, to_host
from otspec.core.schemes import DraftScheme
from otspec.core.verifier import TokenVerifier, checked_pair

Array = Any


class Context(NamedTuple):
    """Rows of a batch that share a problem: their numbers, target ``[V]``, drafts present ``[n count]``, solution."""

    rows: list[int]
    target: np.ndarray
    lists: np.ndarray
    solution: Any


class SolvedByContext(TokenVerifier):
    """Base of such rules: a subclass writes `_solve` and `_play`."""

    kept: ClassVar[int] = 1  # solutions

    def __init__(self, scheme: DraftScheme | int) -> None:
        super().__init__(scheme)
        self._counted = self.scheme.num_drafts  # last drafts of a list, which a solution is about
        self._solutions: OrderedDict[Any, Any] = OrderedDict()

    @abstractmethod
    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> Any:
        """Solution of one context of normalised float64 laws, ``[V]`` (``[k V]`` for different drafters)."""

    @abstractmethod
    def _play(self, solution: Any, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """Law of the emitted token ``[n V]`` for lists ``[n count]`` of that context."""

    def solve(self, target: Array, draft: Array) -> Any:
        """Solution of one context, with every draft present.

        Parameters
        ----------
        target : [V]
        draft : [V]
            ``[k V]`` for `Independent`; ignored for `Joint`.
        """
        absent = np.full(self.scheme.num_drafts, -1)  # the laws alone are checked
        target, draft, _ = self._checked(to_host(target), None if draft is None else to_host(draft), absent)
        return self._solution(self._key(target, draft, self._counted), _law(target), draft)

    def _key(self, target: np.ndarray, draft: np.ndarray, count: int) -> tuple[int, bytes, bytes]:
        # a joint law ignores the draft argument
        return count, target.tobytes(), b"" if isinstance(self.scheme, Joint) else draft.tobytes()

    def _solution(self, key: tuple[int, bytes, bytes], target: np.ndarray, draft: np.ndarray) -> Any:
        solution = self._solutions.pop(key, None)  # and put back as the latest
        if solution is None:
            solution = self._solve(target, _law(draft), key[0])
        self._solutions[key] = solution
        if len(self._solutions) > self.kept:
            with suppress(KeyError):  # another thread was quicker
                self._solutions.popitem(last=False)
        return solution

    def _contexts(self, target: Array, draft: Array, tokens: Array) -> Iterator[Context]:
        """The contexts of a batch, each with the rows that have a draft at all."""
        for name, array in (("target", target), ("draft", draft), ("tokens", tokens)):
            check_host(name, array, self)
        check_no_grad(target=target, draft=draft)
        target, draft, lists = to_host(target), to_host(draft), self._lists(to_host(tokens))
        present = lists >= 0
        groups: dict[Any, tuple[list[int], tuple[Any, ...]]] = {}
        last, key = None, (0, b"", b"")
        for number, (index, count) in enumerate(zip(np.ndindex(target.shape[:-1]), present.sum(axis=-1), strict=True)):
            problem = target[index], draft[index], int(count)
            # neighbours mostly share their context, and comparing is ten times cheaper than hashing
            if last is None or not all(map(np.array_equal, problem, last)):
                last, key = problem, self._key(*problem)
            groups.setdefault(key, ([], problem))[0].append(number)
        for key, (rows, (law, proposal, count)) in groups.items():
            if count:
                goal, drafts = _law(law), lists[rows][present[rows]].reshape(len(rows), count)
                yield Context(rows, goal, drafts, self._solution(key, goal, proposal))

    def _of_contexts(self, target: Array, draft: Array, value: Callable[[Any, np.ndarray], float]) -> Array:
        """``value(solution, target)`` of every context of a batch, with every draft present, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp, batch = array_namespace(target), tuple(target.shape[:-1])
        values = np.empty(math.prod(batch))
        for context in self._contexts(target, draft, np.zeros((*batch, self._counted), dtype=np.int64)):
            values[context.rows] = value(context.solution, context.target)
        return xp.astype(xp.asarray(values.reshape(batch)), target.dtype)

    def _lists(self, tokens: np.ndarray) -> np.ndarray:
        """Lists ``[n k]`` of the drafts that the solution is about."""
        lists = tokens.reshape(-1, tokens.shape[-1])[:, -self._counted:]
        if isinstance(self.scheme, (Independent, Joint)) and (lists < 0).any():
            row, slot = np.argwhere(lists < 0)[0].tolist()
            raise BadArgument(f"tokens: draft {slot} of list {row} is absent (-1), which {self.scheme} never draws. "
                              f"Fix: give the token of every drafter.")
        return lists

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        contexts = list(self._contexts(target, draft, tokens))
        law = np.array(to_host(target), dtype=np.float64).reshape(-1, target.shape[-1])
        for context in contexts:
            law[context.rows] = self._play(context.solution, context.target, context.lists)
        return xp.astype(xp.asarray(law.reshape(tuple(target.shape))), target.dtype)


def _law(given: np.ndarray) -> np.ndarray:
    """In float64, with a sum of one to its rounding."""
    law = given.astype(np.float64)
    return law / law.sum(axis=-1, keepdims=True)
