r"""Winner laws: the law of the draft that an optimal rule picks before single-draft rejection.

Definitions. Sort the tokens by target/draft ascending. The *capacity* of the first j tokens is
:math:`c_j = \Pr[\text{every draft is among them}]`, and :math:`P_j` is their target mass. A *winner
law* L is the law of a picked draft, for some rule that picks one.

Theorem used: some rule has winner law L iff L(B) >= Pr[every draft lies in B] for every set B, and then
the best acceptance of a target p is :math:`\sum_i \min(p_i, L_i)`. The increments of the least concave
majorant of the points (P, c) are a winner law that reaches the optimum :math:`1 + \min_j (P_j - c_j)`
at every scale of the target at once.

NumPy arrays take the compiled scans; arrays of another library stay in it and on their device, where no step waits
for the host (`otspec.transport.winner.majorant_parallel`).
"""

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.laws import cumulative_maximum, cumulative_sum, positive_part

Array = Any
LARGEST = float(np.finfo(np.float64).max)

__all__ = [
    "cumulative",
    "minimal_law",
    "prefix_optimum",
    "ratio_order",
    "remaining",
    "replacement_capacity",
    "replacement_increments",
    "universal_law",
]


def _floats(values: Array) -> Array:
    """Return float64 values in the library of ``values``; lists become NumPy arrays."""
    if isinstance(values, (np.ndarray, np.generic, list, tuple)):
        return np.asarray(values, dtype=np.float64)
    xp = array_namespace(values)
    return xp.astype(values, xp.float64)


