"""Greedy block verification: the most tokens from one block, paid for by a modified target afterwards. [block].

With ``R_i = prod_{j <= i} target_j / draft_j`` along the path, not clamped, prefixes are tried from the longest down;
prefix i is kept with chance ``min(1, sum (R_i target - draft)+ / sum (draft - R_i target)+)`` on the row after it, the
whole path with ``min(1, R_L)``. The next token comes from ``(R target - draft)+``, and so do all later positions that
the block would have covered, R running on: that is the *state* which one iteration hands to the next. A refusal inside
such positions modifies the modified target once more, so a state holds one layer for every block still felt.

Theorem: with its state carried the text has the target's law; one fresh iteration keeps
``sum_i sum_{x^i} min(target(x^i), draft(x^i))`` tokens on average, the most that any rule can, but over several
iterations block verification keeps more. [block]
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.block import BlockVerdict, BlockVerifier
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.host import to_host
from otspec.core.laws import at, namespace, normalized_or, positive_part
from otspec.core.laws import draw as draw_token
from otspec.core.rows import checked_rows, clipped_ratio, row_at
from otspec.core.sequence import SequenceLaw
from otspec.core.tree import DraftTree

Array = Any


class Layer(NamedTuple):
    """A block that stopped early: ``1 / R`` since its start, and how many positions from here on it would cover.

    Inside this module the shortfall may be an array, of texts whose layers cover as many positions.
    """

    shortfall: Any
    left: int


State = tuple[Layer, ...]
FRESH: State = ()


class _Ratios(NamedTuple):
    """What a block is judged by, at each of its prefixes."""

    goal: Array  # [*batch L+1 V] target, modified by the state
    wanted: list[Array]  # [*batch] R_0 .. R_L is wanted / offered
    offered: list[Array]
    excess: list[Array]  # [*batch V] (R target - draft)+ up to scale after prefixes 0 .. L-1
    chances: list[Array]  # [*batch] chance of prefixes 1 .. L to be kept when it is their turn


class GreedyBlock(BlockVerifier):
    """Greedy block verification of one path; each call takes the state of the text and `draw` returns the next one.

    Examples
    --------
    >>> rule = GreedyBlock()
    >>> rule.conditional([[0.5, 0.5]] * 2, [[0.5, 0.5]], [0]).stop
    array([0., 1.])
    """

    stateful: ClassVar[bool] = True
    state_of_text: ClassVar[bool] = True

    def fresh_state(self) -> State:
        """No block before."""
        return FRESH

    def _conditional(self, target_rows: Array, draft_rows: Array, tokens: Array,
                     state: State = FRESH) -> SequenceLaw:
        ratios = _ratios(target_rows, draft_rows, tokens, state)
        goal = ratios.goal
        laws = [normalized_or(excess, goal[..., i, :]) for i, excess in enumerate(ratios.excess)]
        return SequenceLaw(_stop(ratios), namespace(goal).stack([*laws, goal[..., -1, :]], axis=-2))

    def _draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array,
              state: State) -> BlockVerdict:
        ratios = _ratios(target_rows, draft_rows, tokens, state)
        xp = namespace(ratios.goal)
        accepted = xp.zeros(tokens.shape[:-1], dtype=xp.int64, device=tokens.device)
        for i, chance in enumerate(ratios.chances):  # the longest prefix that passes counts
            accepted = xp.where(uniforms[..., i] < chance, xp.full_like(accepted, i + 1), accepted)
        goal = row_at(ratios.goal, accepted)
        weights = xp.stack([*ratios.excess, ratios.goal[..., -1, :]], axis=-2)
        return BlockVerdict(accepted, draw_token(normalized_or(row_at(weights, accepted), goal), uniforms[..., -1]))

    def _kept(self, target_rows: Array, draft_rows: Array, tokens: Array, state: State = FRESH) -> Array:
        # the longest prefixes that any rule can keep: Pr[accepted >= i | x^i] = min(1, R_i)
        ratios = _ratios(target_rows, draft_rows, tokens, state)
        kept = [clipped_ratio(*pair) for pair in zip(ratios.wanted[1:], ratios.offered[1:], strict=True)]
        xp = namespace(ratios.goal)
        return xp.stack(kept, axis=-1) if kept else xp.zeros_like(ratios.goal[..., 1:, 0])

    def _passed(self, target_rows: Array, draft_rows: Array, tokens: Array, state: State = FRESH) -> Array:
        ratios = _ratios(target_rows, draft_rows, tokens, state)
        xp, passed = namespace(ratios.goal), []
        for i in range(tokens.shape[-1]):
            wanted = ratios.wanted[i][..., None] * ratios.goal[..., i, :]
            draft = xp.astype(draft_rows[..., i, :], xp.float64)
            offered = ratios.offered[i][..., None] * draft
            passed.append(xp.sum(draft * clipped_ratio(wanted, offered), axis=-1))
        return xp.stack(passed, axis=-1) if passed else xp.zeros_like(ratios.goal[..., 1:, 0])

    def draw(  # type: ignore[override]  # rows of chains, or a tree
            self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array, state: State = FRESH) -> Any:
        """Verify blocks, or one tree, and return the verdict with the state for the next block.

        Arguments as in `conditional`. Of a batch, the states are a list in the order of its rows.
        """
        verdict = super().draw(target_rows, draft_rows, tokens, uniforms, state)
        if isinstance(target_rows, DraftTree):
            return verdict, self.carried(target_rows, draft_rows, tokens, state, *verdict)
        rows = *checked_rows(target_rows, draft_rows, tokens), *verdict
        if rows[2].ndim == 1:
            return verdict, self.carried(rows[0], rows[1], rows[2], state, int(rows[3]), int(rows[4]))
        number = math.prod(verdict.accepted.shape)
        flat = [np.reshape(to_host(array), (number, *array.shape[array.ndim - axes :])) for array, axes in
                zip(rows, (2, 2, 1, 0, 0), strict=True)]
        return verdict, [self.carried(goal, drawn, path, state, int(accepted), int(token))
                         for goal, drawn, path, accepted, token in zip(*flat, strict=True)]

    def draw_texts(self, target_rows: np.ndarray, draft_rows: np.ndarray, tokens: np.ndarray, uniforms: np.ndarray,
                   states: list[State]) -> tuple[np.ndarray, np.ndarray, list[State]]:
        """`draw` for texts ``[B]`` with a state each: accepted and token ``[B]``, and the states after; no checks."""
        accepted, emitted = np.zeros((2, len(states)), dtype=np.int64)
        after: list[State] = [FRESH] * len(states)
        for rows, state in _alike(states):
            target, draft, path = target_rows[rows], draft_rows[rows], tokens[rows]
            accepted[rows], emitted[rows] = self._draw(target, draft, path, uniforms[rows], state)
            for count in np.unique(accepted[rows]):
                here = accepted[rows] == count
                layers = tuple(Layer(layer.shortfall[here], layer.left) for layer in state)
                new = _next_state(target[here], draft[here], path[here], layers, int(count), emitted[rows][here])
                for i, place in enumerate(rows[here]):
                    after[place] = tuple(Layer(float(layer.shortfall[i]), layer.left) for layer in new)
        return accepted, emitted, after

    def expected_texts(self, target_rows: np.ndarray, draft_rows: np.ndarray, tokens: np.ndarray,
                       states: list[State]) -> np.ndarray:
        """Mean number kept of the paths ``[B]`` of texts with a state each; no checks."""
        found = np.zeros(len(states))
        for rows, state in _alike(states):
            stop = _stop(_ratios(target_rows[rows], draft_rows[rows], tokens[rows], state))
            found[rows] = stop @ np.arange(stop.shape[-1])
        return found

    def carried(  # type: ignore[override]  # rows of a chain, or a tree
            self, target_rows: Array, draft_rows: Array, tokens: Array, state: State, accepted: int,
            token: int) -> State:
        """State after ``accepted`` tokens of one path ``[L]``, or of a tree, and ``token`` have been emitted."""
        if isinstance(target_rows, DraftTree):
            return super().carried(target_rows, draft_rows, tokens, state, accepted, token)
        target, draft, tokens = checked_rows(target_rows, draft_rows, tokens)
        if tokens.ndim != 1:
            raise ShapeMismatch(f"tokens: shape {tuple(tokens.shape)} is not one path [L]. Fix: a state belongs to one "
                                f"text, so carry the states of several on one by one.")
        _check_state(state, tokens.shape[0])
        return _next_state(to_host(target), to_host(draft), to_host(tokens), state, int(accepted), int(token))

    def _carried(self, tree: DraftTree, target: np.ndarray, draft: np.ndarray, state: State, node: int,
                 token: int) -> State:
        return _next_state(target, draft[:-1], tree.tokens[1:], state, node, token)


def _alike(states: list[State]) -> Iterator[tuple[np.ndarray, State]]:
    """Places of texts whose layers cover the same positions, and their states as one."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for place, state in enumerate(states):
        groups.setdefault(tuple(layer.left for layer in state), []).append(place)
    for lefts, places in groups.items():
        yield np.array(places), tuple(Layer(np.array([states[place][number].shortfall for place in places]), left)
                                      for number, left in enumerate(lefts))


