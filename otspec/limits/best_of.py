"""How far from the drafter k drafts can reach: the divergence of best-of-k sampling. [best-of-n].

The winner of k independent drafts under any ranking has the law ``F(y)^k - F(y-)^k``, F being the drafter's
distribution function in the order of the ranking. Its divergence from the drafter is at most ``log k - (k - 1)/k``,
with equality for laws without atoms. The same number is a ceiling for speculative decoding: if k drafts are never all
rejected, then ``KL(target || draft)`` does not exceed it (proof in `otspec.analysis.ceiling`). So in a context whose
divergence lies above the ceiling of k, every rule *must* reject some lists of k drafts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.checks import as_laws, check_positive
from otspec.core.laws import positive_part
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.limits.laws import pair_rows

Array = Any


def kl_ceiling(k: int) -> float:
    """Largest ``KL(target || draft)``, in nats, that k independent drafts can bridge without rejection.

    Parameters
    ----------
    k : int

    Returns
    -------
    float
        ``log k - (k - 1)/k``. Best-of-k sampling reaches it on laws without atoms.

    Examples
    --------
    >>> kl_ceiling(1)
    0.0
    """
    k = check_positive("k", k)
    return math.log(k) - (k - 1) / k


def kl(target: Array, draft: Array) -> Array:
    """Divergence ``sum target log(target / draft)`` in nats; infinite where the draft law misses target mass.

    Parameters
    ----------
    target, draft : [*batch V]

    Returns
    -------
    [*batch] float64

    Examples
    --------
    >>> float(kl([1.0, 0.0], [1.0, 0.0])), float(kl([1.0, 0.0], [0.0, 1.0]))
    (0.0, inf)
    """
    xp, target, draft = as_laws(target=target, draft=draft)
    target, draft = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    one = xp.ones_like(target)
    both = (target > 0) & (draft > 0)
    # logarithms apart: the quotient of extreme masses would overflow
    logs = xp.log(xp.where(both, target, one)) - xp.log(xp.where(both, draft, one))
    missed = xp.any((target > 0) & (draft == 0), axis=-1)
    value = xp.sum(xp.where(both, target * logs, xp.zeros_like(target)), axis=-1)
    return xp.where(missed, xp.full_like(value, xp.inf), positive_part(value))


def drafts_needed(source: Trace | tuple[Array, Array], drafts: Sequence[int] = (1, 2, 4, 8, 16, 32)) -> Table:
    """Share of contexts that k drafts cannot serve without rejections, by divergence alone.

    Parameters
    ----------
    source : Trace or (target, draft)
    drafts : sequence of int

    Returns
    -------
    Table
        Columns ``k``, ``ceiling`` (nats), ``beyond`` (share of contexts whose divergence exceeds it; a lower end of the
        share that must reject, see `otspec.zero_rejection` for the exact one).

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument

    Examples
    --------
    >>> drafts_needed(([0.25, 0.75], [0.5, 0.5]), [1, 2]).column("beyond")
    [1.0, 0.0]
    """
    divergence = np.asarray(kl(*pair_rows(source)))
    ceilings = {count: kl_ceiling(count) for count in drafts}
    return Table([{"k": count, "ceiling": ceiling, "beyond": float((divergence > ceiling + 1e-12).mean())}
                  for count, ceiling in ceilings.items()])
