"""What the winner is picked from: laws in the order of target/draft, with the capacity of every prefix.

One preparation for bounds, rules and trees. NumPy arrays take the compiled scans; arrays of another library stay in
it and on their device, and no step waits for the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_numpy_array

from otspec.transport.winner.laws import cumulative, minimal_law, ratio_order, replacement_increments, universal_law
from otspec.transport.without_replacement.spread import narrow_gaps

Array = Any


class SortedLaws(NamedTuple):
    """Sampled drafts of one batch of contexts; all but ``rank`` in the order of target/draft."""

    order: Array  # [*batch V]
    rank: Array  # [*batch V] place of each token in that order
    target: Array  # [*batch V]
    draft: Array  # [*batch V]; for races a law with the same draws and narrower gaps, see `narrow_gaps`
    increments: Array  # [*batch V] of Pr[all drafts lie in the prefix]
    capacity: Array  # [*batch V+1]

    def law(self, kind: str = "universal") -> Array:
        """Sorted winner law ``[*batch V]``: ``universal``, ``minimal``, or ``vertex`` (the last draft wins)."""
        if kind == "universal":
            return universal_law(self.target, None, increments=self.increments)
        return minimal_law(self.target, self.capacity) if kind == "minimal" else self.increments

    def by_token(self, values: Array) -> Array:
        """Sorted values ``[*batch V]`` in the order of the vocabulary."""
        return array_namespace(values).take_along_axis(values, self.rank, axis=-1)


def ranks_of(order: Array) -> Array:
    """Place of each token in an order, ``[*batch V]``."""
    if not is_numpy_array(order):
        return array_namespace(order).argsort(order, axis=-1)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(order.shape[-1]), order.shape), axis=-1)
    return rank


def sort_laws(target: Array, draft: Array, draws: int | Array, *, race: bool, most: int | None = None) -> SortedLaws:
    """Prepare laws for drafts that are independent or, with ``race``, drawn without replacement.

    Parameters
    ----------
    target, draft : [*batch V] float64
    draws : int or int array [*batch]
        Number of drafts; 0 is prepared like 1.
    race : bool
    most : int, optional
        Largest number of drafts, where ``draws`` lies on a device.

    Examples
    --------
    >>> sort_laws(np.array([0.5, 0.5]), np.array([0.5, 0.5]), 2, race=True).capacity.tolist()
    [0.0, 0.0, 1.0]
    """
    xp = array_namespace(target, draft)
    if race:
        draft = narrow_gaps(draft, _largest(draws, most))
    order = ratio_order(target, draft)
    target, draft = (xp.take_along_axis(law, order, axis=-1) for law in (target, draft))
    draft = draft / xp.sum(draft, axis=-1, keepdims=True)
    increments = sampled_increments(draft, draws, race=race, most=most)
    return SortedLaws(order, ranks_of(order), target, draft, increments, cumulative(increments))


def sampled_increments(draft_sorted: Array, draws: int | Array, *, race: bool, most: int | None = None) -> Array:
    """Increments of ``Pr[all draws lie in the first j tokens]``, ``[*batch V]``; arguments as in `sort_laws`."""
    if isinstance(draws, int) and draws <= 1:
        return draft_sorted
    if not race:
        return replacement_increments(draft_sorted, _at_least_one(draws), most=most)
    if is_numpy_array(draft_sorted):
        from otspec.transport.without_replacement.race import race_increments

        return _by_count(race_increments, draft_sorted, draws)
    from otspec.transport.without_replacement.race_parallel import race_increments_parallel

    if isinstance(draws, int):
        return race_increments_parallel(draft_sorted, draws)
    assert most is not None  # stated beside every array of counts
    return race_increments_parallel(draft_sorted, most, _at_least_one(draws))


def _largest(draws: int | Array, most: int | None) -> int:
    """Largest number of drafts; counts on a device are not read back where ``most`` is given."""
    if isinstance(draws, int):
        return draws
    return int(array_namespace(draws).max(draws)) if most is None else most


def _at_least_one(draws: int | Array) -> int | Array:
    if isinstance(draws, int):
        return draws
    xp = array_namespace(draws)
    return xp.where(draws > 1, draws, xp.ones_like(draws))


def _by_count(increments: Callable[[np.ndarray, int], np.ndarray], draft: np.ndarray, draws: int | np.ndarray
              ) -> np.ndarray:
    """Rows with the same number of draws together."""
    if isinstance(draws, int):
        return increments(draft, draws)
    out = np.empty_like(draft)
    for count in np.unique(draws):
        rows = draws == count
        # one draft has the draft law itself, and a row without any may be all zeros
        out[rows] = increments(draft[rows], int(count)) if count > 1 else draft[rows]
    return out
