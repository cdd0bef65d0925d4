r"""Constrained acceptance: lift the target's mass of the drafted token as far as a divergence allows, then reject.

Of all laws that give the draft x the mass g, the one nearest to the target in the Kullback-Leibler divergence keeps
the proportions of the other tokens, and its divergence is about :math:`(g - t)^2 / (2 t (1 - t))` with t the target's
mass of x. At ``delta`` this allows ``g = min(1, t + sqrt(2 delta t (1 - t)))``. The draft is kept with probability
``min(1, g / draft(x))``, else the token is drawn from the excess of that law over the draft law.

The law that is lifted depends on x, so the emitted token has none of those laws: the divergence of each is bounded,
the divergence of what is emitted is not by the same number. Its exact law takes two sorts: with
``s = (1 - g) / (1 - t)`` of each refused x, the excess is ``(s target - draft)+``. [cactus]

Theorem: the rule lies on the frontier of `otspec.lossy_rules.base`. Let ``c = (draft - g)+`` be the chance to draw and
refuse a token, C the sum of them. The excess of x has mass ``c(x) + sum over y != x of (draft - s target)+``, and a
refused y has ``draft - s target >= draft - g = c(y)``: so the mass is at least C, and refusals add to a token at
most ``sum c (target - draft)+ / C = (target - draft)+``. The emitted law thus lies between target and draft token by
token, so its distances to both add up to theirs, and the rule accepts all that it shares with the draft law.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import check_no_grad, check_number
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.laws import at, normalized_or, one_hot, positive_part
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.verifier import checked_pair
from otspec.lossy_rules.base import LossyRule
from otspec.verifiers.token.rejection import keep_probability

Array = Any


class Cactus(LossyRule):
    """Rejection of one draft against a target lifted at that draft.

    Parameters
    ----------
    scheme : WithReplacement or int
        One draft.
    delta : float
        Divergence, at least 0; 0 is lossless.

    Examples
    --------
    >>> rule = Cactus(1, delta=0.125)
    >>> float(rule.acceptance([0.5, 0.5], [1.0, 0.0])), float(rule.price([0.5, 0.5], [1.0, 0.0]))
    (0.75, 0.25)
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1, *, delta: float = 0.1) -> None:
        super().__init__(scheme)
        if self.scheme.num_drafts != 1:
            raise SchemeMismatch(f"Cactus is defined for one draft; got {self.scheme}. Fix: scheme=1.")
        self.delta = check_number("delta", delta, "a number of at least 0")
        if not 0 <= self.delta < float("inf"):
            raise BadArgument(f"delta: {delta!r} is no finite number of at least 0. Fix: 0.1, say.")

    def _lifted(self, mass: Array) -> Array:
        """Mass of a draft after lifting, elementwise."""
        xp = array_namespace(mass)
        lifted = mass + xp.sqrt(2 * self.delta * mass * positive_part(1 - mass))
        return xp.where(lifted < 1, lifted, xp.ones_like(lifted))

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        drafted = one_hot(tokens[..., 0], target.shape[-1], target.dtype)
        mass = at(target, tokens)
        lifted = self._lifted(mass)
        others = 1 - mass
        shrink = (1 - lifted) / xp.where(others > 0, others, xp.ones_like(others))
        law = xp.where(drafted > 0, lifted, shrink * target)
        keep = keep_probability(lifted, at(draft, tokens))
        emitted = keep * drafted + (1 - keep) * normalized_or(positive_part(law - draft), law)
        return xp.where(tokens >= 0, emitted, target)

    def acceptance(self, target: Array, draft: Array) -> Array:
        """``sum min(draft, lifted target)``, ``[*batch]``: a token drawn after a refusal is never the draft."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        return xp.sum(xp.minimum(draft, self._lifted(target)), axis=-1)

    def _output(self, target: Array, draft: Array) -> Array:
        xp = array_namespace(target, draft)
        check_no_grad(target=target, draft=draft)
        lifted = self._lifted(target)
        rows = [np.asarray(array, dtype=np.float64).reshape(-1, target.shape[-1]) for array in (target, draft, lifted)]
        out = np.stack([_emitted(*row) for row in zip(*rows, strict=True)]).reshape(tuple(target.shape))
        return xp.astype(xp.asarray(out), target.dtype)


def _emitted(target: np.ndarray, draft: np.ndarray, lifted: np.ndarray) -> np.ndarray:
    """Law ``[V]`` of the emitted token of one context."""
    refused = positive_part(draft - lifted)
    which = np.flatnonzero(refused)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = np.where(target > 0, draft / np.where(target > 0, target, 1.0), np.inf)
    shrink = (1 - lifted[which]) / np.maximum(1 - target[which], np.finfo(float).tiny)
    order = np.argsort(ratio)
    below = np.searchsorted(ratio[order], shrink)  # tokens with ratio < shrink, which have an excess
    sums = [np.append(0.0, np.cumsum(law[order])) for law in (target, draft)]
    excess = shrink * sums[0][below] - sums[1][below]
    weight = np.where(excess > 0, refused[which] / np.where(excess > 0, excess, 1.0), 0.0)
    rising = np.argsort(shrink)
    after = np.searchsorted(shrink[rising], ratio, side="right")  # refusals with shrink > ratio reach the token
    times_target, times_draft = (_tails(values[rising]) for values in (weight * shrink, weight))
    drawn = positive_part(target * times_target[after] - draft * times_draft[after])
    return np.minimum(draft, lifted) + drawn


def _tails(values: np.ndarray) -> np.ndarray:
    """Sums of the last values, from all of them to none: ``[n] -> [n+1]``."""
    return np.append(np.cumsum(values[::-1])[::-1], 0.0)
