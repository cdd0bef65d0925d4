"""Integrating the coins of a deterministic function: the cells that its answers reveal.

A rule cuts the cube of its uniforms into boxes on which its answer is constant. The boxes are found from answers alone:
a box whose corners, centre and some random points all give one answer is taken for whole; another is cut where its
answer changes along an edge, located to neighbouring floats. The mass of slabs and boxes that could not be resolved is
certified. A box that hides a smaller one would be missed, so the partition is tried on fresh random points; a point
that contradicts it cuts its box again, until none does, and their number bounds what may be hidden still.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from otspec.auditing.cases import Answer

ROUNDS = 14  # of sixteen parts each, to neighbouring floats
INNER = 3  # random points of a box beside its centre
PROBES = 64  # fresh random points that must agree with the partition
MAX_BOXES = 1500
SMALLEST = 1e-13
Ask = Callable[[np.ndarray], list[Answer]]


@dataclass
class Cells:
    """Law of the answers, the mass that belongs to none, and the random points that agreed with it."""

    masses: dict[Answer, float] = field(default_factory=dict)
    unresolved: float = 0.0
    probes: int = 0


def integrate(ask: Ask, dimension: int, rng: np.random.Generator) -> Cells:
    """Law of the answers of a function of uniform numbers.

    Parameters
    ----------
    ask : callable
        Points ``[n dimension]`` of the unit cube to their answers.
    dimension : int
    rng : numpy.random.Generator
        Of the points tried.

    Returns
    -------
    Cells

    Examples
    --------
    >>> cells = integrate(lambda points: [(int(x > 0.25),) for x in points[:, 0]], 1, np.random.default_rng(0))
    >>> {answer: round(mass, 9) for answer, mass in sorted(cells.masses.items())}, round(cells.unresolved, 9)
    ({(0,): 0.25, (1,): 0.75}, 0.0)
    """
    cells, whole = Cells(), []
    work = deque([(np.zeros(dimension), np.ones(dimension), np.empty((0, dimension)))])
    made = 0
    while True:
        while work and made < MAX_BOXES:
            low, high, extra = work.popleft()
            made += 1
            answer = _examine(ask, low, high, extra, rng, work, cells)
            if answer is not None:
                whole.append((low, high, answer))
        if work:
            cells.unresolved += sum(float(np.prod(high - low)) for low, high, _ in work)
            break
        if not _contradicted(ask, whole, rng, work, cells, dimension):
            break
    for low, high, answer in whole:
        cells.masses[answer] = cells.masses.get(answer, 0.0) + float(np.prod(high - low))
    return cells


def _examine(ask: Ask, low: np.ndarray, high: np.ndarray, extra: np.ndarray, rng: np.random.Generator, work: deque,
             cells: Cells) -> Answer | None:
    """Answer of a box that is whole; a box that is not is cut, and its parts go to the work."""
    dimension, size = low.size, high - low
    if float(np.prod(size)) < SMALLEST:
        cells.unresolved += float(np.prod(size))
        return None
    bits = np.array(list(itertools.product((0, 1), repeat=dimension)))
    corners = np.where(bits, np.nextafter(high, 0), low)
    inner = low + size * np.concatenate([np.full((1, dimension), 0.5), rng.random((INNER, dimension))])
    answers = ask(np.concatenate([corners, inner, extra]))
    if len(set(answers)) == 1:
        return answers[0]
    axis, place = _edge(answers, bits)
    if axis < 0:  # the corners agree, something inside does not
        axis = int(size.argmax())
        cut = low[axis] + size[axis] / 2
    else:
        below, cut = _bisect(ask, corners[place], axis, low[axis], np.nextafter(high[axis], 0))
        cells.unresolved += float(np.prod(np.delete(size, axis)) * (cut - below))
    for start, end in ((low[axis], cut), (cut, high[axis])):
        first, last = low.copy(), high.copy()
        first[axis], last[axis] = start, end
        inside = extra[(extra[:, axis] >= start) & (extra[:, axis] < end)]
        if end > start:
            work.append((first, last, inside))
    return None


def _edge(answers: list[Answer], bits: np.ndarray) -> tuple[int, int]:
    """Axis along which most edges change their answer, and the lower corner of one of them; -1 if none does."""
    dimension, best = bits.shape[1], (-1, -1, 0)
    for axis in range(dimension):
        step = 1 << (dimension - 1 - axis)
        changed = [place for place in range(len(bits)) if not bits[place, axis]
                   and answers[place] != answers[place + step]]
        if len(changed) > best[2]:
            best = (axis, changed[0], len(changed))
    return best[0], best[1]


def _bisect(ask: Ask, corner: np.ndarray, axis: int, low: float, high: float) -> tuple[float, float]:
    """Two neighbouring numbers between which the answer changes first from that at the lower end."""
    point = np.repeat(corner[None], 15, axis=0)
    point[0, axis] = low
    first = ask(point[:1])[0]
    for _ in range(ROUNDS):
        grid = np.linspace(low, high, 17)[1:-1]
        point[:, axis] = grid
        same = np.array([answer == first for answer in ask(point)])
        change = int(np.argmin(same)) if not same.all() else 15
        low, high = (grid[change - 1] if change else low), (grid[change] if change < 15 else high)
        if np.nextafter(low, 1) >= high:
            break
    return low, high


def _contradicted(ask: Ask, whole: list[tuple[np.ndarray, np.ndarray, Answer]], rng: np.random.Generator, work: deque,
                  cells: Cells, dimension: int) -> bool:
    """Whether fresh points contradict the partition; boxes that they contradict go back to the work."""
    points = rng.random((PROBES, dimension))
    answers = ask(points)
    lows, highs = (np.stack([box[part] for box in whole]) for part in (0, 1))
    bad: dict[int, list[np.ndarray]] = {}
    for point, answer in zip(points, answers, strict=True):
        inside = np.flatnonzero(((lows <= point) & (point < highs)).all(axis=1))
        if inside.size and whole[inside[0]][2] != answer:
            bad.setdefault(int(inside[0]), []).append(point)
    if not bad:
        cells.probes += PROBES
        return False
    for place in sorted(bad, reverse=True):
        low, high, _ = whole.pop(place)
        work.append((low, high, np.array(bad[place])))
    return True
