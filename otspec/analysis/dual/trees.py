"""The dual bound of any drafted tree, estimated from whole trees drawn by its drafter.

The theorem of `otspec.analysis.dual` holds for every random tree; what must be guessed is the dual function. Here
``alpha(u)`` is the probability that a call keeps u or a node below it, over the probability that u is drafted, for
which the *reach* stands in: the chance that a token is among the k children of a node, k the mean number of children
there at that depth. A node is target-limited as long as ``alpha p / reach`` stays below ``c(G) = F(G)**(1 - 1/N)``: F
is the law of a tree's largest score and N its number of leaves, so that c is the chance that no other leaf scores more
(for N independent paths, exactly). A poor guess loosens the bound and never breaks it. The worth of draft-limited
nodes, and that of the root, come from target rollouts. A tree without chance needs none: its optimum keeps every
drafted prefix of the target's own text.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from otspec.analysis.dual.curve import DAMPING, ROUNDS, Curve, guess
from otspec.analysis.dual.prefixes import Prefixes, pick
from otspec.analysis.dual.sampled import Bounded
from otspec.analysis.dual.statistics import jackknife_variance

NEWTON = 6  # steps to the rate of a race: it converges from below, quadratically


class DrawnTrees(NamedTuple):
    """Drafted trees ``[S N]``: the prefix number of every node (-1: absent) and the column of its parent (-1: root)."""

    prefixes: np.ndarray
    parents: np.ndarray
    depths: np.ndarray
    ratios: np.ndarray
    draws: np.ndarray
    leaves: float

    def part(self, chosen: slice) -> DrawnTrees:
        """Some of the trees."""
        return self._replace(**{name: getattr(self, name)[chosen] for name in
                                ("prefixes", "parents", "depths", "ratios")})


@dataclass(frozen=True)
class Reach:
    """Chance that each token is among ``draws [L]`` children of a prefix, by the depth of the children.

    Parameters
    ----------
    prefixes : Prefixes
    draws : [L]
    kind : str
        How children are drawn, as in `otspec.DraftTree`: independently (paths), without replacement, or (greedy) one
        beside the likeliest tokens.
    """

    prefixes: Prefixes
    draws: np.ndarray
    kind: str = "without_replacement"
    _known: dict[int, np.ndarray] = field(default_factory=dict)

    def after(self, number: int, depth: int) -> np.ndarray:
        """Chances ``[V]`` after a prefix, which has one depth."""
        if number not in self._known:
            self._known[number] = self.chances(self.prefixes.laws(number)[1], depth)
        return self._known[number]

    def chances(self, draft: np.ndarray, depth: int) -> np.ndarray:
        """Chances ``[V]``; without replacement those of an exponential race stopped when ``draws`` have come."""
        count = float(self.draws[depth - 1])
        if count > 1.0 and self.kind == "greedy":
            top = int(np.ceil(count)) - 1
            head = np.argsort(-draft, kind="stable")[:top]
            tail = draft.astype(np.float64)
            tail[head] = 0.0
            chances = tail * (count - top) / max(float(tail.sum()), 1e-300)
            chances[head] = draft[head] > 0
            return chances
        if count <= 1.0 or self.kind == "paths":
            return count * draft if count <= 1.0 else -np.expm1(count * np.log1p(-np.minimum(draft, 1.0 - 1e-12)))
        live = draft[draft > 0].astype(np.float64)
        if live.size <= count:
            return (draft > 0).astype(np.float64)
        rate = count
        for _ in range(NEWTON):
            left = np.exp(-rate * live)
            rate += (count - live.size + left.sum()) / (live @ left)
        return -np.expm1(-rate * draft.astype(np.float64))


def number_trees(prefixes: Prefixes, tokens: np.ndarray, parents: np.ndarray, depth: int,
                 kind: str) -> tuple[DrawnTrees, Reach]:
    """Trees ``[S N]`` as nodes of the prefixes that they share; ``parents`` count from 1, 0 being the root."""
    trees, size = tokens.shape
    numbers, depths = np.full((trees, size), -1, dtype=np.int64), np.zeros((trees, size), dtype=np.int64)
    for column in range(size):
        above = parents[:, column] - 1
        root = above < 0
        depths[:, column] = 1 + np.where(root, 0, depths[np.arange(trees), np.maximum(above, 0)])
    for level in range(1, depth + 1):
        row, node = np.nonzero((depths == level) & (tokens >= 0))
        above = parents[row, node] - 1
        starts = np.where(above < 0, 0, numbers[row, np.maximum(above, 0)])
        numbers[row, node] = prefixes.visit(starts, tokens[row, node])
    present = tokens >= 0
    begun = [trees, *((depths == level) & present for level in range(1, depth + 1))]
    count = [float(np.sum(part)) for part in begun]
    draws = np.array([below / above if above else 0.0 for above, below in itertools.pairwise(count)])
    reach = Reach(prefixes, draws, kind)
    ratios = np.zeros((trees, size))
    for row, node in zip(*np.nonzero(present), strict=True):
        above, token = parents[row, node] - 1, tokens[row, node]
        start = int(0 if above < 0 else numbers[row, above])
        chance = reach.after(start, int(depths[row, node]))[token]
        ratios[row, node] = prefixes.laws(start)[0][token] / chance
    inner = np.zeros((trees, size + 1), dtype=bool)
    np.put_along_axis(inner, np.where(present, parents, 0), True, axis=1)
    leaves = float(np.mean((present & ~inner[:, 1:]).sum(axis=1)))
    return DrawnTrees(numbers, parents - 1, np.where(present, depths, 0), ratios, draws, max(1.0, leaves)), reach


def deterministic(prefixes: Prefixes, tokens: np.ndarray, parents: np.ndarray) -> float:
    """Optimum of one tree ``[N]`` drafted without chance: one plus the target's mass of its nodes."""
    mass, numbers = [1.0], [0]
    for token, parent in zip(tokens.tolist(), parents.tolist(), strict=True):
        law = None if token < 0 else prefixes.laws(numbers[parent])[0]
        mass.append(0.0 if law is None else mass[parent] * float(law[token]))
        numbers.append(-1 if law is None else int(prefixes.visit(np.array([numbers[parent]]), np.array([token]))[0]))
    return float(sum(mass))


