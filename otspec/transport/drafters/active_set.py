r"""Least-norm point of a convex hull, updated one point at a time: the inner loop of Wolfe's method.

Definitions. An *active set* (Wolfe's *corral*) holds affinely independent points; the least-norm point of their affine
hull is a convex combination of them with positive weights. Points are laws measured from a target, in the norm
:math:`\sum_i w_i d_i^2`.

Theorem used: adding a point beyond the current one and stepping to the affine minimiser, dropping points whose weight
reaches zero, ends in an active set after finitely many steps and never increases the norm. (Wolfe 1976)
"""

import numba
import numpy as np
from scipy.linalg.lapack import dtrtrs

_GONE = 1e-13  # a point of smaller weight is dropped: it moves no probability visibly
_DEPENDENT = 1e-13  # relative distance below which a new point lies in the affine hull of the others
_CANCELLED = 0.1  # a remainder this much shorter than its vector has lost a digit and is projected again


class ActiveSet:
    """Convex combination of laws, with the triangular factor of the columns (1, law - target)."""

    def __init__(self, target, inverse_metric, order, law):
        self._target, self._metric = target, inverse_metric
        self._apart = np.empty((8, target.size))  # law - target: small numbers keep their digits
        self._factor = np.zeros((8, 8), order="F")
        self.orders, self.weights = [], np.empty(0)
        self.insert(order, law)
        self.weights[0] = 1.0

    @property
    def excess(self):
        """Mean law minus target, ``[V]``."""
        return self.weights @ self._apart[: len(self.orders)]

    @property
    def laws(self):
        """The laws, ``[m V]``."""
        return self._target + self._apart[: len(self.orders)]

    def insert(self, order, law):
        """Add a law with weight 0; return whether it was independent of the others."""
        size = len(self.orders)
        self._grow(size + 1)
        rest = self._apart[size] = law - self._target
        length = np.sqrt(1.0 + rest @ (self._metric * rest))
        column, lead, left = np.zeros(size), 1.0, length
        for _ in range(3):
            if size == 0:
                break
            part = self._solve(lead + self._apart[:size] @ (self._metric * rest), transposed=True)
            weights = self._solve(part)
            column, rest, lead = column + part, rest - weights @ self._apart[:size], lead - weights.sum()
            before, left = left, np.sqrt(lead**2 + rest @ (self._metric * rest))
            if left > _CANCELLED * before:
                break
        if left <= _DEPENDENT * length:
            return False
        self._factor[:size, size], self._factor[size, size] = column, left
        self.orders.append(order)
        self.weights = np.append(self.weights, 0.0)
        return True

    def progress(self, law, excess):
        """How far moving from the mean towards ``law`` and settling in their affine hull reduces the norm."""
        size = len(self.orders)
        apart = law - self._target
        scaled = self._metric * apart
        part = self._solve(1.0 + self._apart[:size] @ scaled, transposed=True)
        length = 1.0 + apart @ scaled
        left = max(length - part @ part, _DEPENDENT * length)
        return float(excess @ (self._metric * excess) - excess @ scaled) / np.sqrt(left)

    def settle(self):
        """Move to the least-norm point of the convex hull of a subset of the laws; drop the others."""
        while True:
            raw = self._solve(self._solve(np.ones(len(self.orders)), transposed=True))
            goal = raw / raw.sum()
            short = goal <= _GONE
            if not short.any():
                self.weights = goal
                return
            falling = short & (self.weights > goal)
            ratios = self.weights[falling] / (self.weights[falling] - goal[falling])
            step = min(1.0, ratios.min(initial=1.0))
            moved = (1 - step) * self.weights + step * goal
            gone = moved <= _GONE
            if not gone.any():
                gone[np.flatnonzero(falling)[np.argmin(ratios)]] = True
            self._drop(gone, moved)

    def _solve(self, right, *, transposed=False):
        size = len(self.orders)
        return dtrtrs(self._factor[:size, :size], right, trans=int(transposed))[0]

    def _grow(self, size):
        room = len(self._apart)
        if size > room:
            self._apart = np.concatenate([self._apart, np.empty_like(self._apart)])
            factor = np.zeros((2 * room, 2 * room), order="F")
            factor[:room, :room] = self._factor
            self._factor = factor

    def _drop(self, gone, moved):
        for index in np.flatnonzero(gone)[::-1]:
            size = len(self.orders)
            _delete_column(self._factor, index, size)
            self._apart[index : size - 1] = self._apart[index + 1 : size]
            del self.orders[index]
        kept = moved[~gone]
        self.weights = kept / kept.sum()


@numba.njit(cache=True)
def _delete_column(factor, index, size):
    """Remove a column of an upper triangle and rotate it back to a triangle, in place."""
    for j in range(index, size - 1):
        for i in range(j + 2):
            factor[i, j] = factor[i, j + 1]
    for j in range(index, size - 1):
        a, b = factor[j, j], factor[j + 1, j]
        norm = np.hypot(a, b)
        c, s = a / norm, b / norm
        factor[j, j], factor[j + 1, j] = norm, 0.0
        for col in range(j + 1, size - 1):
            x, y = factor[j, col], factor[j + 1, col]
            factor[j, col], factor[j + 1, col] = c * x + s * y, c * y - s * x
