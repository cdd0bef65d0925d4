"""The dual bound of K independent paths after one context, estimated from drafted paths and target rollouts.

Half of the paths fix the curve, the other half evaluate the bound that it gives, then they swap: evaluated on the paths
that fixed it, the bound would be too low. The worth h of a draft-limited node is the mean over rollouts, target texts
that do not depend on the drafts; each step adds its chance of being target-limited rather than its outcome, so a node
whose extensions are leaves has no error at all, and a target-limited node never has.

The Monte-Carlo variance is that of the evaluating paths (jackknife) and of the rollouts; the curve is as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from otspec.analysis.dual.curve import Curve, Walk, fitted, guess, walk
from otspec.analysis.dual.prefixes import Drawn, Prefixes, pick
from otspec.analysis.dual.statistics import (
    all_inside,
    jackknife_variance,
    largest_without,
    mean_largest,
    top_weights,
)


class Bounded(NamedTuple):
    """Tokens per call after one context that no rule exceeds, and its Monte-Carlo variance."""

    value: float
    variance: float


@dataclass(frozen=True)
class _Half:
    """One shape of drafts evaluated on one half of the paths with the curve of the other."""

    drawn: Drawn
    curve: Curve
    walk: Walk
    length: int

    def draft_limited(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the draft-limited nodes that rollouts must price: all but those of full depth."""
        rows, columns = np.nonzero(~self.walk.limited[:, :-1])
        return rows, columns


def stateless(prefixes: Prefixes, drawn: Drawn, shapes: Sequence[tuple[int, int]], rollouts: int,
              rng: np.random.Generator) -> list[Bounded]:
    """Bound of every shape (paths, tokens per path), all from the same drafts.

    Parameters
    ----------
    prefixes : Prefixes
    drawn : Drawn
        At least twice as many paths as the largest shape has, and as long.
    shapes : sequence of (num_paths, draft_length)
    rollouts : int
        Target texts per draft-limited node, at least 2.
    rng : Generator
        Of the rollouts.
    """
    halves = [_half(drawn, shape, swapped) for shape in shapes for swapped in (False, True)]
    priced = _priced(prefixes, halves, rollouts, rng)
    found = [_evaluated(prefixes, half, worth, error) for half, (worth, error) in zip(halves, priced, strict=True)]
    return _averaged(found)


def one_call(drawn: Drawn, shapes: Sequence[tuple[int, int]]) -> list[Bounded]:
    """Bound of the one-call problem for every shape; no rollouts are needed."""
    found = []
    for paths, length in shapes:
        for fit, test in _swaps(drawn, length):
            state = walk(test.ratios, fitted(fit.ratios, paths, stateless=False), stateless=False)
            paid = np.where(state.limited, state.alpha, 0.0).sum(axis=1)
            found.append(_combined(paid, state.score[:, -1], paths))
    return _averaged(found)


def level(drawn: Drawn, shapes: Sequence[tuple[int, int]]) -> list[Bounded]:
    """Sum over the levels of the membership bound ``1 + P(H) - Q(H)**K`` with ``H = {P/Q <= t}``, for every shape."""
    found = []
    for paths, length in shapes:
        for fit, test in _swaps(drawn, length):
            mass, tests = np.cumprod(fit.ratios, axis=1), np.cumprod(test.ratios, axis=1)
            value, without = 1.0 + length, np.zeros(len(tests))
            for depth in range(length):
                inside = tests[:, depth] <= _threshold(mass[:, depth], paths)
                weight = np.where(inside, tests[:, depth], 0.0)
                hits, count = int(inside.sum()), len(inside)
                value += float(weight.mean()) - float(all_inside(hits, count, paths))
                without += (weight.sum() - weight) / (count - 1) - all_inside(hits - inside, count - 1, paths)
            found.append(Bounded(value, jackknife_variance(without)))
    return _averaged(found)


def _threshold(ratios: np.ndarray, paths: int) -> float:
    """Ratio t at which ``P(H) - Q(H)**K`` is smallest on these draws; -inf for the empty set."""
    ordered = np.sort(ratios)
    count = len(ordered)
    sets = np.arange(count + 1)
    value = np.concatenate([[0.0], np.cumsum(ordered)]) / count - all_inside(sets, count, paths)
    best = int(np.argmin(value))
    return -np.inf if best == 0 else float(ordered[best - 1])


def _swaps(drawn: Drawn, length: int) -> list[tuple[Drawn, Drawn]]:
    count = len(drawn.ratios) // 2
    first, second = (drawn.part(part, length) for part in (slice(0, count), slice(count, 2 * count)))
    return [(first, second), (second, first)]


def _half(drawn: Drawn, shape: tuple[int, int], swapped: bool) -> _Half:
    paths, length = shape
    fit, test = _swaps(drawn, length)[swapped]
    curve = fitted(fit.ratios, paths, stateless=True)
    return _Half(test, curve, walk(test.ratios, curve, stateless=True), length)


