r"""The optimal rule for different drafters and for any joint law of the drafts: a mixture of priority orders.

Definitions. A *priority order* lists all tokens; its rule lets the last drafted token in the order win. Q(H) is the
probability that every draft lies in H, and L is the winner's law under a random order drawn from the mixture.

Theorem used: the law of one order is the increments of Q along it, an extreme point of the winner laws, so every winner
law is such a mixture, the optimal one included (`otspec.transport.minimum_norm` finds it). Accept the winner with
probability ``min(1, target / L)``, else draw from ``(target - L)+``: because L is the mixture's own law, the emitted
token has exactly the target law, however far the search for the best mixture went.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument
from otspec.core.laws import draw, normalized_or, positive_part
from otspec.core.schemes import DraftScheme
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.transport.capacities import capacity_along
from otspec.transport.minimum_norm import minimum_norm_law

Array = Any
KEPT = 64  # contexts: a plan of a few hundred orders of a few thousand tokens fills a megabyte
SMALL = 64  # tokens: the search ends after so few orders that it may as well run to rounding
WIDTH = {True: 1e-13, False: 1e-10}  # by small vocabulary: rounding of the sums; a tenth of the certified gap


class Plan(NamedTuple):
    """A mixture of priority orders for one context."""

    target: np.ndarray  # [V]
    law: np.ndarray  # [V] of the winner
    residual: np.ndarray  # [V] of the token emitted when the winner is refused
    rank: np.ndarray  # [m V] place of each token in each order
    weights: np.ndarray  # [m]
    acceptance: float


class PriorityMixture(TokenVerifier):
    """Draw a priority order, let its last drafted token win, then reject it against the winner's law."""

    schemes: ClassVar[tuple[type, ...]] = (Independent, Joint)
    scheme: Any

    def __init__(self, scheme: DraftScheme | int) -> None:
        super().__init__(scheme)
        self._plans: OrderedDict[bytes, Plan] = OrderedDict()

    @property
    def num_uniforms(self) -> int:
        """Three: the order, the acceptance, the residual."""
        return 3

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Acceptance of the plan, ``[*batch]``: the lower end of the certified interval around the optimum."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target)
        batch = np.broadcast_shapes(tuple(target.shape[:-1]), tuple(draft.shape[: draft.ndim - self._axes]))
        values = np.empty(int(np.prod(batch)))
        for rows, plan in self._groups(target, draft, batch):
            values[rows] = plan.acceptance
        return xp.asarray(values.reshape(batch))

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        lists = self._lists(tokens)
        out = np.empty((len(lists), target.shape[-1]))
        for rows, plan in self._groups(target, draft, tuple(tokens.shape[:-1])):
            out[rows] = _conditional_rows(plan, lists[rows])
        return xp.astype(xp.asarray(out.reshape(tuple(target.shape))), target.dtype)

    def _draw(self, target: Array, draft: Array, tokens: Array, uniforms: Array) -> Array:
        xp = array_namespace(target, draft, tokens, uniforms)
        lists = self._lists(tokens)
        coins = _on_host(uniforms).reshape(-1, self.num_uniforms).astype(np.float64)
        out = np.empty(len(lists), dtype=np.int64)
        for rows, plan in self._groups(target, draft, tuple(tokens.shape[:-1])):
            out[rows] = _draw_rows(plan, lists[rows], coins[rows])
        return xp.asarray(out.reshape(tuple(tokens.shape[:-1])))

    @property
    def _axes(self) -> int:
        """Axes of the draft argument that belong to one context."""
        return 1 + self.scheme.draft_axes

    def _lists(self, tokens: Array) -> np.ndarray:
        lists = _on_host(tokens).reshape(-1, self.scheme.num_drafts)
        if (lists < 0).any():
            row, slot = np.argwhere(lists < 0)[0].tolist()
            raise BadArgument(f"tokens: draft {slot} of list {row} is absent (-1), which {self.scheme} never draws. "
                              f"Fix: give the token of every drafter.")
        return lists

    def _groups(self, target: Array, draft: Array, batch: tuple[int, ...]) -> list[tuple[list[int], Plan]]:
        """Row numbers of each distinct context with its plan."""
        target, draft = _on_host(target), _on_host(draft)
        target = np.broadcast_to(target, (*batch, target.shape[-1]))
        draft = np.broadcast_to(draft, (*batch, *draft.shape[draft.ndim - self._axes:]))
        groups: dict[bytes, tuple[list[int], tuple[np.ndarray, np.ndarray]]] = {}
        last, key = None, b""
        for number, index in enumerate(np.ndindex(batch)):
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
        if key not in self._plans:
            self._plans[key] = _prepare(target, draft, self.scheme)
            if len(self._plans) > KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(key)
        return self._plans[key]


def _on_host(array: Array) -> np.ndarray:
    if is_torch_array(array) and array.device.type != "cpu":
        raise BadArgument(f"an argument is on {array.device}, and priority orders are searched on the CPU. "
                          f"Fix: pass .cpu() tensors.")
    return np.asarray(array)


def _prepare(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> Plan:
    target, draft = target.astype(np.float64), draft.astype(np.float64)
    target = target / target.sum()
    draft = draft / draft.sum(axis=-1, keepdims=True)
    found = minimum_norm_law(target, capacity_along(scheme, draft), tol=WIDTH[target.size <= SMALL])
    rank = np.empty(found.orders.shape, dtype=np.int32)
    np.put_along_axis(rank, found.orders, np.arange(target.size, dtype=np.int32)[None], axis=1)
    rest = normalized_or(positive_part(target - found.law), target)
    return Plan(target, found.law, rest, rank, found.weights, found.value_lower)


def _kept(plan: Plan, winner: np.ndarray) -> np.ndarray:
    """Probability of accepting each winner; one that never wins may be accepted always."""
    law = plan.law[winner]
    return np.minimum(1.0, plan.target[winner] / np.where(law > 0, law, np.maximum(plan.target[winner], 1.0)))


def _conditional_rows(plan: Plan, tokens: np.ndarray) -> np.ndarray:
    """Law of the emitted token for each list ``[n k] -> [n V]``."""
    odds = np.zeros(tokens.shape)
    every = np.arange(len(tokens))
    for rank, weight in zip(plan.rank, plan.weights, strict=True):
        odds[every, rank[tokens].argmax(axis=-1)] += weight
    odds *= _kept(plan, tokens)
    out = np.maximum(1.0 - odds.sum(axis=-1, keepdims=True), 0.0) * plan.residual
    np.add.at(out, (every[:, None], tokens), odds)
    return out


def _draw_rows(plan: Plan, tokens: np.ndarray, uniforms: np.ndarray) -> np.ndarray:
    order = draw(plan.weights, uniforms[:, 0])
    slot = plan.rank[order[:, None], tokens].argmax(axis=-1)
    winner = np.take_along_axis(tokens, slot[:, None], axis=-1)[:, 0]
    refused = np.flatnonzero(uniforms[:, 1] >= _kept(plan, winner))
    emitted = winner.astype(np.int64)
    emitted[refused] = draw(plan.residual, uniforms[refused, 2])
    return emitted
