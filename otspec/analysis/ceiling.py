"""When k drafts are never all rejected, and how far from the drafter the target can then be.

Definitions. Sort the tokens by target/draft ascending; ``P_j`` and ``x_j`` are target and draft mass of the first j.
With k independent drafts, zero rejection means that some verifier always emits a draft. The *stop-loss* of a
non-negative variable Z at t is ``E (Z - t)+``; Z is dominated by Y in convex order iff their means agree and no
stop-loss of Z exceeds that of Y.

Theorem used: zero rejection is possible iff ``P_j >= x_j**k`` for every j [khisti], iff the law of target/draft under
the draft law is dominated in convex order by ``Y = k U**(k-1)``, U uniform on [0, 1]. (The stop-loss of target/draft is
``max_j (1 - P_j) - t (1 - x_j)``, and ``E (Y - t)+ = max_x (1 - x**k) - t (1 - x)``, so the smallest difference of the
two over t is ``min_j P_j - x_j**k``.) Convex order passes on to every convex function: with ``z log z`` it gives
``KL(target || draft) <= E Y log Y = log k - (k - 1)/k``, the divergence of best-of-k sampling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import as_law, as_laws
from otspec.core.errors import BadArgument
from otspec.core.laws import cumulative_sum, positive_part
from otspec.core.schemes import WithReplacement
from otspec.core.verifier import checked_pair
from otspec.limits.best_of import kl as kl
from otspec.limits.best_of import kl_ceiling as kl_ceiling

Array = Any
ROUNDING = 1e-12  # P and x**k are sums of up to V = 262,144 rounded terms; a true margin of 0 comes out within this
BLOCK = 2**22  # entries of one table thresholds x tokens: 32 MB of float64


@dataclass(frozen=True)
class ZeroRejection:
    """Whether k independent drafts can always contain the target token.

    Attributes
    ----------
    possible : [*batch] bool
        ``margin >= -1e-12``, the rounding of the two sums.
    margin : [*batch] float64
        Smallest ``target(H) - draft(H)**k`` over the proper prefixes H; 0 where no proper prefix has mass. A negative
        margin is the smallest over all token sets, and then the optimal acceptance is ``1 + margin``.
    binding : [*batch V] bool
        The prefix that attains the margin.
    """

    possible: Array
    margin: Array
    binding: Array


def zero_rejection(target: Array, draft: Array, k: int) -> ZeroRejection:
    """Test whether some verifier of k independent drafts never rejects all of them.

    Parameters
    ----------
    target, draft : [*batch V]
    k : int
        Drafts drawn with replacement, at most V.

    Returns
    -------
    ZeroRejection

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument

    Examples
    --------
    >>> verdict = zero_rejection([0.25, 0.75], [0.5, 0.5], 2)
    >>> bool(verdict.possible), float(verdict.margin)
    (True, 0.0)
    """
    xp, target, draft = _checked(target, draft, k)
    order = _ratio_order(xp, target, draft)
    mass, x = (_sorted_sums(xp, law, order) for law in (target, draft))
    # a prefix without mass or with all of it binds nobody
    proper = (xp.maximum(mass, x) > 0) & (xp.minimum(mass, x) < 1)
    gap = xp.where(proper, mass - x**k, xp.full_like(mass, xp.inf))
    margin = xp.min(gap, axis=-1)
    none = margin == xp.inf
    margin = xp.where(none, xp.zeros_like(margin), margin)
    size = xp.where(none, xp.zeros_like(xp.argmin(gap, axis=-1)), xp.argmin(gap, axis=-1) + 1)
    rank = xp.argsort(order, axis=-1)
    return ZeroRejection(margin >= -ROUNDING, margin, rank < size[..., None])


def stop_loss_gap(target: Array, draft: Array, k: int, thresholds: Array | None = None) -> Array:
    """Stop-loss of ``k U**(k-1)`` minus that of target/draft under the draft law: the convex-order form of the test.

    Parameters
    ----------
    target, draft : [*batch V]
    k : int
    thresholds : [T], optional
        Ratios t >= 0. The default are the V + 1 thresholds ``k x_j**(k-1)`` of each row, at which the smallest gap is
        attained. Each threshold costs one pass over the vocabulary, and no sort.

    Returns
    -------
    [*batch T]
        Zero rejection is possible iff no entry is negative. Target mass that is never drafted counts as a ratio
        without bound.

    Examples
    --------
    >>> float(np.min(stop_loss_gap([0.0, 1.0], [0.5, 0.5], 2)))
    -0.25
    """
    xp, target, draft = _checked(target, draft, k)
    if thresholds is None:
        sums = _sorted_sums(xp, draft, _ratio_order(xp, target, draft))
        t = k * xp.concat([xp.zeros_like(sums[..., :1]), sums], axis=-1) ** (k - 1)
    else:
        t = xp.asarray(thresholds, dtype=xp.float64, device=target.device)
        if t.ndim != 1 or not bool(xp.all(t >= 0)):
            raise BadArgument("thresholds: not a list of ratios >= 0. Fix: pass [T], or None for the ones that bind.")
        t = xp.broadcast_to(t, (*target.shape[:-1], t.shape[0]))
    step = max(1, BLOCK // math.prod(target.shape))
    parts = [t[..., i : min(i + step, t.shape[-1])] for i in range(0, t.shape[-1], step)]
    own = xp.concat([xp.sum(positive_part(target[..., None, :] - part[..., None] * draft[..., None, :]), axis=-1)
                     for part in parts], axis=-1)
    return _power_stop_loss(xp, t, k) - own


def _checked(target: Array, draft: Array, k: int) -> tuple[Any, Array, Array]:
    target, draft = checked_pair(as_law("target", target), as_law("draft", draft), WithReplacement(k))
    xp, target, draft = as_laws(target=target, draft=draft)
    target, draft = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    return xp, target / xp.sum(target, axis=-1)[..., None], draft / xp.sum(draft, axis=-1)[..., None]


def _ratio_order(xp: Any, target: Array, draft: Array) -> Array:
    with np.errstate(over="ignore"):
        ratio = target / xp.where(draft > 0, draft, xp.ones_like(draft))
    # a quotient that overflows still belongs before the tokens that are never drafted
    ratio = xp.where(ratio < xp.inf, ratio, xp.full_like(ratio, float(xp.finfo(ratio.dtype).max)))
    return xp.argsort(xp.where(draft > 0, ratio, xp.full_like(ratio, xp.inf)), axis=-1)


def _sorted_sums(xp: Any, law: Array, order: Array) -> Array:
    sums = cumulative_sum(xp.take_along_axis(law, order, axis=-1))
    return sums / sums[..., -1:]


def _power_stop_loss(xp: Any, t: Array, k: int) -> Array:
    """``E (k U**(k-1) - t)+``: the integral of ``k u**(k-1) - t`` from the u where it turns positive."""
    if k == 1:
        return positive_part(1 - t)
    u = xp.where(t < k, t / k, xp.ones_like(t)) ** (1 / (k - 1))
    return 1 - u**k - t * (1 - u)
