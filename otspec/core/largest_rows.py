"""Top-k and top-p of NumPy rows, compiled: the head is found by halving an interval of masses, never by sorting.

The last token kept has some mass ``v``. An interval of masses that holds ``v`` is halved, one half weighed (counted,
for top-k) and the wrong one dropped. Masses are compared as the integers of their bits, which have the same order and
halve an interval of many powers of two evenly. The first halvings are plain passes over the row, ten of which cost
less than the exponentials of a softmax; what is left then is copied, and shrinks round by round.

Sums in another order than largest first round differently. A decision of top-p that lies within the rounding error of
both sums is therefore not taken here: the row is reported, and the caller sorts it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FEW = 24  # masses that are sorted by insertion
PASSES = 10  # over a row, before the masses left are copied
CROWDED, MORE = 16, 3  # more than 1/16 left takes three more passes
BLOCK = 32  # masses that are looked at together before they are copied
LOW = 2.0**-40  # a mass above which the first tokens of almost every law lie
ABOVE = 2.0  # a mass that no law reaches
ROUNDING = 8 * np.finfo(np.float64).eps  # times V: of a sum of V masses in any order, and of one in the order of rank


@njit(cache=True, nogil=True)
def keep_largest(rows: np.ndarray, count: int, mass: float) -> np.ndarray:
    """Restrict laws ``[n V]`` in place to ``count`` tokens (0: to mass ``mass``); True where a row is undecided."""
    number, size = rows.shape
    undecided = np.zeros(number, np.bool_)
    heap = np.empty(size, np.float64)
    goal, error = (float(count), 0.0) if count else (mass, ROUNDING * size)
    # tokens below this have less than 1 - mass together; a little lower, against rounding
    least = 0.0 if count else (1 - mass) / size * 0.999
    for r in range(number):
        before, head, near = _interval(rows[r], least, goal, error, heap)
        last, room, near = _last_kept(heap, head, goal - before, error, near)
        undecided[r] = near
        if not near:
            _restrict(rows[r], last, room)
    return undecided


@njit(cache=True, nogil=True)
def _interval(row: np.ndarray, least: float, goal: float, error: float,
              heap: np.ndarray) -> tuple[float, int, bool]:
    """Copy the masses among which the last one kept lies.

    Returns the weight of all larger ones, the number copied, and whether a decision was within ``error``.
    """
    edges = np.empty(3)
    bits = edges.view(np.int64)
    edges[0], edges[1] = max(least, 5e-324), ABOVE  # zeros are never kept
    before, near, passes = 0.0, False, PASSES if len(row) > FEW else 0
    while passes > 0 and bits[1] - bits[0] >= 2:
        bits[2] = bits[0] + (bits[1] - bits[0]) // 2
        if edges[0] < LOW and edges[1] == ABOVE:
            edges[2] = LOW
        weight = _number_from(row, edges[2]) if error == 0 else _mass_from(row, edges[2])
        near |= abs(weight - goal) < error
        if weight < goal:
            bits[1], before = bits[2], weight
        else:
            bits[0] = bits[2]
        passes -= 1
        if passes == 0 and (_number_from(row, edges[0]) - _number_from(row, edges[1])) * CROWDED > len(row):
            passes = MORE  # masses that are nearly equal
    return before, _copy(row, edges[0], edges[1], heap), near


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _mass_from(row: np.ndarray, least: float) -> float:
    mass = 0.0
    for i in range(len(row)):
        x = row[i]
        mass += x if x >= least else 0.0
    return mass


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _number_from(row: np.ndarray, least: float) -> float:
    number = 0.0
    for i in range(len(row)):
        number += 1.0 if row[i] >= least else 0.0
    return number


@njit(cache=True, nogil=True)
def _copy(row: np.ndarray, low: float, high: float, heap: np.ndarray) -> int:
    found = 0
    for start in range(0, len(row), BLOCK):
        part = row[start : start + BLOCK]
        if not _any_within(part, low, high):
            continue
        for i in range(len(part)):  # without a branch: written always, counted if it belongs
            x = part[i]
            heap[found] = x
            found += (x >= low) & (x < high)
    return found


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _any_within(part: np.ndarray, low: float, high: float) -> bool:
    number = 0
    for i in range(len(part)):
        number += 1 if (part[i] >= low) & (part[i] < high) else 0
    return number > 0


@njit(cache=True, nogil=True)
def _last_kept(heap: np.ndarray, size: int, goal: float, error: float, near: bool) -> tuple[float, int, bool]:
    """Mass of the last token kept, how many of that mass are kept, and whether a decision was within ``error``.

    A token is kept while those before it weigh less than ``goal``: their masses, or with ``error = 0`` their number.
    Orders ``heap[:size]`` anew and loses entries.
    """
    bits = heap.view(np.int64)
    before = 0.0
    while size > FEW:
        low, high = _ends(bits, size)
        if low == high:
            return _last_of_ties(heap[0], size, goal - before, error, near)
        pivot = low + (high - low + 1) // 2
        edge = _as_mass(pivot)
        upper = _number_from(heap[:size], edge) if error == 0 else _mass_from(heap[:size], edge)
        near |= abs(before + upper - goal) < error
        down = before + upper < goal
        if down:
            before += upper
        kept = 0
        for i in range(size):
            x = bits[i]
            bits[kept] = x
            kept += (x < pivot) == down
        size = kept
    return _last_of_few(heap, size, goal - before, error, near)


@njit(cache=True, nogil=True)
def _ends(bits: np.ndarray, size: int) -> tuple[int, int]:
    low = high = bits[0]
    for i in range(size):
        low, high = min(low, bits[i]), max(high, bits[i])
    return low, high


@njit(cache=True, nogil=True)
def _as_mass(bits: int) -> float:
    return np.array([bits]).view(np.float64)[0]


@njit(cache=True, nogil=True)
def _last_of_ties(mass: float, size: int, goal: float, error: float, near: bool) -> tuple[float, int, bool]:
    if error == 0:
        return mass, min(size, int(goal)), near
    room = goal / mass
    # no token follows, or a sum is as large as the goal but for rounding
    near |= room >= size or abs(room - np.rint(room)) * mass < error
    return mass, min(size, int(np.ceil(room))), near


@njit(cache=True, nogil=True)
def _last_of_few(heap: np.ndarray, size: int, goal: float, error: float, near: bool) -> tuple[float, int, bool]:
    for i in range(1, size):
        x, j = heap[i], i
        while j > 0 and heap[j - 1] < x:
            heap[j] = heap[j - 1]
            j -= 1
        heap[j] = x
    before, last, room = 0.0, 0.0, 0
    for i in range(size):
        near |= i > 0 and abs(before - goal) < error
        if not before < goal:
            break
        room = room + 1 if heap[i] == last else 1
        last = heap[i]
        before += 1.0 if error == 0 else heap[i]
    return last, room, near or before < goal + error > goal


@njit(cache=True, nogil=True, fastmath={"reassoc", "nsz"})
def _restrict(row: np.ndarray, last: float, room: int) -> None:
    """Keep what is larger than ``last`` and the first ``room`` tokens equal to it; normalise."""
    mass, number = 0.0, 0
    for i in range(len(row)):
        mass += row[i] if row[i] > last else 0.0
    for i in range(len(row)):
        number += 1 if row[i] == last else 0
    mass += room * last
    end = len(row) if room >= number else _place(row, last, room) + 1
    for i in range(end):
        row[i] = row[i] / mass if row[i] >= last else 0.0
    for i in range(end, len(row)):
        row[i] = row[i] / mass if row[i] > last else 0.0


@njit(cache=True, nogil=True)
def _place(row: np.ndarray, mass: float, number: int) -> int:
    """Id of the ``number``-th token of this mass."""
    for i in range(len(row)):
        number -= row[i] == mass
        if number == 0:
            return i
    return len(row) - 1
