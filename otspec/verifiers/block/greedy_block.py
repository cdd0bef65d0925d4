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

from typing import Any, ClassVar, NamedTuple

import numpy as np

from otspec.core.block import BlockLaw, BlockVerdict, checked_block
from otspec.core.checks import check_uniforms
from otspec.core.errors import BadArgument, SchemeMismatch, ShapeMismatch
from otspec.core.laws import draw, normalized_or
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme

Array = Any


class Layer(NamedTuple):
    """A block that stopped early: ``1 / R`` since its start, and how many positions from here on it would cover."""

    shortfall: float
    left: int


State = tuple[Layer, ...]
FRESH: State = ()


class GreedyBlock:
    """Greedy block verification of one path; each call takes the state of the text and `draw` returns the next one.

    Examples
    --------
    >>> rule = GreedyBlock()
    >>> rule.conditional([[0.5, 0.5]] * 2, [[0.5, 0.5]], [0]).stop
    array([0., 1.])
    """

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        self.scheme = as_scheme(scheme)
        if self.scheme != WithReplacement(1):
            raise SchemeMismatch(f"GreedyBlock verifies one path; got {self.scheme}. Fix: scheme=1.")

    def num_uniforms(self, draft_length: int) -> int:
        """One for each prefix and one for the next token."""
        return draft_length + 1

    def conditional(self, target_rows: Array, draft_rows: Array, tokens: Array, state: State = FRESH) -> BlockLaw:
        """Law of the verdict on one path.

        Parameters
        ----------
        target_rows : [L+1 V]
            Laws of the target itself; the state's modification is applied here.
        draft_rows : [L V]
        tokens : [L] int
        state : tuple of Layer
            What the last iteration left; `FRESH` at the start of a text.

        Returns
        -------
        BlockLaw
            ``stop [L+1]`` and ``following [L+1 V]``.

        Raises
        ------
        NotALaw, ShapeMismatch, BadArgument
        """
        target, draft, tokens = self._checked(target_rows, draft_rows, tokens, state)
        goal, _ = modified_rows(target, draft, tokens, state)
        excess, chances = _chances(goal, draft, tokens)
        stop, later = np.zeros(len(goal)), 1.0
        for i in range(len(tokens), 0, -1):
            stop[i] = later * chances[i - 1]
            later *= 1.0 - chances[i - 1]
        stop[0] = later
        return BlockLaw(stop, np.concatenate([normalized_or(excess, goal[:-1]), goal[-1:]]))

    def draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array,
             state: State = FRESH) -> tuple[BlockVerdict, State]:
        """Verify one path and return the state for the next iteration; arguments as in `conditional`."""
        law = self.conditional(target_rows, draft_rows, tokens, state)
        uniforms = check_uniforms(np.asarray(uniforms), len(law.stop))
        later, accepted = 1.0, 0
        for i in range(len(law.stop) - 1, 0, -1):
            chance = law.stop[i] / later if later > 0 else 1.0
            if uniforms[i - 1] < chance:
                accepted = i
                break
            later -= law.stop[i]
        token = int(draw(law.following[accepted], uniforms[-1]))
        return (BlockVerdict(np.int64(accepted), np.int64(token)),
                self.carried(target_rows, draft_rows, tokens, state, accepted, token))

    def carried(self, target_rows: Array, draft_rows: Array, tokens: Array, state: State, accepted: int,
                token: int) -> State:
        """State after ``accepted`` tokens of the path and ``token`` have been emitted."""
        target, draft, tokens = self._checked(target_rows, draft_rows, tokens, state)
        length = len(tokens)
        if accepted == length:
            return FRESH  # an older layer covers less than this block did
        emitted = np.append(tokens[:accepted], token)
        layers = (*state, Layer(1.0, length))
        _, shortfalls = modified_rows(target[: accepted + 2], draft[: accepted + 1], emitted, layers)
        return tuple(Layer(shortfall, layer.left - accepted - 1) for layer, shortfall in zip(layers, shortfalls,
                     strict=True) if layer.left > accepted + 1)

    def _checked(self, target_rows: Array, draft_rows: Array, tokens: Array,
                 state: State) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        target, draft, tokens = checked_block(target_rows, draft_rows, tokens)
        if tokens.ndim != 1 or tokens.shape[0] < 1:
            raise ShapeMismatch(f"tokens: shape {tuple(tokens.shape)} is not one path [L]. Fix: a state belongs to one "
                                f"text, so verify paths one by one.")
        if any(layer.left >= tokens.shape[0] for layer in state):
            raise BadArgument(f"state: {max(layer.left for layer in state)} positions are still modified, a path of "
                              f"{tokens.shape[0]} is too short for them. Fix: keep the draft length of earlier blocks.")
        return (np.asarray(target, dtype=np.float64), np.asarray(draft, dtype=np.float64), np.asarray(tokens))

    def __repr__(self) -> str:
        """Class name."""
        return "GreedyBlock()"


def modified_rows(target: np.ndarray, draft: np.ndarray, tokens: np.ndarray,
                  state: State) -> tuple[np.ndarray, list[float]]:
    """Target ``[L+1 V]`` as a state modifies it along a path, and the shortfall of each layer at the path's end."""
    goal, shortfalls = target.copy(), [layer.shortfall for layer in state]
    for i in range(len(goal)):
        for number, layer in enumerate(state):
            seen = goal[i].copy()
            if layer.left > i and i < len(draft):
                goal[i] = normalized_or(np.maximum(seen - shortfalls[number] * draft[i], 0.0), seen)
            if i < len(tokens):
                mass = seen[tokens[i]]
                # a token without target mass is never emitted, so what comes after it does not matter
                shortfalls[number] *= draft[i][tokens[i]] / mass if mass > 0 else 0.0
    return goal, shortfalls


def _chances(goal: np.ndarray, draft: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Excess ``(R target - draft)+`` up to scale after each prefix ``[L V]``; chance of prefixes 1 .. L to be kept."""
    excess, chances = np.zeros_like(draft), np.zeros(len(tokens))
    wanted = offered = 1.0
    for i, token in enumerate(tokens):
        difference = wanted * goal[i] - offered * draft[i]
        excess[i] = np.maximum(difference, 0.0)
        if i:
            over, under = excess[i].sum(), np.maximum(-difference, 0.0).sum()
            chances[i - 1] = over / under if over < under else 1.0
        wanted, offered = wanted * goal[i][token], offered * draft[i][token]
        top = max(wanted, offered)
        wanted, offered = (wanted / top, offered / top) if top > 0 else (0.0, 1.0)
    chances[-1] = wanted / offered if wanted < offered else 1.0
    return excess, chances
