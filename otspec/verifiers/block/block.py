"""Block verification: keep the longest drafted prefix whose own test succeeds. [block].

With ``w_0 = 1`` and ``w_i = min(1, w_{i-1} target_i / draft_i)`` along the path, and the excess
``S_i = sum (w_i target - draft)+`` on the row *after* ``x^i``, prefix i succeeds with chance
``h_i = S_i / (S_i + 1 - w_i)`` before the end and ``h_L = w_L`` at the end, all coins independent. The *last* success
counts, also after failures, and the next token comes from ``(w target - draft)+`` at the node where the rule stops.

Theorem: ``Pr[accepted >= i | x^i] = w_i``, the text keeps the target's law, and no rule that carries nothing from one
block to the next accepts more. [block]
"""

from __future__ import annotations

from typing import Any

from otspec.core.block import BlockVerdict, BlockVerifier
from otspec.core.laws import namespace, positive_part
from otspec.core.rows import (
    clipped_ratio,
    divisor,
    draw_residual,
    path_masses,
    residual_laws,
    weight_after_failure,
)
from otspec.core.sequence import SequenceLaw

Array = Any


class Block(BlockVerifier):
    """Joint verification of a drafted block, never worse than token-wise on any pair of models. [block]."""

    def _weights(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        """``w_0 .. w_L``, float64 ``[*batch L+1]``."""
        target, draft = path_masses(target_rows, tokens), path_masses(draft_rows, tokens)
        xp = namespace(target)
        weights = [xp.ones(target.shape[:-1], dtype=xp.float64, device=target.device)]
        for i in range(target.shape[-1]):
            weights.append(clipped_ratio(weights[-1] * target[..., i], draft[..., i]))
        return xp.stack(weights, axis=-1)

    def _chances(self, target_rows: Array, draft_rows: Array, weights: Array) -> tuple[Array, Array]:
        """Chances of success ``h_1 .. h_L`` and of failure, ``[*batch L]`` each."""
        xp = namespace(weights)
        if draft_rows.shape[-2] == 0:
            return weights[..., 1:], weights[..., 1:]
        success, failure = [], []
        # one depth at a time: all rows at once would hold L vocabularies of float64
        for i in range(1, draft_rows.shape[-2]):
            weight = weights[..., i]
            excess = xp.sum(positive_part(weight[..., None] * target_rows[..., i, :] - draft_rows[..., i, :]), axis=-1)
            # weight 1 and equal rows: no residual is left to stop for, and the prefix counts as a success
            success.append(weight_after_failure(weight, excess))
            failure.append((1.0 - weight) / divisor(excess + (1.0 - weight)))
        success.append(weights[..., -1])
        failure.append(1.0 - weights[..., -1])
        return xp.stack(success, axis=-1), xp.stack(failure, axis=-1)

    def _stops(self, success: Array, failure: Array) -> Array:
        """Law ``[*batch L+1]`` of the last success of independent coins, node 0 where there is none."""
        xp = namespace(success)
        none_later = xp.ones(success.shape[:-1], dtype=xp.float64, device=success.device)
        stops = []
        for i in reversed(range(success.shape[-1])):
            stops.append(none_later * success[..., i])
            none_later = none_later * failure[..., i]
        return xp.stack([none_later, *reversed(stops)], axis=-1)

    def _conditional(self, target_rows: Array, draft_rows: Array, tokens: Array) -> SequenceLaw:
        weights = self._weights(target_rows, draft_rows, tokens)
        stops = self._stops(*self._chances(target_rows, draft_rows, weights))
        return SequenceLaw(stops, residual_laws(target_rows, draft_rows, weights))

    def _draw(self, target_rows: Array, draft_rows: Array, tokens: Array, uniforms: Array) -> BlockVerdict:
        weights = self._weights(target_rows, draft_rows, tokens)
        success, _ = self._chances(target_rows, draft_rows, weights)
        xp = namespace(weights)
        length = success.shape[-1]
        accepted = xp.zeros(success.shape[:-1], dtype=xp.int64, device=success.device)
        for i in range(length):
            accepted = xp.where(uniforms[..., i] < success[..., i], xp.full_like(accepted, i + 1), accepted)
        scale = xp.take_along_axis(weights, accepted[..., None], axis=-1)[..., 0]
        return BlockVerdict(accepted, draw_residual(target_rows, draft_rows, accepted, scale, uniforms[..., -1]))

    def _kept(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        return self._weights(target_rows, draft_rows, tokens)[..., 1:]

    def _passed(self, target_rows: Array, draft_rows: Array, tokens: Array) -> Array:
        weights = self._weights(target_rows, draft_rows, tokens)
        xp = namespace(weights)
        passed = [xp.sum(xp.minimum(weights[..., i, None] * target_rows[..., i, :],
                                    xp.astype(draft_rows[..., i, :], xp.float64)), axis=-1)
                  for i in range(draft_rows.shape[-2])]
        return xp.stack(passed, axis=-1) if passed else weights[..., 1:]
