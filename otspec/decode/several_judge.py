"""A token rule on the paths of different draft models, seen from the decoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.drafters import Independent
from otspec.core.host import to_host
from otspec.core.laws import draw
from otspec.core.survivors import Survivors
from otspec.decode.asking import ask
from otspec.decode.drafters.base import Draft
from otspec.decode.drafters.paths import along_paths, shared_targets
from otspec.decode.judges import Depth, Outcome, _OnPaths, bound_to, chance_of
from otspec.verifiers import verifier


class SeveralJudge(_OnPaths):
    """The rule, depth by depth, bound to the models whose paths have survived.

    Which models those are differs from text to text, so the host is asked at every depth: made for measuring.
    """

    @property
    def num_uniforms(self) -> int:
        """The rule's numbers for every depth, then one for the token after a full path."""
        return self.length * self.rule.num_uniforms + 1

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Apply the rule to the survivors; the trail holds rows, survivors and their laws at every depth."""
        import torch

        tokens = self._tokens(draft)
        target = shared_targets(along_paths(target_rows, self.paths), tokens)
        walk, width = Survivors(tokens), self.rule.num_uniforms
        each, token = torch.arange(len(tokens), device=tokens.device), torch.zeros_like(walk.first)
        trail: list[Any] = []
        for depth in range(self.length):
            coins = uniforms[:, depth * width : (depth + 1) * width]
            emitted = token.clone()
            for survivors, rows in _alike(walk.alive, walk.reached):
                here = (target[rows, walk.first[rows], depth], draft.rows[rows][:, survivors, depth],
                        tokens[rows][:, survivors, depth])
                trail.append((rows, *here))
                emitted[rows] = self._ask(here, coins[rows])
            token = torch.where(walk.reached, emitted, token)
            walk.step(depth, emitted)
        bonus = draw(target[each, walk.first, self.length], uniforms[:, -1])
        return self._outcome(walk.accepted, torch.where(walk.reached, bonus, token), walk.first, trail)

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """Acceptance of the rule at every depth reached; without a formula, the mass of the drafts at hand."""
        expected = np.zeros(len(target_rows))
        for rows, *here in outcome.trail:
            rule, target, drafts, tokens = self._bound(*map(to_host, here))
            expected[to_host(rows)] += chance_of(rule, Depth(target, drafts, tokens, None))
        return expected

    def _ask(self, here: tuple[Any, Any, Any], coins: Any) -> Any:
        rule, *given = self._bound(*here)
        return ask(rule._draw, *given, coins[:, : rule.num_uniforms])

    def _bound(self, target: Any, drafts: Any, tokens: Any) -> tuple[Any, Any, Any, Any]:
        """The rule for as many models as have survived, and what it is asked with; one alone is rejected singly."""
        count = tokens.shape[1]
        if count == 1:
            return verifier("single_draft"), target, drafts[:, 0], tokens
        return bound_to(self.rule, Independent(count)), target, drafts, tokens


def _alike(alive: Any, reached: Any) -> list[tuple[list[int], Any]]:
    """Rows that were reached, grouped by the paths that are alive in them."""
    import torch

    found: dict[tuple[bool, ...], list[int]] = {}
    for row, (mask, there) in enumerate(zip(alive.tolist(), reached.tolist(), strict=True)):
        if there:
            found.setdefault(tuple(mask), []).append(row)
    return [([path for path, lives in enumerate(mask) if lives], torch.tensor(rows, device=alive.device))
            for mask, rows in found.items()]
