"""The paths that agree with what is emitted, depth by depth: what judges of K paths keep track of."""

from __future__ import annotations

from typing import Any


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

    def __init__(self, tokens: Any) -> None:
        import torch

        self._tokens = tokens
        self.each = torch.arange(len(tokens), device=tokens.device)
        self.alive = self.each.new_ones(tokens.shape[:2], dtype=torch.bool)
        self.reached = torch.ones_like(self.each, dtype=torch.bool)
        self.accepted, self.first = torch.zeros_like(self.each), torch.zeros_like(self.each)

    def step(self, depth: int, emitted: Any) -> None:
        """Go on with the paths that hold the tokens ``emitted [B]`` at a depth."""
        import torch

        hit = self.alive & (self._tokens[:, :, depth] == emitted[:, None])
        self.reached = self.reached & hit.any(dim=1)
        self.accepted = self.accepted + self.reached
        self.alive = torch.where(self.reached[:, None], hit, self.alive)
        self.first = self.alive.int().argmax(dim=1)
