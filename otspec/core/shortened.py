"""Laws stored by their largest masses only, with a certified bound on what that loses.

A law over 262,144 tokens takes half a megabyte in half precision, almost all of it for tokens that are never drawn. A
shortened law keeps the ``m`` largest masses and the tokens they belong to, and with them its distance in total
variation to the law it was made from, rounding included, rounded up.

*Theorem.* Let `p', q'` be stored laws at distances `s, t` from the models' own `p, q`. The optima of one scheme for
`(p, q)` and `(p', q')` differ by at most `s + u`, where `u` is `1 - (1-t)^k` for `k` i.i.d. drafts and
`sum_{i<k} t / (1 - Q_i)` for drafts without replacement, `Q_i` the `i` largest masses of `q'`. *Proof.* Couple the
emitted tokens, equal but with chance `s`, and the draft lists, equal but with chance `u`: a coupling of `(p', q')`
becomes one of `(p, q)` that succeeds wherever it did and both are equal. For the lists: given the same drafts `S` so
far, the next ones differ with at most `t / q'(not S)`, as `|q(S) - q'(S)|` is at most the sum of `|q - q'|` over `S`.
What a rule accepts has no such bound in general: those numbers are of the stored laws.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement

IDS, LOST = "_ids", "_lost"
NAMES = {f"{which}{part}" for which in ("target", "draft") for part in ("", IDS, LOST)}


def shorten(law: np.ndarray, keep: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ``keep`` largest masses ``[n m]`` of laws ``[n V]``, not renormalised, and their tokens ``[n m]``.

    Examples
    --------
    >>> shorten(np.array([[0.1, 0.6, 0.3]]), 2)
    (array([[0.6, 0.3]]), array([[1, 2]], dtype=int32))
    """
    count = min(check_positive("keep", keep), law.shape[-1])
    places = np.sort(np.argpartition(-law, count - 1, axis=-1)[:, :count], axis=-1)
    return np.take_along_axis(law, places, axis=-1), places.astype(np.int32)


def lengthen(masses: np.ndarray, ids: np.ndarray, vocab_size: int) -> np.ndarray:
    """Return laws ``[*batch V]`` with masses ``[*batch m]`` at their tokens, 0 elsewhere."""
    law = np.zeros((*masses.shape[:-1], vocab_size))
    np.put_along_axis(law, ids.astype(np.int64), masses, axis=-1)
    return law


def distance(law: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Total variation ``[n]`` between laws and what is stored of them, float32, rounded up.

    The sum of V float64 terms is good to ``V eps``, which is added.
    """
    exact = 0.5 * np.abs(law - stored).sum(axis=-1) + law.shape[-1] * np.finfo(np.float64).eps
    return np.nextafter(exact.astype(np.float32), np.float32(np.inf))


def slack(lost: tuple[np.ndarray, np.ndarray], draft: np.ndarray, scheme: DraftScheme) -> np.ndarray:
    """Bound how far the optimum of stored laws may lie from that of the models' own, ``[n]``.

    Parameters
    ----------
    lost : ([n], [n])
        Distances of the target and of the draft laws.
    draft : [n V]
        Stored draft laws.
    scheme : WithReplacement or WithoutReplacement

    Raises
    ------
    SchemeMismatch
        Another scheme.

    Examples
    --------
    >>> slack((np.array([0.01]), np.array([0.1])), np.array([[0.5, 0.5]]), WithReplacement(2)).round(6)
    array([0.2])
    >>> slack((np.array([0.01]), np.array([0.1])), np.array([[0.5, 0.5]]), WithoutReplacement(2)).round(6)
    array([0.31])
    """
    target_lost, draft_lost = (np.asarray(one, dtype=np.float64) for one in lost)
    if isinstance(scheme, WithReplacement):
        lists = 1.0 - (1.0 - np.minimum(draft_lost, 1.0)) ** scheme.num_drafts
    elif isinstance(scheme, WithoutReplacement):
        top = -np.sort(-draft, axis=-1)[:, : scheme.num_drafts - 1].cumsum(axis=-1)
        left = np.maximum(1.0 - np.concatenate([np.zeros((len(draft), 1)), top], axis=-1), np.finfo(np.float64).tiny)
        lists = (np.minimum(draft_lost, 1.0)[:, None] / left).sum(axis=-1)
    else:
        raise SchemeMismatch(f"scheme: {scheme!r} has no bound on what shortened laws lose. Fix: WithReplacement or "
                             f"WithoutReplacement, or record whole laws.")
    return np.minimum(1.0, target_lost + lists)


def problem_of(shard: Mapping[str, np.ndarray], provenance: Mapping[str, Any]) -> str | None:
    """What is wrong with the arrays of shortened laws, None if nothing is."""
    vocabulary = provenance.get("vocab_size")
    if not isinstance(vocabulary, int):
        return "shortened laws without a vocab_size in the provenance"
    for which in ("target", "draft"):
        masses, ids, lost = (shard[f"{which}{part}"] for part in ("", IDS, LOST))
        if masses.ndim != 2 or masses.shape != ids.shape or lost.shape != masses.shape[:1]:
            return f"{which}: masses {masses.shape}, tokens {ids.shape} and distances {lost.shape} of shortened laws"
        if ids.dtype.kind != "i" or not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary:
            return f"{which}: tokens of shortened laws outside the vocabulary of {vocabulary}"
        if (np.diff(ids, axis=-1) <= 0).any():
            return f"{which}: tokens of shortened laws out of order"
    return None


def refuse_change(shortened: bool, what: str, fix: str) -> None:
    """Refuse a change whose effect on what was left out is not known.

    Raises
    ------
    BadArgument
    """
    if shortened:
        raise BadArgument(f"{what}: the trace keeps the largest masses of its laws only, and what this does to the "
                          f"rest is not known. Fix: record with {fix}.")
