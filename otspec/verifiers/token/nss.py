"""Draw the token from the target without looking at the drafts; it is accepted if it happens to be one.

The floor of every comparison: lossless under any scheme, and not optimal even for one draft. Its acceptance is
``sum_y target_y Pr[y is a draft]``. Known as naive speculative sampling. [specinfer]
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.drafters import Independent
from otspec.core.schemes import Hybrid, WithReplacement, same_sets
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.second_draw import inclusion

Array = Any


class TargetDraw(TokenVerifier):
    """Emit a draw from the target.

    Examples
    --------
    >>> float(TargetDraw(2).acceptance([1.0, 0.0], [0.5, 0.5]))
    0.75
    """

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        return target

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """``sum_y target_y Pr[y is a draft]``, ``[*batch]``.

        None where more than two drafts are sampled without replacement, and for `Joint`.
        """
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        drafted = self._drafted(draft)
        return None if drafted is None else xp.sum(target * drafted, axis=-1)

    def _drafted(self, draft: Array) -> Array | None:
        xp = array_namespace(draft)
        if isinstance(self.scheme, WithReplacement):
            return 1 - (1 - draft) ** self.scheme.num_drafts
        if isinstance(self.scheme, Independent):
            return 1 - xp.prod(1 - draft, axis=-2)
        scheme = same_sets(self.scheme)
        if not isinstance(scheme, Hybrid) or scheme.num_sampled > 2:
            return None
        top, rest = scheme.split(draft)
        sampled = rest if scheme.num_sampled == 1 else inclusion(rest)
        return xp.where(top, xp.ones_like(draft), sampled)
