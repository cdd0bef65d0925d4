"""Verification of greedy drafts: single-draft rejection of the one random draft against the law it was drawn from.

With ``T`` the ``k - 1`` likeliest tokens and ``rest`` the draft law off ``T``, the emitted token is accepted when it
is the random draft or when it lands in ``T``. Theorem: acceptance ``target(T) + sum_{y not in T} min(target, rest)``
is the optimum for these drafts. [mdsd]
"""

from __future__ import annotations

from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.schemes import Greedy
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import rejection_law

Array = Any


class GreedyRejection(TokenVerifier):
    """Put the last, random draft to rejection.

    Examples
    --------
    >>> float(GreedyRejection(Greedy(2)).acceptance([1.0, 0.0], [0.5, 0.5]))
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (Greedy,)
    scheme: Greedy

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        _, rest = self.scheme.split(draft)
        return rejection_law(target, rest, tokens[..., -1])

    def acceptance(self, target: Array, draft: Array) -> Array:
        """``target(T)`` plus the overlap of target and rest, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        top, rest = self.scheme.split(draft)
        return xp.sum(xp.where(top, target, xp.minimum(target, rest)), axis=-1)
