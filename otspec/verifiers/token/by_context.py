"""Rules that must solve a problem before they can verify: one solution for each context, shared by its draft lists.

A batch is cut into groups of rows with equal laws and equally many drafts present; each group is solved once, and the
last solution is remembered. The work is done in NumPy, in float64, whatever the caller's array library.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.errors import BadArgument
from otspec.core.verifier import TokenVerifier

Array = Any


class SolvedByContext(TokenVerifier):
    """Base of such rules: a subclass writes `_solve` and `_play`."""

    _remembered: tuple[Any, Any] | None = None

    @abstractmethod
    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> Any:
        """Solution of one context ``[V]`` with ``count`` drafts present; ``[k V]`` for different drafters."""

    @abstractmethod
    def _play(self, solution: Any, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        """Law of the emitted token ``[n V]`` for lists ``[n count]`` of that context."""

    def solve(self, target: Array, draft: Array) -> Any:
        """Solution of one context, with every draft present.

        Parameters
        ----------
        target : [V]
        draft : [V]
            ``[k V]`` for `Independent`.
        """
        absent = np.full(self.scheme.num_drafts, -1)  # the laws alone are checked
        target, draft, _ = self._checked(np.asarray(target), np.asarray(draft), absent)
        return self._solution(target.astype(np.float64), draft.astype(np.float64), self.scheme.num_drafts)

    def _solution(self, target: np.ndarray, draft: np.ndarray, count: int) -> Any:
        key = count, target.tobytes(), draft.tobytes()
        known = self._remembered  # read once: another thread may put its own context there
        if known is None or known[0] != key:
            known = self._remembered = key, self._solve(target, draft, count)
        return known[1]

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        if is_torch_array(target) and target.device.type != "cpu":
            raise BadArgument(f"target: on {target.device}, but {self!r} solves on the CPU. Fix: pass .cpu() tensors.")
        size = target.shape[-1]
        tail = draft.shape[target.ndim - 1:]
        p = np.asarray(target).astype(np.float64).reshape(-1, size)
        q = np.asarray(draft).astype(np.float64).reshape(-1, *tail)
        lists = np.asarray(tokens).reshape(-1, tokens.shape[-1])
        law = np.array(p)
        for (count, *_), rows in _groups(p, q, lists).items():
            if count:
                one = p[rows[0]], q[rows[0]]
                law[rows] = self._play(self._solution(*one, count), one[0], lists[rows, :count])
        return xp.astype(xp.asarray(law.reshape(target.shape)), target.dtype)


def _groups(target: np.ndarray, draft: np.ndarray, lists: np.ndarray) -> dict[Any, list[int]]:
    """Rows by number of drafts present and by laws."""
    groups: dict[Any, list[int]] = {}
    for row, count in enumerate((lists >= 0).sum(axis=-1).tolist()):
        groups.setdefault((count, target[row].tobytes(), draft[row].tobytes()), []).append(row)
    return groups
