"""Token-wise verification of a block: test the tokens one by one, stop at the first refusal. [leviathan2023].

Token i is kept with probability ``min(1, target/draft)`` at it, and the token after the last one kept comes from
``(target - draft)+``. Hence ``E[accepted] = sum_i E prod_{j <= i} min(1, target_j / draft_j)``.
"""

from __future__ import annotations

from typing import Any

from otspec.core.block import BlockVerdict, BlockVerifier
from otspec.core.laws import namespace
from otspec.core.rows import clipped_ratio, draw_residual, path_masses, residual_laws
from otspec.core.sequence import SequenceLaw

Array = Any


class TokenWise(BlockVerifier):
    """Single-draft rejection at each position in turn. [leviathan2023]."""

    def _chances(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        """Chance ``[*batch L]`` that each drafted token passes its own test."""
        return clipped_ratio(path_masses(target_rows, tokens), path_masses(draft_rows, tokens))

    def _conditional(self, target_rows: Array, draft_rows: Array, tokens: Array) -> SequenceLaw:
        chances = self._chances(target_rows, draft_rows, tokens)
        xp = namespace(chances)
        reached = [xp.ones(chances.shape[:-1], dtype=xp.float64, device=chances.device)]
        stop = []
        for i in range(chances.shape[-1]):
            stop.append(reached[-1] * (1.0 - chances[..., i]))
            reached.append(reached[-1] * chances[..., i])
        scale = xp.ones_like(xp.stack(reached, axis=-1))
        return SequenceLaw(xp.stack([*stop, reached[-1]], axis=-1), residual_laws(target_rows, draft_rows, scale))

    def _draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> BlockVerdict:
        chances = self._chances(target_rows, draft_rows, tokens)
        xp = namespace(chances)
        passing = xp.ones(chances.shape[:-1], dtype=xp.bool, device=chances.device)
        accepted = xp.zeros(chances.shape[:-1], dtype=xp.int64, device=chances.device)
        for i in range(chances.shape[-1]):
            passing = passing & (uniforms[..., i] < chances[..., i])
            accepted = accepted + xp.astype(passing, xp.int64)
        scale = xp.ones(chances.shape[:-1], dtype=xp.float64, device=chances.device)
        return BlockVerdict(accepted, draw_residual(target_rows, draft_rows, accepted, scale, uniforms[..., -1]))

    def _kept(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        chances = self._chances(target_rows, draft_rows, tokens)
        return namespace(chances).cumulative_prod(chances, axis=-1)

    def _passed(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        kept = self._kept(target_rows, draft_rows, tokens)
        xp = namespace(kept)
        before = xp.concat([xp.ones_like(kept[..., :1]), kept[..., :-1]], axis=-1)
        common = [xp.sum(xp.minimum(target_rows[..., i, :], draft_rows[..., i, :]), axis=-1, dtype=xp.float64)
                  for i in range(kept.shape[-1])]
        return before * xp.stack(common, axis=-1)
