"""Recursive rejection for i.i.d. drafts: each refusal replaces the target by its excess over the draft law.

With ``r_1 = target`` and ``r_{i+1} ∝ (r_i - draft)+``, draft ``i`` is kept with probability ``min(1, r_i / draft)``.
Theorem: lossless, with acceptance ``1 - prod_i (1 - sum min(r_i, draft))``; a refused token has no mass in any later
excess, so the last draw never adds to it. [specinfer]
"""

from __future__ import annotations

from typing import Any, ClassVar

from array_api_compat import array_namespace

from otspec.core.laws import at, one_hot
from otspec.core.schemes import WithReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import excess_law, keep_probability

Array = Any


class Recursive(TokenVerifier):
    """Recursive rejection sampling of drafts drawn with replacement.

    Examples
    --------
    >>> float(Recursive(2).acceptance([1.0, 0.0], [0.5, 0.5]))
    0.75
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        law, survive, goal = xp.zeros_like(target), xp.ones_like(target[..., :1]), target
        for i in range(tokens.shape[-1]):
            slot = tokens[..., i : i + 1]
            keep = keep_probability(at(goal, slot), at(draft, slot))
            law = law + survive * keep * one_hot(tokens[..., i], law.shape[-1], law.dtype)
            survive = survive * (1 - keep)
            goal = xp.where(slot >= 0, excess_law(goal, draft), goal)
        return law + survive * goal

    def acceptance(self, target: Array, draft: Array) -> Array:
        """``1 - prod_i (1 - sum min(r_i, draft))``, ``[*batch]``."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        goal, refused = target, 1.0
        for _ in range(self.scheme.num_drafts):
            refused = refused * (1 - xp.sum(xp.minimum(goal, draft), axis=-1))
            goal = excess_law(goal, draft)
        return 1 - refused
