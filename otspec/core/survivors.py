"""The paths that agree with what is emitted, depth by depth: what a walk down K paths keeps track of."""

from __future__ import annotations

from typing import Any

from otspec.core.laws import namespace, take

Array = Any


class Survivors:
    """Where texts stand on their way down K paths: which paths agree with what was emitted so far.

    Parameters
    ----------
    tokens : [B K L] int64

    Attributes
    ----------
    alive : [B K] bool
        Paths that agree with the text; of texts that have stopped, those that did before.
    reached : [B] bool
        Texts that have kept a draft at every depth so far.
    first : [B] int64
        The first living path, whose rows stand for all.
    accepted : [B] int64
    """

    def __init__(self, tokens: Array) -> None:
        xp = namespace(tokens)
        self._tokens = tokens
        self.alive = xp.ones(tokens.shape[:2], dtype=xp.bool, device=tokens.device)
        self.reached = self.alive[:, 0]
        self.first = xp.zeros(tokens.shape[:1], dtype=xp.int64, device=tokens.device)
        self.accepted = xp.zeros_like(self.first)

    def drafts(self, depth: int) -> Array:
        """Tokens ``[B K]`` of the living paths at a depth in front, in their order, then -1."""
        return compact(self._tokens[:, :, depth], self.alive)

    def step(self, depth: int, emitted: Array) -> None:
        """Go on with the paths that hold the tokens ``emitted [B]`` at a depth."""
        xp = namespace(self._tokens)
        hit = self.alive & (self._tokens[:, :, depth] == emitted[:, None])
        self.reached = self.reached & xp.any(hit, axis=-1)
        self.accepted = self.accepted + xp.astype(self.reached, xp.int64)
        self.alive = xp.where(self.reached[:, None], hit, self.alive)
        self.first = xp.argmax(xp.astype(self.alive, xp.int64), axis=-1)


def compact(tokens: Array, alive: Array) -> Array:
    """Tokens ``[B K]`` of the living paths in front, in their order, then -1."""
    xp = namespace(tokens, alive)
    order = xp.argsort(xp.astype(~alive, xp.int64), axis=-1, stable=True)
    return take(xp.where(alive, tokens, -xp.ones_like(tokens)), order)
