"""Curves over and under points by their definition: every chord is tried."""

import numpy as np


def above_all_chords(x, y):
    """Least concave majorant at every x: the highest chord over it."""
    top = y.copy()
    for i in range(x.size):
        for j in range(i + 1, x.size):
            inner = slice(i, j + 1)
            if x[j] > x[i]:
                top[inner] = np.maximum(top[inner], np.interp(x[inner], x[[i, j]], y[[i, j]]))
    return top
