"""Recursive rejection for drafts without replacement: a refused token also leaves the draft law, renormalised.

With ``A(r, q, k)`` the acceptance of ``k`` draws from ``q`` against ``r``:
``A(r, q, k) = sum min(r, q) + sum_x (q_x - r_x)+ A(norm (r - q)+, q without x, k - 1)``. [sequoia]
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from array_api_compat import array_namespace, is_torch_array

from otspec.core.errors import TooLarge
from otspec.core.host import on_host
from otspec.core.laws import at, normalized_or, one_hot, positive_part
from otspec.core.schemes import WithoutReplacement
from otspec.core.verifier import TokenVerifier, checked_pair
from otspec.verifiers.token.rejection import excess_law, keep_probability
from otspec.verifiers.token.second_draw import split_peak

Array = Any
MAX_DRAFTS = 4  # whose acceptance is known at any vocabulary
CERTIFIED = 1e-9
MAX_PAIRS = {3: 1e10, 4: 1e8}  # of refused tokens: about half a minute; beyond, sampling is the better answer


class RecursiveWithoutReplacement(TokenVerifier):
    """Recursive rejection sampling of drafts drawn without replacement.

    Examples
    --------
    >>> float(RecursiveWithoutReplacement(WithoutReplacement(2)).acceptance([1.0, 0.0], [0.5, 0.5]))
    1.0
    """

    schemes: ClassVar[tuple[type, ...]] = (WithoutReplacement,)

    def _conditional(self, target: Array, draft: Array, tokens: Array) -> Array:
        xp = array_namespace(target, draft, tokens)
        law, survive, goal, left = xp.zeros_like(target), xp.ones_like(target[..., :1]), target, draft
        for i in range(tokens.shape[-1]):
            slot = tokens[..., i : i + 1]
            drafted = one_hot(tokens[..., i], law.shape[-1], law.dtype)
            keep = keep_probability(at(goal, slot), at(left, slot))
            law = law + survive * keep * drafted
            survive = survive * (1 - keep)
            goal = xp.where(slot >= 0, excess_law(goal, left), goal)
            left = xp.where(drafted > 0, xp.zeros_like(left), left)
            left = normalized_or(left, left)
        return law + survive * goal

    @property
    def acceptance_is_slow(self) -> bool:
        """From three drafts on it is a sum over pairs of tokens."""
        return self.scheme.num_drafts > 2

    def acceptance(self, target: Array, draft: Array) -> Array | None:
        """Exact for one and two drafts, ``[*batch]``, in O(V log V); to 1e-9 for three and four; else None."""
        target, draft = checked_pair(target, draft, self.scheme)
        xp = array_namespace(target, draft)
        if self.scheme.num_drafts <= 2:
            overlap = xp.sum(xp.minimum(target, draft), axis=-1)
            return overlap if self.scheme.num_drafts == 1 else overlap + _second_overlap(target, draft)
        on_device = is_torch_array(target) and not on_host(target)
        if self.scheme.num_drafts > MAX_DRAFTS or on_device or self._pairs(draft) > self._most_pairs:
            return None
        lower, upper = self.acceptance_bounds(target, draft)
        if float(np.max(upper - lower, initial=0.0)) > 2 * CERTIFIED:
            return None
        return xp.astype(xp.asarray((lower + upper) / 2), target.dtype)

    @property
    def _most_pairs(self) -> float:
        return MAX_PAIRS[self.scheme.num_drafts]

    def _pairs(self, draft: Array) -> float:
        """Pairs of refused tokens that the sum runs over, in all contexts."""
        return float((np.count_nonzero(np.asarray(draft), axis=-1).astype(np.float64) ** 2).sum())

    def acceptance_bounds(self, target: Array, draft: Array) -> tuple[np.ndarray, np.ndarray]:
        """Certified ends of the acceptance of up to four drafts, ``[*batch]`` each, in NumPy.

        Raises
        ------
        TooLarge
            More than four drafts.
        """
        from otspec.transport.without_replacement.residuals import refusal_bounds

        k = self.scheme.num_drafts
        target, draft = checked_pair(target, draft, self.scheme)
        if k > MAX_DRAFTS:
            terms = float(target.shape[-1]) ** (k - 1)
            raise TooLarge(f"acceptance_bounds of {self!r} is a sum of {terms:.2g} terms. "
                           f"Fix: sampled_acceptance, or at most {MAX_DRAFTS} drafts.", terms)
        rows = zip(*(np.asarray(law, dtype=np.float64).reshape(-1, law.shape[-1]) for law in (target, draft)),
                   strict=True)
        refused = np.array([refusal_bounds(one, other, k) for one, other in rows]).reshape(*target.shape[:-1], 2)
        return np.maximum(1.0 - refused[..., 1], 0.0), 1.0 - refused[..., 0]


def _second_overlap(target: Array, draft: Array) -> Array:
    """``sum_x (draft_x - target_x)+ sum_y min(excess_y, draft_y / (1 - draft_x))``, ``[*batch]``.

    A refused ``x`` has no excess, so ``y != x`` needs no care. The likeliest ``x`` is summed directly; for the others
    the factor ``1 / (1 - draft_x)`` lies in [1, 2].
    """
    xp = array_namespace(target, draft)
    excess, refused = excess_law(target, draft), positive_part(draft - target)
    peak, others, after_peak = split_peak(draft)
    zero = xp.zeros_like(refused)
    first = xp.sum(xp.where(peak, refused, zero), axis=-1) * xp.sum(xp.minimum(excess, after_peak), axis=-1)
    weight, factor = xp.where(peak, zero, refused), 1 / (1 - others)
    size = draft.shape[-1]
    rows = [xp.reshape(a, (-1, size)) for a in (excess, draft, weight, factor)]
    sums = [_weighted_overlaps(*(a[i, ...] for a in rows)) for i in range(rows[0].shape[0])]
    return first + (xp.reshape(xp.stack(sums), first.shape) if sums else xp.zeros_like(first))


def _weighted_overlaps(excess: Array, draft: Array, weight: Array, factor: Array) -> Array:
    """``sum_x weight_x sum_y min(excess_y, factor_x draft_y)`` of one row: piecewise linear in the factor."""
    xp = array_namespace(excess)
    near = excess < 4 * draft  # factors are at most 2: beyond a ratio of 4 the order no longer matters
    ratio = xp.where(near, excess / xp.where(near, draft, xp.ones_like(draft)), 4 * xp.ones_like(draft))
    order = xp.argsort(ratio, stable=False)
    none = xp.zeros_like(excess[:1])
    below = xp.concat([none, xp.cumulative_sum(xp.take(excess, order))])
    above = xp.concat([xp.flip(xp.cumulative_sum(xp.flip(xp.take(draft, order)))), none])
    place = xp.searchsorted(xp.take(ratio, order), factor)
    return xp.sum(weight * (xp.take(below, place) + factor * xp.take(above, place)))