class _State(NamedTuple):
    limited: np.ndarray
    alpha: np.ndarray
    score: np.ndarray


def sampled_trees(prefixes: Prefixes, drawn: DrawnTrees, reach: Reach, rollouts: int, root_rollouts: int,
                  rng: np.random.Generator) -> Bounded:
    """Bound after one context; half of the trees fix the curve that the other half is evaluated with, and reversed."""
    half, found = len(drawn.prefixes) // 2, []
    for fit, test in ((slice(0, half), slice(half, 2 * half)), (slice(half, 2 * half), slice(0, half))):
        cap = _fitted(drawn.part(fit), len(reach.draws))
        found.append(_evaluated(prefixes, drawn.part(test), cap, reach, rollouts, root_rollouts, rng))
    return Bounded((found[0].value + found[1].value) / 2, (found[0].variance + found[1].variance) / 4)


def _walk(drawn: DrawnTrees, cap: Callable[[np.ndarray], np.ndarray], length: int) -> _State:
    trees, size = drawn.prefixes.shape
    state = _State(np.ones((trees, size), dtype=bool), np.ones((trees, size)), np.zeros((trees, size)))
    each = np.arange(trees)
    for node in range(size):
        above = drawn.parents[:, node]
        inner = above >= 0
        before = np.where(inner, state.alpha[each, above], 1.0), np.where(inner, state.score[each, above], 0.0)
        raised = before[1] + guess(drawn.depths[:, node], length, stateless=True)
        most, wanted = cap(raised), before[0] * drawn.ratios[:, node]
        limited = (wanted < most) | (drawn.depths[:, node] == 0)
        for column, value in zip(state, (limited, np.minimum(wanted, most), np.where(limited, before[1], raised)),
                                 strict=True):
            column[:, node] = value
    return state


