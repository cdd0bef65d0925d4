"""The least concave majorant of points in the order of their x, in one compiled scan.

Definition. The *least concave majorant* of points (P_j, c_j) is the smallest concave curve above them.

Theorem used: its increments are the weighted isotonic regression of the slopes dc/dP, so pooling adjacent violators
gives them in one pass [spectr]. `otspec.transport.winner.majorant_parallel` gives them in whole-array operations.
"""

from numba import njit

NEGLIGIBLE = 1e-290  # below this a target probability counts as zero: products with it would underflow


@njit(cache=True, nogil=True)
def pool_increments(target, increments, law, width, height, start):
    """Write the majorant's increments of every row of ``increments`` [B V] into ``law`` [B V].

    ``width``, ``height`` [V] and ``start`` [V + 1] are work space. Slopes are compared
    cross-multiplied, so no division by a vanishing target occurs.
    """
    rows, size = target.shape
    for row in range(rows):
        top = -1
        for j in range(size):
            weight = target[row, j]
            if weight < NEGLIGIBLE:
                law[row, j] = increments[row, j]
                continue
            w = weight
            h = increments[row, j]
            first = j
            while top >= 0 and height[top] * w < h * width[top]:
                w += width[top]
                h += height[top]
                first = start[top]
                top -= 1
            top += 1
            width[top] = w
            height[top] = h
            start[top] = first
        for block in range(top + 1):
            end = start[block + 1] if block < top else size
            slope = height[block] / width[block]
            for j in range(start[block], end):
                if target[row, j] >= NEGLIGIBLE:
                    law[row, j] = target[row, j] * slope
