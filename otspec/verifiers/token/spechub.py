"""SpecHub: two drafts that always include the likeliest token, the *hub*.

A list is ``(x, hub)`` with probability ``draft_x``, or ``(hub, x)`` with ``draft_hub draft_x / (1 - draft_hub)``. The
mass of each pair goes to ``x`` first, as far as the target asks for it, and what remains goes to the hub.
Theorem: every pair holds the hub, so the hub's target mass is always met; acceptance is
``target_hub + sum_{x != hub} min(target_x, draft_x / (1 - draft_hub))``, the optimum for these drafts. [spechub]
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from array_api_compat import array_namespace

from otspec.core.laws import at, descending_order, normalized_or, one_hot, positive_part
from otspec.core.schemes import DraftScheme, Hub, Hybrid
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import keep_probability

Array = Any


class Plan(NamedTuple):
    """Masses of the pairs and how much of them is emitted as ``x``; ``[*batch V]``, hubs ``[*batch 1]``."""

    hub: Array
    first: Array  # mass of (x, hub)
    behind: Array  # mass of (hub, x)
    asked: Array  # target mass of x
    missing: Array  # target mass of x that (x, hub) leaves open
    hub_first: Array  # chance that the hub is emitted from (x, hub) when x is not
    hub_behind: Array
    last: Array  # law of the token outside the pair


class SpecHub(TokenVerifier):
    """SpecHub's verification.

    Examples
    --------
    >>> float(SpecHub(Hub()).acceptance([0.5, 0.25, 0.25], [0.5, 0.25, 0.25]))
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (Hub,)

    def __init__(self, scheme: DraftScheme | None = None) -> None:
        super().__init__(Hub() if scheme is None else scheme)

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        plan = _plan(target, draft)
        leads = tokens[..., :1] == plan.hub
        x = xp.where(leads, tokens[..., 1:], tokens[..., :1])
        keep = xp.where(leads, keep_probability(at(plan.missing, x), at(plan.behind, x)),
                        keep_probability(at(plan.asked, x), at(plan.first, x)))
        keep_hub = xp.where(leads, plan.hub_behind, plan.hub_first)
        size, dtype = target.shape[-1], target.dtype
        held = one_hot(x[..., 0], size, dtype), one_hot(plan.hub[..., 0], size, dtype)
        return keep * held[0] + (1 - keep) * (keep_hub * held[1] + (1 - keep_hub) * plan.last)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """``target_hub`` plus the overlap of target and draft off the hub, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        top, rest = Hybrid(1, 2).split(draft)
        return xp.sum(xp.where(top, target, xp.minimum(target, rest)), axis=-1)


def _plan(target: Array, draft: Array) -> Plan:
    xp = array_namespace(target, draft)
    hub = xp.astype(descending_order(draft)[..., :1], xp.int64)
    is_hub = one_hot(hub[..., 0], draft.shape[-1], draft.dtype) > 0
    zero = xp.zeros_like(draft)
    first, asked = xp.where(is_hub, zero, draft), xp.where(is_hub, zero, target)
    hub_mass = at(draft, hub)
    behind = hub_mass * normalized_or(first, zero)
    missing = positive_part(asked - first)
    open_first = xp.sum(positive_part(first - asked), axis=-1, keepdims=True)
    # a hub without company is a list of its own: all of its mass is open
    alone = xp.where(xp.sum(first, axis=-1, keepdims=True) > 0, xp.zeros_like(hub_mass), hub_mass)
    open_behind = xp.sum(positive_part(behind - missing), axis=-1, keepdims=True) + alone
    hub_asked = at(target, hub)
    hub_left = positive_part(hub_asked - open_behind)
    return Plan(
        hub, first, behind, asked, missing,
        hub_first=keep_probability(hub_left, open_first),
        hub_behind=keep_probability(hub_asked, open_behind),
        last=normalized_or(positive_part(missing - behind), target),
    )
