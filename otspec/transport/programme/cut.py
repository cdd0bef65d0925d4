"""Cuts: the dual side. Any token set H bounds acceptance by ``1 + target(H) - Pr[every draft lies in H]``.

For draws with and without replacement an optimal H is a prefix of the tokens sorted by target/draft ascending; for
other schemes the best set is a submodular minimum. `cut_of` evaluates any set by the scheme's own enumeration, so
that a certificate never leans on the solver that proposed the set.
"""

from __future__ import annotations

import numpy as np

from otspec.core.bound import Cut
from otspec.core.errors import TooLarge
from otspec.core.problem import MembershipProblem

MAX_SUBSETS = 2**20


def cut_of(problem: MembershipProblem, subset: np.ndarray) -> Cut:
    """Value of one token set ``[V] bool`` as an upper bound, by enumeration of the draft sets."""
    sets, law = problem.sets
    inside = np.where(sets >= 0, subset[sets], True).all(axis=1)
    # summed over the smaller side: 1 - Q(H) loses nothing when Q(H) is near one
    missing = law[~inside].sum()
    return Cut(subset, np.float64(min(1.0, problem.target[subset].sum() + missing)))


def minimum_cut(problem: MembershipProblem) -> Cut:
    """Best cut over all ``2**V`` token sets: the oracle for small vocabularies.

    Examples
    --------
    >>> float(minimum_cut(MembershipProblem([1.0, 0.0], [0.5, 0.5], 2)).value)
    0.75
    """
    size = problem.target.size
    if 2.0**size > MAX_SUBSETS:
        raise TooLarge(f"{size} tokens have {2.0**size:.2g} subsets. Fix: acceptance_bound, which sorts instead.",
                       2.0**size)
    subsets = (np.arange(2**size)[:, None] >> np.arange(size)) & 1 == 1
    return min((cut_of(problem, subset) for subset in subsets), key=lambda cut: cut.value)
