"""How often an unbiased rule must reject, and what a biased one pays for rejecting less. [yin2024].

* *Identity*. Token-wise verification of one draft rejects at a prefix with probability TV of the two laws after it, and
  the text has the target's law, so a text of T drafted positions has ``sum_t E TV`` rejections on average, the
  expectation over the target's own texts.
* *Optimality*. No rule whose output has the target's law rejects less. With k drafts the same holds with one minus the
  optimal acceptance of k drafts in place of TV.
* *Front*. A rule whose output is within ``b`` of the target in total variation rejects at least ``TV - b``, and mixing
  the unbiased rule with "always accept" attains it: the Pareto front of rejection and bias is a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.laws import total_variation
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.limits.laws import pair_rows
from otspec.transport.bounds import optimal_acceptance

Array = Any


def expected_rejections(source: Trace | tuple[Array, Array], *, scheme: DraftScheme | int = 1) -> Estimate:
    """Least rejections per drafted position of any unbiased rule, on the contexts of a trace.

    Parameters
    ----------
    source : Trace or (target, draft)
        Laws ``[*batch V]`` each. Contexts drawn from the target's own text make it the rate of a text.
    scheme : DraftScheme or int
        How the drafts of a position are drawn; one draft by default.

    Returns
    -------
    Estimate
        Over contexts; without a standard error for a single pair of laws. Times T: rejections of a text of T drafted
        positions.

    Raises
    ------
    NotALaw, ShapeMismatch, SchemeMismatch

    Examples
    --------
    >>> expected_rejections(([0.25, 0.75], [0.5, 0.5])).mean
    0.25
    """
    target, draft = pair_rows(source)
    scheme = as_scheme(scheme)
    if scheme == WithReplacement(1):
        rejected = np.asarray(total_variation(target, draft))
    else:
        rejected = 1.0 - np.asarray(optimal_acceptance(target, draft, scheme))
    return Estimate(float(rejected[0])) if len(rejected) == 1 else Estimate.from_samples(rejected)


def pareto_front(source: Trace | tuple[Array, Array], biases: Sequence[float] | None = None) -> Table:
    """Least rejections per position at every bias, averaged over contexts.

    Parameters
    ----------
    source : Trace or (target, draft)
    biases : sequence of float, optional
        Total variation between the output and the target that is allowed at every context, each in [0, 1]; default
        eleven values from 0 to the largest distance.

    Returns
    -------
    Table
        Columns ``bias`` allowed, ``rejection`` and ``stderr`` (None for a single pair of laws), ``used`` (mean bias of
        the rule that attains it, which stops at "always accept").

    Raises
    ------
    BadArgument, NotALaw, ShapeMismatch

    Examples
    --------
    >>> pareto_front(([0.25, 0.75], [0.5, 0.5]), [0.0, 0.1, 0.5]).column("rejection")
    [0.25, 0.15, 0.0]
    """
    distance = np.asarray(total_variation(*pair_rows(source)))
    allowed = np.linspace(0, float(distance.max()), 11) if biases is None else np.asarray(biases, dtype=np.float64)
    if allowed.ndim != 1 or not ((allowed >= 0) & (allowed <= 1)).all():
        raise BadArgument(f"biases: {biases!r} are not all in [0, 1]. Fix: total variation distances.")
    rows = []
    for bias in allowed:
        left = np.maximum(distance - bias, 0.0)
        rejected = Estimate(float(left[0])) if len(left) == 1 else Estimate.from_samples(left)
        rows.append({"bias": float(bias), "rejection": rejected.mean,
                     "stderr": None if rejected.n is None else rejected.stderr,
                     "used": float(np.minimum(distance, bias).mean())})
    return Table(rows)


def relaxed_law(target: Array, draft: Array, bias: float) -> tuple[np.ndarray, np.ndarray]:
    """The rule on the front: its chance to reject ``[*batch]`` and the law ``[*batch V]`` that it emits.

    It flips a coin: with probability ``bias / TV`` (at most 1) it accepts whatever was drafted, else it is the unbiased
    rule.

    Examples
    --------
    >>> rejection, law = relaxed_law([0.25, 0.75], [0.5, 0.5], 0.125)
    >>> rejection.item(), law.tolist()
    (0.125, [0.375, 0.625])
    """
    target, draft = np.asarray(target, dtype=np.float64), np.asarray(draft, dtype=np.float64)
    distance = np.asarray(total_variation(target, draft))
    share = np.minimum(1.0, bias / np.where(distance > 0, distance, 1.0))
    return (1 - share) * distance, share[..., None] * draft + (1 - share[..., None]) * target
