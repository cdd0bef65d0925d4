r"""Winner laws: the law of the draft that an optimal rule picks before single-draft rejection.

Definitions. Sort the tokens by target/draft ascending. The *capacity* of the first j tokens is
:math:`c_j = \Pr[\text{every draft is among them}]`, and :math:`P_j` is their target mass. A *winner
law* L is the law of a picked draft, for some rule that picks one.

Theorem used: some rule has winner law L iff L(B) >= Pr[every draft lies in B] for every set B, and then
the best acceptance of a target p is :math:`\sum_i \min(p_i, L_i)`. The increments of the least concave
majorant of the points (P, c) are a winner law that reaches the optimum :math:`1 + \min_j (P_j - c_j)`
at every scale of the target at once.
"""

import numpy as np

from otspec.core.errors import BadArgument, ShapeMismatch

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


def cumulative(law: np.ndarray) -> np.ndarray:
    """Sums from the left, starting at exactly 0 and ending at exactly 1.

    Parameters
    ----------
    law : ndarray [*batch V]
        Probabilities in any order.

    Returns
    -------
    ndarray [*batch V+1]

    Examples
    --------
    >>> cumulative([0.25, 0.25, 0.5]).tolist()
    [0.0, 0.25, 0.5, 1.0]
    """
    law = np.asarray(law, dtype=np.float64)
    out = np.zeros((*law.shape[:-1], law.shape[-1] + 1))
    np.cumsum(law, axis=-1, out=out[..., 1:])
    out /= out[..., -1:]
    return out


def remaining(law: np.ndarray) -> np.ndarray:
    """Sums from the right: the mass at and above each knot, accurate where it is small.

    Parameters
    ----------
    law : ndarray [*batch V]

    Returns
    -------
    ndarray [*batch V+1]

    Examples
    --------
    >>> remaining([0.25, 0.25, 0.5]).tolist()
    [1.0, 0.75, 0.5, 0.0]
    """
    return np.ascontiguousarray(cumulative(np.asarray(law)[..., ::-1])[..., ::-1])


def ratio_order(target: np.ndarray, draft: np.ndarray) -> np.ndarray:
    """Token indices by target/draft ascending; tokens with draft probability 0 come last.

    Parameters
    ----------
    target, draft : ndarray [*batch V]
        Laws of the large and of the small model.

    Returns
    -------
    int ndarray [*batch V]
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
    target = np.asarray(target, dtype=np.float64)
    draft = np.asarray(draft, dtype=np.float64)
    if target.shape[-1] != draft.shape[-1]:
        raise ShapeMismatch(
            f"target has {target.shape[-1]} tokens and draft {draft.shape[-1]}; give laws over one vocabulary"
        )
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = target / draft
    # a quotient that overflows still belongs before the tokens that cannot be drafted at all
    np.minimum(ratio, np.finfo(np.float64).max, out=ratio)
    return np.argsort(np.where(draft > 0, ratio, np.inf), axis=-1)


def _checked_draws(k: int | np.ndarray) -> np.ndarray:
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


def replacement_increments(draft_sorted: np.ndarray, k: int) -> np.ndarray:
    """Increments of `replacement_capacity`, each relatively exact however small.

    Parameters
    ----------
    draft_sorted : ndarray [*batch V]
    k : int

    Returns
    -------
    ndarray [*batch V]

    Examples
    --------
    >>> replacement_increments([0.5, 0.5], 2).tolist()
    [0.25, 0.75]
    """
    draws = int(_checked_draws(k)[0])
    x = cumulative(draft_sorted)
    below, upto = x[..., :-1], x[..., 1:]
    total = np.ones_like(upto)
    power = np.ones_like(upto)
    for _ in range(draws - 1):
        power = power * upto
        total = total * below + power
    draft = np.asarray(draft_sorted, dtype=np.float64)
    return draft / np.sum(draft, axis=-1, keepdims=True) * total


def universal_law(
    target_sorted: np.ndarray, capacity: np.ndarray, *, increments: np.ndarray | None = None
) -> np.ndarray:
    """Increments of the least concave majorant of (cumulative target, capacity).

    It maximises sum min(L, s target) over the winner laws L for every scale s at once.

    Parameters
    ----------
    target_sorted : ndarray [*batch V]
        Target law in `ratio_order`. Below 1e-290 it counts as 0, and such tokens keep their increment.
    capacity : ndarray [*batch V+1]
        Capacity of every prefix, from 0 to 1.
    increments : ndarray [*batch V], optional
        The capacity's increments, where they are known better than as differences.

    Returns
    -------
    ndarray [*batch V]

    Examples
    --------
    >>> universal_law([0.5, 0.5], [0.0, 0.25, 1.0]).tolist()
    [0.5, 0.5]
    """
    from otspec.transport.majorant import pool_increments

    target = np.asarray(target_sorted, dtype=np.float64)
    steps = np.diff(np.asarray(capacity, dtype=np.float64), axis=-1) if increments is None else increments
    target, steps = np.broadcast_arrays(target, np.asarray(steps, dtype=np.float64))
    size = target.shape[-1]
    law = np.empty(target.shape)
    rows = np.ascontiguousarray(target).reshape(-1, size)
    steps = np.ascontiguousarray(steps).reshape(-1, size)
    work = np.empty(size), np.empty(size), np.empty(size + 1, dtype=np.int64)
    pool_increments(rows, steps, law.reshape(-1, size), *work)
    return law


def minimal_law(target_sorted: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """Winner law by cumulative sums and maxima alone; optimal for the target itself.

    With h the running maximum of (capacity - cumulative target)+ from both ends towards its largest
    value, the law has the cumulative sums P + h.

    Parameters
    ----------
    target_sorted : ndarray [*batch V]
        Target law in `ratio_order`.
    capacity : ndarray [*batch V+1]

    Returns
    -------
    ndarray [*batch V]

    Examples
    --------
    >>> minimal_law([0.5, 0.5], [0.0, 0.25, 1.0]).tolist()
    [0.5, 0.5]
    """
    capacity = np.asarray(capacity, dtype=np.float64)
    mass = cumulative(target_sorted)
    excess = np.maximum(capacity - mass, 0.0)
    from_left = np.maximum.accumulate(excess, axis=-1)
    from_right = np.maximum.accumulate(excess[..., ::-1], axis=-1)[..., ::-1]
    # on the near side of the peak the running maximum from that end is the smaller of the two
    law = np.diff(mass + np.minimum(from_left, from_right), axis=-1)
    return np.maximum(law, 0.0)


def prefix_optimum(target_sorted: np.ndarray, capacity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Optimal acceptance 1 + min_j (P_j - c_j) and the size j of the prefix that attains it.

    Parameters
    ----------
    target_sorted : ndarray [*batch V]
        Target law in `ratio_order`.
    capacity : ndarray [*batch V+1]

    Returns
    -------
    value : ndarray [*batch]
    size : int ndarray [*batch]
        The smallest optimal prefix; 0 where every target token can be covered.

    Examples
    --------
    >>> value, size = prefix_optimum([0.0, 1.0], [0.0, 0.25, 1.0])
    >>> float(value), int(size)
    (0.75, 1)
    """
    gap = cumulative(target_sorted) - np.asarray(capacity, dtype=np.float64)
    size = np.argmin(gap, axis=-1)
    return 1.0 + np.min(gap, axis=-1), size
