"""The maximal coupling: the ceiling of every pair of tokens with two given laws. [leviathan2023].

The drafter draws ``x``; it is kept with probability ``min(1, target(x) / draft(x))``, and otherwise the target's token
is drawn from ``(target - draft)+``, normalised. This is ordinary speculative decoding with one draft, and its agreement
is ``1 - TV``. Whoever decides about x must know both masses of x, and both laws after a refusal.
"""

from __future__ import annotations

from typing import Any

from otspec.core.joint_coupling import Coupled, JointCoupling
from otspec.core.laws import at, draw, namespace, normalized_or, positive_part, total
from otspec.core.noise import Noise

Array = Any


class Maximal(JointCoupling):
    """Single-draft rejection, by one party who knows both laws. [leviathan2023]."""

    def _couple(self, target: Array, draft: Array, noise: Noise) -> Coupled:
        xp = namespace(target)
        coins = noise.coins(3)
        drafted = draw(draft, coins[..., 0])
        token = drafted[..., None]
        kept = coins[..., 1] * at(draft, token)[..., 0] < at(target, token)[..., 0]
        other = draw(normalized_or(positive_part(target - draft), target), coins[..., 2])
        return Coupled(xp.where(kept, drafted, other), drafted, None)

    def _agreed(self, target: Array, draft: Array) -> Array:
        return namespace(target).minimum(target, draft)

    def _joint(self, target: Array, draft: Array) -> Array:
        return spread(target, draft, self._agreed(target, draft), positive_part(target - draft))

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        shared = total(namespace(target).minimum(target, draft))
        return shared, shared


def spread(target: Array, draft: Array, kept: Array, retry: Array) -> Array:
    """Joint law ``[*batch V V]``: ``kept`` on the diagonal; what the drafter loses goes to ``retry``, normalised."""
    xp = namespace(target)
    identity = xp.eye(target.shape[-1], dtype=xp.float64, device=target.device)
    again = normalized_or(retry, xp.zeros_like(retry))
    return identity * kept[..., None, :] + again[..., :, None] * (draft - kept)[..., None, :]
