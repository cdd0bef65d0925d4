"""The dual function of K independent paths, from a curve: which nodes the target limits, and which the drafts.

At the optimum every node is *target-limited* (``a(uy) = a(u) p(y|u)``; then g = 0 and pi = h) or *draft-limited*
(pi = 0 and g = h), where ``h(u)`` is one plus the expected number of consecutive target-limited steps of the target's
own text after u. Along a path with ``alpha = a / Q``, Q the draft's mass of the prefix, a node is target-limited as
long as ``alpha p/q`` stays below what the paths can deliver there, ``c(G) = K F(G)**(K-1)``: F is the law of the final
score G of a drafted path, and a path wins against the others in proportion to c. So the curve is a fixed point. Scores
are counted with a guess of h that is linear in the depth; the bound itself uses h. With one path c is 1, and the
recursion is that of block verification. For the one-call problem ``alpha = P/Q`` is never capped and h is 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROUNDS = 14
DAMPING = 0.4  # share of the newest scores in the curve: whole steps would swing
SLOPE = 0.45  # target-limited steps per token of depth left that the guess of h counts on
GRAIN = 1e-9  # scores are sums of at most L multiples of SLOPE: nearer ones are ties


class Curve:
    """``c(G) = K F(G)**(K-1)`` for a sampled or exact law of scores; at ties, F is taken in the middle.

    Parameters
    ----------
    scores, weights : [n]
    paths : int

    Examples
    --------
    >>> Curve(np.array([0.0, 1.0]), np.ones(2), 2)(np.array([0.5]))
    array([1.])
    """

    def __init__(self, scores: np.ndarray, weights: np.ndarray, paths: int) -> None:
        self._scores, where = np.unique(np.round(scores / GRAIN), return_inverse=True)
        mass = np.bincount(where, weights)
        self._below = np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
        self.paths = paths

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Values ``c(G)``."""
        scores = np.round(scores / GRAIN)
        low, high = (self._below[np.searchsorted(self._scores, scores, side)] for side in ("left", "right"))
        return self.paths * ((low + high) / 2) ** (self.paths - 1)


class Walk(NamedTuple):
    """State along paths ``[n L]``: whether each node is target-limited, its alpha, and the score up to it."""

    limited: np.ndarray
    alpha: np.ndarray
    score: np.ndarray

    @property
    def untouched(self) -> np.ndarray:
        """Whether every node so far is target-limited, ``[n L]``."""
        return np.logical_and.accumulate(self.limited, axis=1)


def guess(depth: np.ndarray | int, length: int, *, stateless: bool) -> np.ndarray | float:
    """What a draft-limited node of a depth is guessed to add to the score."""
    return 1.0 + SLOPE * (length - depth) if stateless else 1.0


def walk(ratios: np.ndarray, curve: Curve, *, stateless: bool) -> Walk:
    """Follow paths with target/draft ``[n L]`` of their tokens."""
    count, length = ratios.shape
    alpha, score = np.ones(count), np.zeros(count)
    columns: list[tuple[np.ndarray, ...]] = []
    for depth in range(1, length + 1):
        raised = score + guess(depth, length, stateless=stateless)
        cap, wanted = curve(raised), alpha * ratios[:, depth - 1]
        limited = wanted < cap
        alpha = np.minimum(wanted, cap) if stateless else wanted
        score = np.where(limited, score, raised)
        columns.append((limited, alpha, score))
    return Walk(*(np.stack(column, axis=1) for column in zip(*columns, strict=True)))


def fitted(ratios: np.ndarray, paths: int, *, stateless: bool, weights: np.ndarray | None = None) -> Curve:
    """Curve that the scores under it give back, by damped rounds from all scores zero.

    Parameters
    ----------
    ratios : [n L]
    weights : [n], optional
        Of the paths; by default they are draws.
    """
    mass = np.full(len(ratios), 1.0 / len(ratios)) if weights is None else weights
    scores, shares = np.zeros(1), np.ones(1)
    for _ in range(ROUNDS):
        new = walk(ratios, Curve(scores, shares, paths), stateless=stateless).score[:, -1]
        scores = np.concatenate([scores, new])
        shares = np.concatenate([shares * (1 - DAMPING), mass * DAMPING])
    return Curve(scores, shares, paths)