def _next_state(target: np.ndarray, draft: np.ndarray, tokens: np.ndarray, state: State, accepted: int,
                token: Any) -> State:
    """State after one path ``[L]``, or after paths ``[B L]`` of which as many tokens were accepted."""
    length = tokens.shape[-1]
    if accepted == length:
        return FRESH  # an older layer covers less than this block did
    emitted = np.concatenate([tokens[..., :accepted], np.asarray(token)[..., None]], axis=-1)
    layers = (*state, Layer(1.0, length))
    _, shortfalls = modified_rows(np.asarray(target[..., : accepted + 2, :], dtype=np.float64),
                                  np.asarray(draft[..., : accepted + 1, :], dtype=np.float64), emitted, layers)
    return tuple(Layer(shortfall if shortfall.ndim else float(shortfall), layer.left - accepted - 1)
                 for layer, shortfall in zip(layers, shortfalls, strict=True) if layer.left > accepted + 1)


def _stop(ratios: _Ratios) -> Array:
    """Chance of every number of accepted tokens, ``[*batch L+1]``."""
    xp = namespace(ratios.goal)
    later, stop = xp.ones_like(ratios.goal[..., 0, 0]), []
    for chance in reversed(ratios.chances):
        stop.append(later * chance)
        later = later * (1.0 - chance)
    return xp.stack([later, *reversed(stop)], axis=-1)


