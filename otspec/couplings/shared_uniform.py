"""One shared uniform, inverted by both parties: the baseline that everybody writes first. [coupling].

A party takes the token in whose interval of the cumulative sum the uniform falls. Both take j exactly when it falls
into both intervals, so every probability is the length of an overlap. Nothing is promised: the intervals depend on the
numbering of the tokens, and moving a little mass from the first token to the last moves all of them, which can bring
the agreement to 0 at a total variation as small as ``1 / V``.
"""

from __future__ import annotations

from typing import Any

from otspec.core.coupling import Coupling
from otspec.core.laws import cumulative_sum, draw, namespace, positive_part, total
from otspec.core.noise import Noise

Array = Any


class SharedUniform(Coupling):
    """Token at the shared quantile of the law, in the order of the vocabulary. [coupling]."""

    def _select(self, law: Array, noise: Noise) -> Array:
        return draw(law, noise.coins(1)[..., 0])

    def _agreed(self, target: Array, draft: Array) -> Array:
        xp = namespace(target)
        (low, high), (draft_low, draft_high) = _intervals(target), _intervals(draft)
        shared = positive_part(xp.minimum(high, draft_high) - xp.maximum(low, draft_low))
        # an interval is a difference of sums, and may be longer than the mass by a rounding
        return xp.minimum(shared, xp.minimum(target, draft))

    def _joint(self, target: Array, draft: Array) -> Array:
        xp = namespace(target)
        (low, high), (draft_low, draft_high) = _intervals(target), _intervals(draft)
        ends = xp.minimum(high[..., :, None], draft_high[..., None, :])
        return positive_part(ends - xp.maximum(low[..., :, None], draft_low[..., None, :]))

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        shared = total(namespace(target).minimum(target, draft))
        return 0.0 * shared, shared


def _intervals(law: Array) -> tuple[Array, Array]:
    """Both ends of the interval of every token, the last at one."""
    xp = namespace(law)
    high = cumulative_sum(law)
    high = high / high[..., -1:]
    return xp.concat([xp.zeros_like(high[..., :1]), high[..., :-1]], axis=-1), high