def _fitted(drawn: DrawnTrees, length: int) -> Callable[[np.ndarray], np.ndarray]:
    def cap(scores: np.ndarray, shares: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        # a curve for two draws is twice the law of the scores
        law = Curve(scores, shares, 2)
        return lambda score: (law(score) / 2) ** (1.0 - 1.0 / drawn.leaves)

    scores, shares, mass = np.zeros(1), np.ones(1), np.full(len(drawn.prefixes), 1.0 / len(drawn.prefixes))
    for _ in range(ROUNDS):
        scores = np.concatenate([scores, _walk(drawn, cap(scores, shares), length).score.max(axis=1)])
        shares = np.concatenate([shares * (1 - DAMPING), mass * DAMPING])
    return cap(scores, shares)


def _evaluated(prefixes: Prefixes, drawn: DrawnTrees, cap: Callable[[np.ndarray], np.ndarray], reach: Reach,
               rollouts: int, root_rollouts: int, rng: np.random.Generator) -> Bounded:
    state = _walk(drawn, cap, len(reach.draws))
    present = drawn.depths > 0
    paid, paid_error = _rolled(prefixes, np.array([0]), np.ones(1), np.zeros(1), np.zeros(1, dtype=np.int64), cap,
                               reach, root_rollouts, rng)
    rows, columns = np.nonzero(present & ~state.limited)
    numbers, first, place = np.unique(drawn.prefixes[rows, columns], return_index=True, return_inverse=True)
    at = rows[first], columns[first]
    steps, error = _rolled(prefixes, numbers, state.alpha[at], state.score[at], drawn.depths[at], cap, reach, rollouts,
                           rng)
    gain = np.zeros(present.shape)
    gain[rows, columns] = 1.0 + steps[place]
    total, each = np.zeros(present.shape), np.arange(len(gain))
    for node in range(drawn.parents.shape[1]):
        above = drawn.parents[:, node]
        total[:, node] = gain[:, node] + np.where(above >= 0, total[each, above], 0.0)
    # nodes of the best leaf carry the errors of their worths into the mean
    best, lever = total.argmax(axis=1), np.zeros(len(numbers))
    owner = np.full(present.shape, -1)
    owner[rows, columns] = place
    for row, node in enumerate(best):
        while node >= 0:
            if owner[row, node] >= 0:
                lever[owner[row, node]] += 1.0 / len(best)
            node = drawn.parents[row, node]
    largest = total.max(axis=1)
    without = (largest.sum() - largest) / (len(largest) - 1)
    return Bounded(1.0 + float(paid[0]) + float(largest.mean()),
                   jackknife_variance(without) + float(paid_error[0]) + float(lever**2 @ error))


def _rolled(prefixes: Prefixes, numbers: np.ndarray, alpha: np.ndarray, score: np.ndarray, depth: np.ndarray,
            cap: Callable[[np.ndarray], np.ndarray], reach: Reach, rollouts: int,
            rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean number of target-limited steps after each prefix and the variance of that mean."""
    length = len(reach.draws)
    node, alpha, score, depth = (np.repeat(array, rollouts) for array in (numbers, alpha, score, depth))
    steps, alive = np.zeros(len(node)), np.flatnonzero(depth < length)
    while alive.size:
        depth[alive] += 1
        most = cap(score[alive] + guess(depth[alive], length, stateless=True))
        token = np.full(alive.size, -1)
        states, group = np.unique(np.stack([node[alive], alpha[alive], most, depth[alive]]), axis=1,
                                  return_inverse=True)
        uniforms = rng.random(alive.size)
        for number, (where, weight, limit, level) in enumerate(states.T):
            here = np.flatnonzero(group.ravel() == number)
            target, chance = prefixes.laws(int(where))[0], reach.after(int(where), int(level))
            limited = np.cumsum(np.where(weight * target < limit * chance, target, 0.0), dtype=np.float64)
            steps[alive[here]] += limited[-1]
            on = here[uniforms[here] < limited[-1]]
            if on.size and level < length:
                token[on] = pick(limited, uniforms[on] / limited[-1])
                alpha[alive[on]] *= target[token[on]] / chance[token[on]]
        going = token >= 0
        alive, token = alive[going], token[going]
        if alive.size:
            node[alive] = prefixes.visit(node[alive], token)
    table = steps.reshape(-1, rollouts)
    return table.mean(axis=1), table.var(axis=1, ddof=1) / rollouts
