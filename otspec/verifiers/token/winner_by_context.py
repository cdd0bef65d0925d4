"""Rules that find a winner law for each context, play it exactly, and put the winner to rejection.

A subclass finds, for one context, a *winner*: a randomised choice among the drafts together with the exact law L of the
token it picks. Accept that token with probability ``min(1, target / L)``, else draw from ``(target - L)+``: because L
is the choice's own law, the emitted token has exactly the target law, however good the choice is. [leviathan2023]

The work is done in NumPy, in float64; the plans of recent contexts are kept.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from typing import Any, NamedTuple, Protocol

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.drafters import Joint
from otspec.core.errors import BadArgument
from otspec.core.laws import draw, normalized_or, positive_part
from otspec.core.schemes import DraftScheme
from otspec.core.verifier import TokenVerifier
from otspec.verifiers.token.rejection import winner_kept

Array = Any
KEPT = 32  # contexts: a plan of a few hundred orders, or a dozen laminar plans, of 2048 tokens fills some megabytes


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


class WinnerByContext(TokenVerifier):
    """Base of such rules: a subclass writes `_find`."""

    scheme: Any

    def __init__(self, scheme: DraftScheme | int) -> None:
        super().__init__(scheme)
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    @abstractmethod
    def _find(self, target: np.ndarray, draft: np.ndarray) -> Winner:
        """Winner for a context of normalised float64 laws, ``[V]`` and the scheme's draft argument."""

    @property
    def num_uniforms(self) -> int:
        """Three: the choice of the winner, its acceptance, the residual."""
        return 3

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        lists = self._lists(tokens)
        out = np.empty((len(lists), target.shape[-1]))
        for rows, plan in self._groups(target, draft):
            out[rows] = _conditional_rows(plan, lists[rows])
        return xp.astype(xp.asarray(out.reshape(tuple(target.shape))), target.dtype)

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        xp = array_namespace(target, draft, tokens, uniforms)
        lists = self._lists(tokens)
        coins = _on_host(uniforms).reshape(-1, self.num_uniforms).astype(np.float64)
        out = np.empty(len(lists), dtype=np.int64)
        for rows, plan in self._groups(target, draft):
            out[rows] = _draw_rows(plan, lists[rows], coins[rows])
        return xp.asarray(out.reshape(tuple(tokens.shape[:-1])))

    def _lists(self, tokens: Array) -> np.ndarray:
        lists = _on_host(tokens).reshape(-1, self.scheme.num_drafts)
        if (lists < 0).any():
            row, slot = np.argwhere(lists < 0)[0].tolist()
            raise BadArgument(f"tokens: draft {slot} of list {row} is absent (-1), which {self.scheme} never draws. "
                              f"Fix: give the token of every drafter.")
        return lists

    def _groups(self, target: Array, draft: Array) -> list[tuple[list[int], Plan]]:
        """Row numbers of each distinct context with its plan."""
        target, draft = _on_host(target), _on_host(draft)
        groups: dict[bytes, tuple[list[int], tuple[np.ndarray, np.ndarray]]] = {}
        last, key = None, b""
        for number, index in enumerate(np.ndindex(target.shape[:-1])):
            pair = target[index], draft[index]
            # neighbours mostly share their context, and comparing is ten times cheaper than hashing
            if last is None or not all(map(np.array_equal, pair, last)):
                last, key = pair, self._key(*pair)
            groups.setdefault(key, ([], pair))[0].append(number)
        return [(rows, self._plan(*pair)) for rows, pair in groups.values()]

    def _key(self, target: np.ndarray, draft: np.ndarray) -> bytes:
        # a joint law ignores the draft argument
        return target.tobytes() + (b"" if isinstance(self.scheme, Joint) else draft.tobytes())

    def _plan(self, target: np.ndarray, draft: np.ndarray) -> Plan:
        key = self._key(target, draft)
        plan = self._plans.pop(key, None)  # and put back as the latest
        if plan is None:
            plan = self._prepare(target.astype(np.float64), draft.astype(np.float64))
        self._plans[key] = plan
        if len(self._plans) > KEPT:
            self._plans.popitem(last=False)
        return plan

    def _prepare(self, target: np.ndarray, draft: np.ndarray) -> Plan:
        target = target / target.sum()
        winner = self._find(target, draft / draft.sum(axis=-1, keepdims=True))
        return Plan(target, normalized_or(positive_part(target - winner.law), target), winner)


def _on_host(array: Array) -> np.ndarray:
    if is_torch_array(array) and array.device.type != "cpu":
        raise BadArgument(f"an argument is on {array.device}, and the winner is searched on the CPU. "
                          f"Fix: pass .cpu() tensors.")
    return np.asarray(array)


def _kept(plan: Plan, token: np.ndarray) -> np.ndarray:
    """Probability of accepting each winner; one that never wins may be accepted always."""
    return winner_kept(plan.target[token], plan.winner.law[token])


def _conditional_rows(plan: Plan, tokens: np.ndarray) -> np.ndarray:
    """Law of the emitted token for each list ``[n k] -> [n V]``."""
    odds = plan.winner.conditional(tokens) * _kept(plan, tokens)
    out = np.maximum(1.0 - odds.sum(axis=-1, keepdims=True), 0.0) * plan.residual
    np.add.at(out, (np.arange(len(tokens))[:, None], tokens), odds)
    return out


def _draw_rows(plan: Plan, tokens: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    slot = plan.winner.pick(tokens, uniforms[:, 0])
    winner = np.take_along_axis(tokens, slot[:, None], axis=-1)[:, 0]
    refused = np.flatnonzero(uniforms[:, 1] >= _kept(plan, winner))
    emitted = winner.astype(np.int64)
    emitted[refused] = draw(plan.residual, uniforms[refused, 2])
    return emitted
