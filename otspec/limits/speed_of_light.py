"""The most tokens that any deterministic draft tree of N nodes can hit, from the entropy of the target alone.

Let a tree of N drafted nodes be a function of the context. The target's text goes down the tree until it leaves it, so
the number of nodes hit is ``X = sum over nodes v of 1[v on the text]`` and ``E X`` is the sum of the nodes' target
probabilities: no tree beats the N likeliest prefixes, which are a tree. Suppose, as the theorem does, that the laws
met along a text are independent draws from one family (*i.i.d. branching*). With ``s = -log target(token)``, put

    mu  = E s    (the mean entropy)          mu2 = E s^2    (the mean second log-moment).

*The published curve*: ``E X <= (mu + mu2) log N / mu^2 + O(1)``. [speed-of-light]

*A bound without unknown constants*. For any t, the nodes of probability at least ``e^-t`` are hit
``E #{k >= 1: s_1 + .. + s_k <= t}`` times, and all others together at most ``N e^-t`` times. The first number is a
renewal function, at most ``t/mu + mu2/mu^2 - 1``. [lorden1970] The best t is ``log(N mu)``, and so

    E X <= (log(N mu) + 1) / mu + mu2 / mu^2 - 1      where N mu >= 1,

whose leading factor, ``1/mu``, is smaller than the published one. Tokens per call are one more, the target's own.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.checks import check_positive, check_seed
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.table import Table
from otspec.core.trace import Trace
from otspec.limits.laws import target_rows

Array = Any


def log_moments(target: Trace | Array) -> tuple[Estimate, Estimate]:
    """Mean entropy and mean second log-moment of recorded laws, in nats and nats squared.

    Parameters
    ----------
    target : Trace or [*batch V]

    Returns
    -------
    mu, mu2 : Estimate
        Over contexts; exact, without a standard error, for a single law.

    Raises
    ------
    NotALaw, ShapeMismatch

    Examples
    --------
    >>> [round(part.mean, 4) for part in log_moments([0.5, 0.5])]
    [0.6931, 0.4805]
    """
    rows = target_rows(target)
    logs = -np.log(rows, where=rows > 0, out=np.zeros_like(rows))
    moments = (rows * logs).sum(axis=1), (rows * logs**2).sum(axis=1)
    first, second = (Estimate(float(part[0])) if len(rows) == 1 else Estimate.from_samples(part) for part in moments)
    return first, second


def speed_of_light(target: Trace | Array, budgets: Sequence[int]) -> Table:
    """Limit curves of tokens per call against the number of drafted nodes.

    Parameters
    ----------
    target : Trace or [*batch V]
        Recorded target laws, taken as the family of i.i.d. branching.
    budgets : sequence of int
        Numbers of drafted nodes N.

    Returns
    -------
    Table
        Columns ``budget``, ``bound`` (tokens per call, no unknown constant; also at most N + 1), ``published`` (the
        published leading term plus one, whose constant is unknown), ``mu``, ``mu2``.

    Raises
    ------
    NotALaw, ShapeMismatch
    BadArgument
        A target without entropy, for which nothing limits a tree.

    Examples
    --------
    >>> [round(bound, 2) for bound in speed_of_light([0.5, 0.5], [1, 1024]).column("bound")]
    [2.0, 11.91]
    """
    mu, mu2 = (part.mean for part in log_moments(target))
    if mu <= 0:
        raise BadArgument("target: every law is certain, so the best tree hits every node. Fix: a temperature above 0.")
    rows = []
    for budget in budgets:
        count = check_positive("budgets", budget)
        t = max(0.0, float(np.log(count * mu)))
        bound = t / mu + mu2 / mu**2 - 1.0 + count * float(np.exp(-t))
        rows.append({"budget": count, "bound": 1.0 + min(bound, float(count)),
                     "published": 1.0 + (mu + mu2) * float(np.log(count)) / mu**2, "mu": mu, "mu2": mu2})
    return Table(rows)


def best_tree_tokens(target: Trace | Array, budget: int, *, trees: int = 64, seed: int = 0) -> Estimate:
    """Tokens per call of the best deterministic tree of N nodes under i.i.d. branching, which knows the target.

    Parameters
    ----------
    target : Trace or [*batch V]
        Each node gets a law drawn from these; of one law the answer is exact.
    budget : int
        Nodes N.
    trees : int
        Random environments to average over, at least 2.
    seed : int

    Returns
    -------
    Estimate
        One plus the sum of the N largest prefix probabilities.

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument

    Examples
    --------
    >>> best_tree_tokens([0.5, 0.5], 2).mean
    2.0
    """
    rows = -np.sort(-target_rows(target), axis=1)
    nodes = check_positive("budget", budget)
    if len(rows) == 1:
        return Estimate(1.0 + _mass(rows, nodes, np.random.default_rng(0)))
    if check_positive("trees", trees) < 2:
        raise BadArgument("trees: 1, a standard error needs at least 2. Fix: trees=64.")
    rng = np.random.default_rng(check_seed(seed))
    return Estimate.from_samples([1.0 + _mass(rows, nodes, rng) for _ in range(trees)])


def _mass(rows: np.ndarray, nodes: int, rng: np.random.Generator) -> float:
    """Sum of the N largest prefix probabilities of one environment; ``rows`` are sorted from large to small."""
    # an entry is the next child of a node: its probability, that of the node, the node's law and the child's rank
    law = int(rng.integers(len(rows)))
    heap = [(-float(rows[law, 0]), 1.0, law, 0)]
    total = 0.0
    for _ in range(nodes):
        chance, above, law, rank = heapq.heappop(heap)
        if chance == 0.0:
            break
        total -= chance
        if rank + 1 < rows.shape[1]:
            heapq.heappush(heap, (-above * float(rows[law, rank + 1]), above, law, rank + 1))
        below = int(rng.integers(len(rows)))
        heapq.heappush(heap, (chance * float(rows[below, 0]), -chance, below, 0))
    return total