def cumulative(law: Array) -> Array:
    """Sums from the left, starting at exactly 0 and ending at exactly 1.

    Parameters
    ----------
    law : [*batch V]
        Probabilities in any order.

    Returns
    -------
    [*batch V+1]

    Examples
    --------
    >>> cumulative([0.25, 0.25, 0.5]).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    law = _floats(law)
    if not is_numpy_array(law):
        xp = array_namespace(law)
        sums = cumulative_maximum(cumulative_sum(law))  # a sum in parallel may fall by a rounding
        return xp.concat([xp.zeros_like(sums[..., :1]), sums / sums[..., -1:]], axis=-1)
    out = np.zeros((*law.shape[:-1], law.shape[-1] + 1))
    np.cumsum(law, axis=-1, out=out[..., 1:])
    out /= out[..., -1:]
    return out


def remaining(law: Array) -> Array:
    """Sums from the right: the mass at and above each knot, accurate where it is small.

    Parameters
    ----------
    law : [*batch V]

    Returns
    -------
    [*batch V+1]

    Examples
    --------
    >>> remaining([0.25, 0.25, 0.5]).tolist()
    [1.0, 0.75, 0.5, 0.0]
    """
    law = _floats(law)
    xp = array_namespace(law)
    above = xp.flip(cumulative(xp.flip(law, axis=-1)), axis=-1)
    return np.ascontiguousarray(above) if is_numpy_array(above) else above


def ratio_order(target: Array, draft: Array) -> Array:
    """Token indices by target/draft ascending; tokens with draft probability 0 come last.

    Parameters
    ----------
    target, draft : [*batch V]
        Laws of the large and of the small model.

    Returns
    -------
    [*batch V] int
        Ties stand in an arbitrary but reproducible order.

    Raises
    ------
    ShapeMismatch
        If the two vocabularies differ.

    Examples
    --------
    >>> ratio_order([0.5, 0.3, 0.2], [0.2, 0.3, 0.5]).tolist()
    [2, 1, 0]
    """
    target, draft = _floats(target), _floats(draft)
    if target.shape[-1] != draft.shape[-1]:
        raise ShapeMismatch(
            f"target has {target.shape[-1]} tokens and draft {draft.shape[-1]}; give laws over one vocabulary"
        )
    xp = array_namespace(target, draft)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = target / draft
    # a quotient that overflows still belongs before the tokens that cannot be drafted at all
    if is_numpy_array(ratio):
        return np.argsort(np.where(draft > 0, np.minimum(ratio, LARGEST, out=ratio), np.inf), axis=-1)
    return xp.argsort(xp.where(draft > 0, xp.where(ratio < LARGEST, ratio, LARGEST), xp.inf), axis=-1)


def _checked_draws(k: Array) -> Array:
    if not isinstance(k, (int, float, np.ndarray, np.generic, list)):
        return k[..., None]  # counts on a device are not read back to be checked
    k = np.asarray(k)
    if k.dtype.kind not in "iu" or np.any(k < 1):
        raise BadArgument(f"k is {k.tolist()!r}; give a whole number of drafts, at least 1")
    return k[..., None]


def replacement_capacity(draft_sorted: np.ndarray, k: int | np.ndarray) -> np.ndarray:
    """Capacity of every prefix for k independent drafts: (cumulative draft mass)^k.

    Parameters
    ----------
    draft_sorted : ndarray [*batch V]
        Draft law in `ratio_order`.
    k : int or int ndarray [*batch]
        Number of drafts.

    Returns
    -------
    ndarray [*batch V+1]
        Starts at exactly 0, ends at exactly 1.

    Raises
    ------
    BadArgument
        If some k is not a whole number of at least 1.

    Examples
    --------
    >>> replacement_capacity([0.5, 0.5], 2).tolist()
    [0.0, 0.25, 1.0]
    """
    return cumulative(draft_sorted) ** _checked_draws(k)


def replacement_increments(draft_sorted: Array, k: int | Array, *, most: int | None = None) -> Array:
    """Increments of `replacement_capacity`, each relatively exact however small.

    Parameters
    ----------
    draft_sorted : [*batch V]
    k : int or int array [*batch]
        Number of drafts.
    most : int, optional
        Largest number of drafts, where ``k`` lies on a device.

    Returns
    -------
    [*batch V]

    Examples
    --------
    >>> replacement_increments([0.5, 0.5], 2).tolist()
    [0.25, 0.75]
    """
    draws = _checked_draws(k)
    draft = _floats(draft_sorted)
    xp = array_namespace(draft)
    # one number for all rows is no array: it would have to be copied to the device
    draws = k if isinstance(k, int) else draws
    most = int(np.max(draws)) if most is None else most
    x = cumulative(draft)
    below, upto = x[..., :-1], x[..., 1:]
    total, power = xp.ones_like(upto), xp.ones_like(upto)
    for step in range(1, most):
        power = power * upto
        more = total * below + power
        total = more if isinstance(draws, int) else xp.where(step < draws, more, total)
    return draft / xp.sum(draft, axis=-1, keepdims=True) * total


def universal_law(target_sorted: Array, capacity: Array | None, *, increments: Array | None = None) -> Array:
    """Increments of the least concave majorant of (cumulative target, capacity).

    It maximises sum min(L, s target) over the winner laws L for every scale s at once.

    Parameters
    ----------
    target_sorted : [*batch V]
        Target law in `ratio_order`. Below 1e-290 it counts as 0, and such tokens keep their increment.
    capacity : [*batch V+1]
        Capacity of every prefix, from 0 to 1; None where ``increments`` are given.
    increments : [*batch V], optional
        The capacity's increments, where they are known better than as differences.

    Returns
    -------
    [*batch V]

    Examples
    --------
    >>> universal_law([0.5, 0.5], [0.0, 0.25, 1.0]).tolist()
    [0.5, 0.5]
    """
    target = _floats(target_sorted)
    if increments is None:
        capacity = _floats(capacity)
        increments = capacity[..., 1:] - capacity[..., :-1]
    if not is_numpy_array(target):
        from otspec.transport.winner.majorant_parallel import universal_law_parallel

        return universal_law_parallel(*array_namespace(target).broadcast_arrays(target, increments))
    from otspec.transport.winner.majorant import pool_increments

    target, steps = np.broadcast_arrays(target, np.asarray(increments, dtype=np.float64))
    size = target.shape[-1]
    law = np.empty(target.shape)
    rows = np.ascontiguousarray(target).reshape(-1, size)
    steps = np.ascontiguousarray(steps).reshape(-1, size)
    work = np.empty(size), np.empty(size), np.empty(size + 1, dtype=np.int64)
    pool_increments(rows, steps, law.reshape(-1, size), *work)
    return law


def minimal_law(target_sorted: Array, capacity: Array) -> Array:
    """Winner law by cumulative sums and maxima alone; optimal for the target itself.

    With h the running maximum of (capacity - cumulative target)+ from both ends towards its largest
    value, the law has the cumulative sums P + h.

    Parameters
    ----------
    target_sorted : [*batch V]
        Target law in `ratio_order`.
    capacity : [*batch V+1]

    Returns
    -------
    [*batch V]

    Examples
    --------
    >>> minimal_law([0.5, 0.5], [0.0, 0.25, 1.0]).tolist()
    [0.5, 0.5]
    """
    capacity, mass = _floats(capacity), cumulative(target_sorted)
    xp = array_namespace(capacity, mass)
    excess = positive_part(capacity - mass)
    from_right = xp.flip(cumulative_maximum(xp.flip(excess, axis=-1)), axis=-1)
    # on the near side of the peak the running maximum from that end is the smaller of the two
    curve = mass + xp.minimum(cumulative_maximum(excess), from_right)
    return positive_part(curve[..., 1:] - curve[..., :-1])


def prefix_optimum(target_sorted: Array, capacity: Array) -> tuple[Array, Array]:
    """Optimal acceptance 1 + min_j (P_j - c_j) and the size j of the prefix that attains it.

    Parameters
    ----------
    target_sorted : [*batch V]
        Target law in `ratio_order`.
    capacity : [*batch V+1]

    Returns
    -------
    value : [*batch]
    size : [*batch] int
        The smallest optimal prefix; 0 where every target token can be covered.

    Examples
    --------
    >>> value, size = prefix_optimum([0.0, 1.0], [0.0, 0.25, 1.0])
    >>> float(value), int(size)
    (0.75, 1)
    """
    gap = cumulative(target_sorted) - _floats(capacity)
    xp = array_namespace(gap)
    return 1.0 + xp.min(gap, axis=-1), xp.argmin(gap, axis=-1)
