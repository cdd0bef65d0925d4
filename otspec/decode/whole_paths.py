"""Methods of a round that judge whole paths: tree rules on ``K`` of them, greedy block verification with its memory.

`TreePaths` lets a rule see all ``K`` independent paths at once. What it keeps is predicted by the rule's own unbiased
estimate on the same paths, with coins that no verdict depends on: given everything before the round, both have the same
mean, so the difference between measurement and prediction stays a martingale, and its error is taken over sequences. A
token rule walked down a tree is `TokenPaths` with that rule, whose prediction is exact at every depth it reaches.

`GreedyPath` carries a state from one round of a sequence to the next, which is what makes that rule lossless. [block].
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from otspec.core.laws import draw
from otspec.decode.drafting import Method, Outcome, _ask, shared_targets
from otspec.verifiers.block.greedy_block import FRESH, GreedyBlock, State


@dataclass(frozen=True)
class TreePaths(Method):
    """A tree rule on ``K`` independent paths; no verdict waits for a device."""

    rule: Any

    @property
    def num_uniforms(self) -> int:
        """One per draft, the rule's own, and as many again for the prediction."""
        return self.paths * self.draft_length + 2 * self.rule.num_uniforms(self.draft_length)

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Draw one continuation of every path."""
        return draw(law, uniforms[:, depth * self.paths : (depth + 1) * self.paths])

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule."""
        coins, _ = self._coins(uniforms)
        return Outcome(*_ask(self.rule._draw_paths, shared_targets(target_rows, tokens), draft_rows, tokens, coins), [])

    def expected(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any) -> Any:
        """Unbiased estimate ``[B]`` of the number of drafts kept, with other coins than those of `judge`."""
        _, coins = self._coins(uniforms)
        return _ask(self.rule._expected_paths, shared_targets(target_rows, tokens), draft_rows, tokens, coins,
                    dtype=np.float64)

    def _coins(self, uniforms: Any) -> tuple[Any, Any]:
        width = self.rule.num_uniforms(self.draft_length)
        return uniforms[:, -2 * width : -width], uniforms[:, -width:]


@dataclass(frozen=True)
class GreedyPath(Method):
    """Greedy block verification of one path.

    Every round brings its laws to the host and verifies text by text: made for measuring, not for speed.

    Attributes
    ----------
    rule : GreedyBlock
    states : list of State
        What the last round left, sequence by sequence; `judge` writes the next one in place.
    """

    rule: GreedyBlock
    states: list[State]

    @property
    def num_uniforms(self) -> int:
        """One per draft, then the rule's own."""
        return self.draft_length + self.rule.num_uniforms(self.draft_length)

    def started(self, size: int) -> GreedyPath:
        """Give each of ``size`` texts the state of its beginning."""
        return replace(self, states=[FRESH] * size)

    def propose(self, depth: int, law: Any, uniforms: Any, noise: Any) -> Any:
        """Draw one continuation."""
        return draw(law, uniforms[:, depth : depth + 1])

    def judge(self, target_rows: Any, draft_rows: Any, tokens: Any, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule, text by text; the trail holds the states it was asked with."""
        import torch

        before = list(self.states)
        given = (target_rows[:, 0], draft_rows[:, 0], tokens[:, 0], uniforms[:, self.draft_length :])
        kept, emitted = np.zeros((2, len(before)), dtype=np.int64)
        for i, rows in enumerate(zip(*(array.cpu().numpy() for array in given), strict=True)):
            (kept[i], emitted[i]), self.states[i] = self.rule.draw(*rows, before[i])
        accepted, token = (torch.from_numpy(numbers).to(tokens.device) for numbers in (kept, emitted))
        return Outcome(accepted, token, torch.zeros_like(token), before)

    def expected(self, target_rows: Any, draft_rows: Any, tokens: Any, states: list[State]) -> np.ndarray:
        """Mean number of drafts kept ``[B]``, given the paths and the states before the round; NumPy arrays."""
        stops = [self.rule.conditional(*rows).stop for rows in
                 zip(target_rows[:, 0], draft_rows[:, 0], tokens[:, 0], states, strict=True)]
        return np.asarray(stops) @ np.arange(self.draft_length + 1)
