"""The level bound on recorded rows: no models, one drafted block per context.

For every level the membership bound holds after every context with any set H of prefixes: ``1 + P(H) - Q(H)**K``. One
block per context cannot tell ``Q(H)**K`` after that context, but the mean over contexts is at least the K-th power of
the mean of Q(H), so ``1 + mean P(H) - (mean Q(H))**K`` bounds the mean of all contexts: looser than what paths drawn
from the models give, and equal with one path. The power is estimated without bias from the products over sets of K
different contexts. Level 1 needs no sampling: the optimum of the recorded laws.
"""

from __future__ import annotations

import numpy as np

from otspec.analysis.dual.statistics import all_inside
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.trace import Trace
from otspec.transport.bounds import optimal_acceptance

PART = 64  # contexts read at a time


def recorded_level(trace: Trace, chosen: np.ndarray, num_paths: int, draft_length: int) -> Estimate:
    """Bound on the mean over contexts, with its standard error, from recorded blocks.

    Parameters
    ----------
    trace : Trace
        Recorded with at least ``draft_length`` tokens per block.
    chosen : [n] int
        Contexts.
    num_paths, draft_length : int

    Raises
    ------
    BadArgument
        Fewer than ``2 * num_paths`` contexts, or tokens that the draft rows do not give.
    """
    if len(chosen) < max(4, 2 * num_paths):
        raise BadArgument(f"num_paths: {num_paths} from {len(chosen)} recorded paths, of which one half fixes the sets "
                          f"and the other evaluates them. Fix: at least {max(4, 2 * num_paths)} contexts.")
    mass, first = _along(trace, chosen, num_paths, draft_length)
    half = np.arange(len(chosen)) % 2 == 0
    limits = np.stack([_limits(mass[~half], num_paths), _limits(mass[half], num_paths)])
    inside = _inside(trace, chosen, mass, limits[(~half).astype(int)])
    value, share = float(first.mean()), first.copy()
    for part in (half, ~half):
        for depth in range(1, draft_length):
            target, draft = inside[part, depth].T
            level = 1.0 + float(target.mean()) - products(draft, num_paths)
            value += level / 2
            share[part] += target - num_paths * draft.mean() ** (num_paths - 1) * draft
    stderr = float(share.std(ddof=1)) / np.sqrt(len(share))
    return Estimate(1.0 + value, stderr, len(share), len(share) - 1)


def products(values: np.ndarray, count: int) -> float:
    """Mean product of ``count`` different ones of the values ``[n]``.

    Examples
    --------
    >>> products(np.array([1.0, 2.0, 3.0]), 2)
    3.6666666666666665
    """
    means = np.zeros(count + 1)
    means[0] = 1.0
    order = np.arange(1, count + 1)
    for number, value in enumerate(values, 1):
        means[1:] = (np.maximum(number - order, 0) * means[1:] + order * value * means[:-1]) / number
    return float(means[-1])


def _along(trace: Trace, chosen: np.ndarray, paths: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Target/draft mass of every prefix of the blocks ``[n L]``, and the optimal acceptance of level 1 ``[n]``."""
    mass, first = np.ones((len(chosen), length)), np.empty(len(chosen))
    for start in range(0, len(chosen), PART):
        part = slice(start, start + PART)
        target, draft, tokens = trace.rows(chosen[part])
        p, q = (np.take_along_axis(rows[:, :length], tokens[:, :length, None], axis=2)[..., 0]
                for rows in (target, draft))
        if not q.all():
            row, depth = np.argwhere(q == 0)[0]
            raise BadArgument(f"tokens[{chosen[part][row]}, {depth}] = {tokens[row, depth]} has probability 0 under "
                              f"its draft row: the laws were truncated to another support after it was drawn. Fix: "
                              f"record the pair at that truncation.")
        mass[part] = np.cumprod(p / q, axis=1)
        first[part] = optimal_acceptance(target[:, 0], draft[:, 0], paths)
    return mass, first


def _limits(mass: np.ndarray, paths: int) -> np.ndarray:
    """Ratio t of every level at which ``P(H) - Q(H)**K`` is smallest on these paths, ``[L]``."""
    count = len(mass)
    ordered = np.concatenate([np.full((1, mass.shape[1]), -np.inf), np.sort(mass, axis=0)])
    summed = np.cumsum(np.maximum(ordered, 0.0), axis=0) / count
    value = summed - all_inside(np.arange(count + 1), count, paths)[:, None]
    return np.take_along_axis(ordered, value.argmin(axis=0)[None], axis=0)[0]


def _inside(trace: Trace, chosen: np.ndarray, mass: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Mass of ``{P/Q <= t}`` at every level given the tokens before it, ``[n L 2]``: as P(H) weighs it, and Q(H)."""
    found = np.zeros((*mass.shape, 2))
    before = np.concatenate([np.ones((len(mass), 1)), mass[:, :-1]], axis=1)
    for start in range(0, len(chosen), PART):
        part = slice(start, start + PART)
        target, draft, _ = trace.rows(chosen[part])
        weighed = before[part, :, None] * target[:, : mass.shape[1]]
        draft = draft[:, : mass.shape[1]]
        hit = weighed <= limits[part][..., None] * draft
        # target mass that is never drafted has no finite ratio
        hit &= draft > 0
        found[part, :, 0], found[part, :, 1] = (np.where(hit, law, 0.0).sum(axis=-1) for law in (weighed, draft))
    return found
