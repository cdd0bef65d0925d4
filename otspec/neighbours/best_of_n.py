"""Best-of-n sampling: the law of the best of n drafts, and how far it is from the drafter.

Definitions. n independent drafts from a law q; the one with the highest score wins, ties broken evenly. With F(y) the
mass of the scores up to that of y and F(y-) the mass below it, the winner is in the class of y with probability
``F(y)**n - F(y-)**n``, shared inside a class in proportion to q.

Theorems [best-of-n]. ``KL(best of n || q) <= log n - (n-1)/n``, with equality only for laws without atoms, whatever the
scores; the win rate against a single draft is at most ``n/(n+1)``. The *estimator* takes the mass e of the winner,

    (1-e)**n [log n + (n-1) log(1-e) - (n-1)/n] + (1 - (1-e)**n) log((1 - (1-e)**n) / e),

which is the exact divergence when the best outcome has mass e and all others are infinitely fine. Merging outcomes only
lowers a divergence, so at the mass of the best class it bounds the exact value from above, and the bound
``log n - (n-1)/n`` is its value at e = 0.

Link to speculative decoding: the best of n drafts *is* one of n drafts, so its law is a winner law, and n drafts reach
it without rejection (`otspec.zero_rejection`, margin 0). With ``P_j`` the mass of the j lowest scores under the law of
the winner and ``x_j`` under q, ``P_j = x_j**n`` exactly: best-of-n is the extreme case of zero rejection.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from otspec.core.checks import as_law, check_no_grad, check_positive, check_seed
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.estimate import Estimate
from otspec.core.laws import draw

Array = Any


def best_of_n_law(law: Array, scores: Array, n: int) -> np.ndarray:
    """Law of the best-scored of ``n`` independent draws.

    Parameters
    ----------
    law : [*batch V]
        Of one draw.
    scores : [V] or [*batch V]
        Any real numbers; equal ones are ties.
    n : int

    Returns
    -------
    [*batch V] float64

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument

    Examples
    --------
    >>> best_of_n_law([0.5, 0.5], [0.0, 1.0], 2)
    array([0.25, 0.75])
    """
    law, scores, n = _checked(law, scores, n)
    below, own, above = _classes(law, scores)
    share = np.divide(law, own, out=np.zeros_like(law), where=own > 0)
    best = winner_masses(below, own, above, n) * share
    return best / best.sum(axis=-1, keepdims=True)


def winner_masses(below: np.ndarray, own: np.ndarray, above: np.ndarray, n: float) -> np.ndarray:
    """Probability ``F**n - F-**n`` that the best of ``n`` draws, any real number of at least 1, falls in each class.

    Parameters
    ----------
    below, own, above : [*batch V]
        Mass of the worse scores, of the class itself and of the better ones: F needs the digits of the smaller tail.
    """
    upper = below + own
    share = np.divide(own, upper, out=np.zeros_like(own), where=upper > 0)
    with np.errstate(divide="ignore"):
        log_upper = np.where(above < 0.5, np.log1p(-np.minimum(above, 0.5)), np.log(upper))
        return np.exp(n * log_upper) * -np.expm1(n * np.log1p(-np.minimum(share, 1.0)))


def best_of_n_kl(law: Array, scores: Array, n: int) -> np.ndarray:
    """Exact divergence ``KL(best of n || law)`` in nats, ``[*batch]``.

    Examples
    --------
    >>> float(best_of_n_kl([0.5, 0.5], [1.0, 1.0], 8))
    0.0
    """
    best, law = best_of_n_law(law, scores, n), _checked(law, scores, n)[0]
    ratio = np.divide(best, law, out=np.ones_like(law), where=best > 0)
    return np.maximum((best * np.log(ratio)).sum(axis=-1), 0.0)


def win_rate(law: Array, scores: Array, n: int) -> np.ndarray:
    """Probability ``[*batch]`` that the best of ``n`` draws outscores one more draw, a tie counting one half.

    Examples
    --------
    >>> float(win_rate([0.5, 0.5], [0.0, 1.0], 1))
    0.5
    """
    best = best_of_n_law(law, scores, n)
    law, scores, _ = _checked(law, scores, n)
    below, own, _ = _classes(law, scores)
    return (best * (below + 0.5 * own)).sum(axis=-1)


def kl_estimate(mass: Array, n: int) -> np.ndarray:
    """Estimate of ``KL(best of n || law)`` in nats from the mass of the winner under the law. [best-of-n].

    Parameters
    ----------
    mass : [*batch]
        In [0, 1]; at 0 the value is the bound ``log n - (n-1)/n``, at 1 it is 0.
    n : int

    Returns
    -------
    [*batch]

    Examples
    --------
    >>> kl_estimate(np.array([0.0, 1.0]), 1)
    array([0., 0.])
    """
    n, mass = check_positive("n", n), np.asarray(mass, dtype=np.float64)
    if not np.all((mass >= 0) & (mass <= 1)):
        raise BadArgument("mass: a value lies outside [0, 1]. Fix: pass probabilities of the winners.")
    rest = np.where(mass < 1, np.log1p(-np.where(mass < 1, mass, 0.0)), 0.0)
    missed = np.where(mass < 1, np.exp(n * rest), 0.0)  # no draft is the winner
    hit = np.where(mass < 1, -np.expm1(n * rest), 1.0)
    fine = missed * (math.log(n) + (n - 1) * rest - (n - 1) / n)
    atom = np.divide(hit, mass, out=np.ones_like(mass), where=mass > 0)
    return np.maximum(fine + hit * np.log(atom), 0.0)


def sampled_kl_estimate(law: Array, scores: Array, n: int, *, samples: int, seed: int) -> Estimate:
    """Mean of `kl_estimate` over winners of best-of-n sampling, as a practitioner has it who sees winners only.

    Parameters
    ----------
    law, scores : [V]
    n, samples, seed : int

    Returns
    -------
    Estimate
        Of ``E kl_estimate(mass of the winner)``, between the exact divergence and the bound in practice; only
        `kl_estimate` at the mass of the best class is proved to lie there.
    """
    best = best_of_n_law(law, scores, n)
    if best.ndim != 1:
        raise ShapeMismatch(f"law: shape {best.shape} is a batch. Fix: pass one law at a time.")
    count, rng = check_positive("samples", samples), np.random.default_rng(check_seed(seed))
    winners = draw(np.broadcast_to(best, (count, best.size)), rng.random(count))
    return Estimate.from_samples(kl_estimate(np.asarray(law, dtype=np.float64)[winners], n))


def _checked(law: Array, scores: Array, n: int) -> tuple[np.ndarray, np.ndarray, int]:
    check_no_grad(law=law, scores=scores)
    law = np.asarray(as_law("law", law), dtype=np.float64)
    try:
        scores = np.asarray(scores)
    except ValueError:
        raise BadArgument("scores: rows of different length. Fix: give every outcome of every law a number.") from None
    if scores.dtype.kind not in "fiu" or not np.all(np.isfinite(scores)):
        raise BadArgument("scores: not finite real numbers. Fix: give every outcome a number.")
    scores = scores.astype(np.float64)
    if scores.ndim == 0 or scores.shape[-1] != law.shape[-1]:
        raise ShapeMismatch(f"scores: shape {scores.shape} does not fit laws on {law.shape[-1]} outcomes. "
                            f"Fix: one score per outcome.")
    try:
        scores = np.broadcast_to(scores, law.shape)
    except ValueError:
        raise ShapeMismatch(f"scores: shape {scores.shape} does not fit laws of shape {law.shape}. "
                            f"Fix: pass [V], or one row per law.") from None
    return law / law.sum(axis=-1, keepdims=True), scores, check_positive("n", n)


def _classes(law: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mass of the scores below that of every outcome, of its own score, and of those above, each ``[*batch V]``."""
    order = np.argsort(scores, axis=-1, kind="stable")
    ranked, mass = (np.take_along_axis(a, order, axis=-1) for a in (scores, law))
    places, size = np.arange(law.shape[-1]), law.shape[-1]
    first = np.ones(law.shape, dtype=bool)
    first[..., 1:] = ranked[..., 1:] != ranked[..., :-1]
    start = np.maximum.accumulate(np.where(first, places, 0), axis=-1)
    last = np.where(np.roll(first, -1, axis=-1), places, size)
    end = np.flip(np.minimum.accumulate(np.flip(last, -1), axis=-1), -1) + 1
    none = np.zeros((*law.shape[:-1], 1))
    up = np.concatenate([none, np.cumsum(mass, axis=-1)], axis=-1)
    down = np.concatenate([np.flip(np.cumsum(np.flip(mass, -1), axis=-1), -1), none], axis=-1)
    below, above = np.take_along_axis(up, start, axis=-1), np.take_along_axis(down, end, axis=-1)
    # a class of one is its own mass, free of the rounding of sums
    own = np.where(end == start + 1, mass, np.take_along_axis(up, end, axis=-1) - below)
    back = np.argsort(order, axis=-1, kind="stable")
    below, own, above = (np.take_along_axis(a, back, axis=-1) for a in (below, own, above))
    return below, own, above