def _priced(prefixes: Prefixes, halves: Sequence[_Half], rollouts: int,
            rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Worth of every node ``[n L]`` of every half, and the variance of the estimate; all rollouts side by side."""
    starts: list[tuple[int, int, int, int]] = []  # half, prefix, and one row and column where it stands
    found = []
    for number, half in enumerate(halves):
        rows, columns = half.draft_limited()
        nodes, first = np.unique(half.drawn.before[rows, columns + 1], return_index=True)
        starts += [(number, int(node), int(rows[i]), int(columns[i])) for node, i in zip(nodes, first, strict=True)]
        found.append((np.where(half.walk.limited, 0.0, 1.0), np.zeros(half.walk.limited.shape)))
    if starts:
        steps, variance = _rolled(prefixes, halves, starts, rollouts, rng)
        for (number, node, _, column), more, error in zip(starts, steps, variance, strict=True):
            half = halves[number]
            here = (half.drawn.before[:, column + 1] == node) & ~half.walk.limited[:, column]
            found[number][0][here, column] += more
            found[number][1][here, column] = error
    return found


def _rolled(prefixes: Prefixes, halves: Sequence[_Half], starts: Sequence[tuple[int, int, int, int]], rollouts: int,
            rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Mean number of target-limited steps after each start and the variance of that mean."""
    which, node, row, column = np.repeat(np.array(starts, dtype=np.int64), rollouts, axis=0).T
    alpha, score = (np.array([getattr(halves[w].walk, name)[r, c] for w, r, c in zip(which, row, column, strict=True)])
                    for name in ("alpha", "score"))
    length, depth = np.array([halves[w].length for w in which]), column + 1
    steps, alive = np.zeros(len(which)), np.arange(len(which))
    while alive.size:
        depth[alive] += 1
        cap = np.empty(alive.size)
        for number in np.unique(which[alive]):
            mine, half = which[alive] == number, halves[number]
            raised = score[alive[mine]] + guess(depth[alive[mine]], half.length, stateless=True)
            cap[mine] = half.curve(raised)
        chance, token, ratio = _step(prefixes, node[alive], alpha[alive], cap, rng.random(alive.size))
        steps[alive] += chance
        alpha[alive] *= ratio
        going = (token >= 0) & (depth[alive] < length[alive])
        alive, token = alive[going], token[going]
        if alive.size:
            node[alive] = prefixes.visit(node[alive], token)
    table = steps.reshape(-1, rollouts)
    return table.mean(axis=1), table.var(axis=1, ddof=1) / rollouts


def _step(prefixes: Prefixes, node: np.ndarray, alpha: np.ndarray, cap: np.ndarray,
          uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chance that the target's next token is target-limited, that token (-1: it is not), and its ratio."""
    chance, token, ratio = np.zeros(len(node)), np.full(len(node), -1), np.ones(len(node))
    states, group = np.unique(np.stack([node, alpha, cap]), axis=1, return_inverse=True)
    for number, (where, weight, limit) in enumerate(states.T):
        here = np.flatnonzero(group.ravel() == number)
        target, draft = prefixes.laws(int(where))
        cumulative = np.cumsum(np.where(weight * target < limit * draft, target, 0.0), dtype=np.float64)
        chance[here] = min(cumulative[-1], 1.0)
        on = here[uniforms[here] < chance[here]]
        token[on] = pick(cumulative, uniforms[on] / chance[on])
        ratio[on] = target[token[on]] / draft[token[on]].astype(np.float64)
    return chance, token, ratio


def _evaluated(prefixes: Prefixes, half: _Half, worth: np.ndarray, error: np.ndarray) -> Bounded:
    """Right-hand side of the theorem on the half's own paths."""
    paths, score = half.curve.paths, worth.sum(axis=1)
    bounded = _combined(_root_term(prefixes, half), score, paths)
    order = np.argsort(score, kind="stable")
    weight = np.empty(len(score))
    weight[order] = top_weights(len(score), paths)
    rows, columns = half.draft_limited()
    nodes, place = np.unique(half.drawn.before[rows, columns + 1], return_inverse=True)
    lever = np.bincount(place, weight[rows], minlength=len(nodes))
    noise = np.zeros(len(nodes))
    noise[place] = error[rows, columns]
    return Bounded(bounded.value, bounded.variance + float(lever**2 @ noise))


def _root_term(prefixes: Prefixes, half: _Half) -> np.ndarray:
    """Each path's share of the number of target-limited steps from the root, the last step of each integrated out."""
    state, total = half.walk, np.zeros(len(half.walk.alpha))
    for depth in range(half.length):
        begun = np.ones(len(total), dtype=bool) if depth == 0 else state.untouched[:, depth - 1]
        live = np.flatnonzero(begun)
        if not live.size:
            break
        weight = np.ones(live.size) if depth == 0 else state.alpha[live, depth - 1]
        cap = np.full(live.size, half.curve(np.array([guess(depth + 1, half.length, stateless=True)]))[0])
        chance, _, _ = _step(prefixes, half.drawn.before[live, depth], weight, cap, np.ones(live.size))
        total[live] += weight * chance
    return total


def _combined(paid: np.ndarray, score: np.ndarray, paths: int) -> Bounded:
    """One plus the mean of what is paid for target-limited nodes, plus the mean largest score of K paths."""
    value = 1.0 + float(paid.mean()) + mean_largest(score, paths)
    without = (paid.sum() - paid) / (len(paid) - 1) + largest_without(score, paths)
    return Bounded(value, jackknife_variance(without))


def _averaged(found: Sequence[Bounded]) -> list[Bounded]:
    """Means of the two swaps, which evaluate on different paths."""
    return [Bounded((one.value + other.value) / 2, (one.variance + other.variance) / 4)
            for one, other in zip(found[::2], found[1::2], strict=True)]
