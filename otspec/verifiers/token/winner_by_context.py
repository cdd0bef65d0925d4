"""Rules that find a winner law for each context, play it exactly, and put the winner to rejection.

A subclass finds, for one context, a *winner*: a randomised choice among the drafts together with the exact law L of the
token it picks. Accept that token with probability ``min(1, target / L)``, else draw from ``(target - L)+``: because L
is the choice's own law, the emitted token has exactly the target law, however good the choice is. [leviathan2023]
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace

from otspec.core.host import to_host
from otspec.core.laws import draw, normalized_or, positive_part
from otspec.verifiers.token.by_context import SolvedByContext
from otspec.verifiers.token.rejection import winner_kept

Array = Any


class Winner(Protocol):
    """A choice among the drafts of one context, with the law of the token it picks."""

    @property
    def law(self) -> np.ndarray:
        """Law ``[V]`` of the token picked."""

    def conditional(self, lists: np.ndarray) -> np.ndarray:
        """Probability ``[n k]`` that each draft of a list ``[n k]`` is picked."""

    def pick(self, lists: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
        """Slot ``[n]`` of the draft that the uniform ``[n]`` picks from each list ``[n k]``."""


class Plan(NamedTuple):
    """A winner for one context, and what its rejection needs."""

    target: np.ndarray  # [V]
    residual: np.ndarray  # [V], law of the token emitted when the winner is refused
    winner: Winner


class WinnerByContext(SolvedByContext):
    """Base of such rules: a subclass writes `_find`."""

    # a plan of a few hundred orders, or a dozen laminar plans, of 2048 tokens fills some megabytes
    kept: ClassVar[int] = 32

    @abstractmethod
    def _find(self, target: np.ndarray, draft: np.ndarray) -> Winner:
        """Winner for a context of normalised float64 laws, ``[V]`` and the scheme's draft argument."""

    @property
    def num_uniforms(self) -> int:
        """Three: the choice of the winner, its acceptance, the residual."""
        return 3

    def _solve(self, target: np.ndarray, draft: np.ndarray, count: int) -> Plan:
        winner = self._find(target, draft)
        return Plan(target, normalized_or(positive_part(target - winner.law), target), winner)

    def _play(self, solution: Plan, target: np.ndarray, lists: np.ndarray) -> np.ndarray:
        odds = solution.winner.conditional(lists) * _kept(solution, lists)
        out = np.maximum(1.0 - odds.sum(axis=-1, keepdims=True), 0.0) * solution.residual
        np.add.at(out, (np.arange(len(lists))[:, None], lists), odds)
        return out

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        xp = array_namespace(target, draft, tokens, uniforms)
        coins = to_host(uniforms, np.float64).reshape(-1, self.num_uniforms)
        out = np.empty(len(coins), dtype=np.int64)
        for context in self._contexts(target, draft, tokens):
            out[context.rows] = _draw_rows(context.solution, context.lists, coins[context.rows])
        return xp.asarray(out.reshape(tuple(tokens.shape[:-1])))


def _kept(plan: Plan, token: np.ndarray) -> np.ndarray:
    """Probability of accepting each winner; one that never wins may be accepted always."""
    return winner_kept(plan.target[token], plan.winner.law[token])


def _draw_rows(plan: Plan, tokens: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    slot = plan.winner.pick(tokens, uniforms[:, 0])
    winner = np.take_along_axis(tokens, slot[:, None], axis=-1)[:, 0]
    refused = np.flatnonzero(uniforms[:, 1] >= _kept(plan, winner))
    emitted = winner.astype(np.int64)
    emitted[refused] = draw(plan.residual, uniforms[refused, 2])
    return emitted
