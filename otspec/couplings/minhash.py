"""Weighted MinHash: shared darts on tokens times (0, 1). [coupling].

Dart number n has a uniform token and a uniform height; a party takes the token of its first dart with height at most
the law's mass there. Given laws p (target) and q (draft), the first dart that either party takes lies below
``max(p, q)``, and below ``min(p, q)`` both take it, which gives ``sum min / sum max = (1 - TV) / (1 + TV)`` for the
*same dart*. The *same token* is likelier: the party that refused that dart may take the token later on, and its
later choice is independent of the past.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_compat import is_numpy_namespace

from otspec.core.checks import as_law
from otspec.core.coupling import Coupling
from otspec.core.laws import at, namespace, positive_part, total
from otspec.core.noise import Noise

Array = Any
# entries of one chunk of darts: 32 MB of float64
CHUNK = 2**22


class MinHash(Coupling):
    """Token of the first shared dart that falls below the law; V darts are expected. [coupling]."""

    def _select(self, law: Array, noise: Noise) -> Array:
        return _throw(law, noise)[1]

    def first_dart(self, law: Array, noise: Noise) -> Array:
        """Index ``[*batch]`` of the first dart that falls below ``law`` ``[*batch V]``.

        Two parties take the same dart with probability ``(1 - TV) / (1 + TV)``.
        """
        law = as_law("law", law)
        return _throw(law, noise.like(law))[0]

    def _agreed(self, target: Array, draft: Array) -> Array:
        xp = namespace(target)
        later = positive_part(target - draft) * draft + positive_part(draft - target) * target
        return (xp.minimum(target, draft) + later) / total(xp.maximum(target, draft))[..., None]

    def _joint(self, target: Array, draft: Array) -> Array:
        xp = namespace(target)
        size = target.shape[-1]
        only_target, only_draft = positive_part(target - draft), positive_part(draft - target)
        first = xp.eye(size, dtype=xp.float64, device=target.device) * xp.minimum(target, draft)[..., None, :]
        later = only_target[..., :, None] * draft[..., None, :] + target[..., :, None] * only_draft[..., None, :]
        return (first + later) / total(xp.maximum(target, draft))[..., None, None]


def _throw(law: Array, noise: Noise) -> tuple[Array, Array]:
    """Index and token ``[*batch]`` of the first dart below the law; the chunking does not show in the result."""
    xp = namespace(law)
    if is_numpy_namespace(xp):
        from otspec.couplings.compiled import first_darts

        return first_darts(law, noise)
    size, batch = law.shape[-1], np.broadcast_shapes(tuple(law.shape[:-1]), noise.batch)
    law = xp.broadcast_to(law, (*batch, size))
    # a row needs V darts on average, and the slowest of a batch a few times that
    chunk = max(16, min(size, CHUNK // max(1, math.prod(batch))))
    index = xp.full(batch, -1, dtype=xp.int64, device=law.device)
    chosen = index
    start = 0
    while bool(xp.any(index < 0)):
        token, height = noise.darts(xp.arange(start, start + chunk, dtype=xp.int64, device=law.device), size)
        token = xp.broadcast_to(token, (*batch, chunk))
        hit = height <= at(law, token)
        first = xp.argmax(xp.astype(hit, xp.int64), axis=-1)[..., None]
        new = (index < 0) & xp.any(hit, axis=-1)
        index = xp.where(new, start + xp.astype(first[..., 0], xp.int64), index)
        chosen = xp.where(new, xp.take_along_axis(token, first, axis=-1)[..., 0], chosen)
        start += chunk
    return index, chosen
