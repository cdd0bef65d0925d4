"""Rules that keep the first draft on a list of tokens which the target alone decides, whatever its odds were.

With k i.i.d. drafts of which one is on the list with probability ``a``, the emitted token has law
``draft on the list * (1 + (1-a) + .. + (1-a)^(k-1)) + (1-a)^k * fallback``. Once all drafts are off the list they
miss a token y off the list with probability ``((1-a-draft(y)) / (1-a))^k``, which is what a fallback may hit.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.laws import at, one_hot, positive_part
from otspec.core.schemes import WithReplacement
from otspec.core.verifier import checked_pair
from otspec.lossy_rules.base import LossyRule

Array = Any


class Listed(LossyRule):
    """Base of such rules; a subclass writes `_listed` and `_fallback`."""

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    @abstractmethod
    def _listed(self, target: Array) -> Array:
        """Tokens that are kept when they are drafted, bool ``[*batch V]``."""

    @abstractmethod
    def _fallback(self, target: Array, listed: Array) -> Array:
        """Law ``[*batch V]`` of the token emitted when no draft is kept."""

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        listed = self._listed(target)
        out = self._fallback(target, listed)
        mass = xp.astype(listed, target.dtype)
        for slot in reversed(range(tokens.shape[-1])):  # the first draft on the list is written last
            token = tokens[..., slot]
            kept = at(mass, token[..., None]) > 0
            out = xp.where(kept, one_hot(token, target.shape[-1], target.dtype), out)
        return out

    def _output(self, target: Array, draft: Array) -> Array:
        xp = array_namespace(target, draft)
        listed = self._listed(target)
        kept, off = self._split(listed, draft)
        tries = sum(off**place for place in range(self.scheme.num_drafts))
        return kept * tries[..., None] + (off**self.scheme.num_drafts)[..., None] * xp.astype(
            self._fallback(target, listed), target.dtype)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """Chance that a draft is on the list, plus what the fallback hits, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        listed, k = self._listed(target), self.scheme.num_drafts
        kept, off = self._split(listed, draft)
        missed = positive_part(off[..., None] - (draft - kept)) ** k
        hit = xp.where(listed, xp.zeros_like(missed), off[..., None] ** k - missed)
        return 1 - off**k + xp.sum(self._fallback(target, listed) * hit, axis=-1)

    def _split(self, listed: Array, draft: Array) -> tuple[Array, Array]:
        """Draft masses on the list ``[*batch V]``, and the mass ``[*batch]`` off it."""
        xp = array_namespace(draft)
        kept = xp.where(listed, draft, xp.zeros_like(draft))
        return kept, positive_part(1 - xp.sum(kept, axis=-1))
