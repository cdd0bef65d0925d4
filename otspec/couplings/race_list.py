"""How often the target's token is among the first k of the drafter's race, exactly.

Given that the target's race is won by j at time t (a standard exponential, whatever j), token i precedes j in the
drafter's race exactly if its clock, late by an exponential of its own, is early enough there: with probability
``1 - exp(-t (q_i p_j / q_j - p_i)+)``, independently for different i. So the number that precede j is a sum of
independent indicators, and j is in the list if the sum is below k:

    Pr[y in list] = sum_j p_j E Pr[N_j(t) < k],

one integral over t whose integrand costs ``O(V k)`` for each j. k = 1 is the formula of `otspec.couplings.gumbel`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from otspec.core.errors import TooLarge
from otspec.core.host import to_host
from otspec.core.laws import namespace
from otspec.couplings.quadrature import exponential_nodes

Array = Any
# multiplications: some seconds of one core
MOST_WORK = 4e9


def race_list_agreement(target: Array, draft: Array, k: int) -> Array:
    """Probability ``[*batch]`` that the target's token is among the first ``k`` of the drafter's race.

    Raises
    ------
    TooLarge
        In multiplications.
    """
    xp, shape = namespace(target), tuple(target.shape)
    time, weight = exponential_nodes()
    work = float(np.prod(shape)) * shape[-1] * k * time.size
    if work > MOST_WORK:
        raise TooLarge(f"the exact agreement of a list of {k} needs {work:.3g} multiplications, more than "
                       f"{MOST_WORK:.3g}. Fix: use sampled_agreement.", work)
    laws = [to_host(law, np.float64).reshape(-1, shape[-1]) for law in (target, draft)]
    found = np.array([_among(*pair, k, time, weight) for pair in zip(*laws, strict=True)])
    return xp.asarray(found.reshape(shape[:-1]), device=target.device)


@njit(cache=True, nogil=True)
def _among(target: Any, draft: Any, k: int, time: Any, weight: Any) -> float:
    found = 0.0
    count = np.empty(k)
    for token in range(target.size):
        # a draft mass beyond this ratio would overflow it, and is as good as never drafted
        if draft[token] <= target[token] * 1e-300:
            continue
        rate = np.maximum(draft * (target[token] / draft[token]) - target, 0.0)
        rate[token] = 0.0
        rate = rate[rate > 0]
        for node in range(time.size):
            count[:] = 0.0
            count[0] = 1.0
            for one in rate:
                late = np.exp(-time[node] * one)
                for place in range(k - 1, 0, -1):
                    count[place] = count[place] * late + count[place - 1] * (1.0 - late)
                count[0] *= late
            found += target[token] * weight[node] * count.sum()
    return found