def modified_rows(target: Array, draft: Array, tokens: Array, state: State) -> tuple[Array, list[Array]]:
    """Target ``[*batch L+1 V]`` as a state modifies it along paths, and each layer's shortfall at their ends."""
    if not state:
        return target, []
    xp, goal = namespace(target), []
    shortfalls: list[Array] = [xp.ones_like(target[..., 0, 0]) * layer.shortfall for layer in state]
    for i in range(target.shape[-2]):
        row = target[..., i, :]
        for number, layer in enumerate(state):
            seen = row
            if layer.left > i and i < draft.shape[-2]:
                row = normalized_or(positive_part(seen - shortfalls[number][..., None] * draft[..., i, :]), seen)
            if i < tokens.shape[-1]:
                mass, offered = (at(rows, tokens[..., i : i + 1])[..., 0] for rows in (seen, draft[..., i, :]))
                # a token without target mass is never emitted, so what comes after it does not matter
                seen_at_all = mass > 0
                ratio = offered / xp.where(seen_at_all, mass, xp.ones_like(mass))
                shortfalls[number] = xp.where(seen_at_all, shortfalls[number] * ratio, xp.zeros_like(mass))
        goal.append(row)
    return xp.stack(goal, axis=-2), shortfalls


def _ratios(target_rows: Array, draft_rows: Array, tokens: Array, state: State) -> _Ratios:
    length = tokens.shape[-1]
    _check_state(state, length)
    xp = namespace(target_rows)
    target, draft = xp.astype(target_rows, xp.float64), xp.astype(draft_rows, xp.float64)
    goal, _ = modified_rows(target, draft, tokens, state)
    wanted, offered = [xp.ones_like(goal[..., 0, 0])], [xp.ones_like(goal[..., 0, 0])]
    excess, chances = [], []
    for i in range(length):
        row, drafted = goal[..., i, :], draft[..., i, :]
        difference = wanted[i][..., None] * row - offered[i][..., None] * drafted
        excess.append(positive_part(difference))
        if i:
            over, under = xp.sum(excess[i], axis=-1), xp.sum(positive_part(-difference), axis=-1)
            chances.append(_chance(over, under))
        more, less = (before * at(rows, tokens[..., i : i + 1])[..., 0] for before, rows in
                      ((wanted[i], row), (offered[i], drafted)))
        # the larger of the two is 1, so that neither product runs out of range
        top = xp.maximum(more, less)
        scale = xp.where(top > 0, top, xp.ones_like(top))
        wanted.append(more / scale)
        offered.append(xp.where(top > 0, less / scale, xp.ones_like(top)))
    if length:
        chances.append(_chance(wanted[-1], offered[-1]))
    return _Ratios(goal, wanted, offered, excess, chances)


def _chance(over: Array, under: Array) -> Array:
    """``min(1, over / under)``, 1 also for 0/0."""
    xp = namespace(over)
    one = xp.ones_like(over)
    less = over < under  # elsewhere the quotient is not used, and may overflow
    return xp.where(less, over / xp.where(less, under, one), one)


def _check_state(state: State, length: int) -> None:
    if any(layer.left >= length for layer in state):
        raise BadArgument(f"state: {max(layer.left for layer in state)} positions are still modified, a path of "
                          f"{length} is too short for them. Fix: keep the draft length of earlier blocks.")
