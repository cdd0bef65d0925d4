"""A rule on drafted trees, seen from the decoder."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from otspec.core.drafted import DraftedTrees
from otspec.core.host import to_host
from otspec.core.tree_batches import check_lawful
from otspec.decode.asking import ask
from otspec.decode.drafters.base import Draft, Drafter
from otspec.decode.judges import Judge, Outcome


class Kind:
    """Kind of the trees that a drafter draws, known before any is drawn."""

    def __init__(self, drafts: Drafter) -> None:
        self._drafts, self.scheme, self.adaptive_widths = drafts, drafts.tree, drafts.adaptive_widths

    def __repr__(self) -> str:
        """The drafter."""
        return repr(self._drafts)


class TreeJudge(Judge):
    """A tree rule on the nodes of any drafter that it is lawful for.

    Parameters
    ----------
    rule : TreeVerifier
    drafts : Drafter

    Raises
    ------
    SchemeMismatch
        The rule would be biased on such trees.
    """

    def __init__(self, rule: Any, drafts: Drafter) -> None:
        self.rule, self.drafts = rule, drafts
        check_lawful(rule, Kind(drafts), drafts.most_draws)

    @property
    def num_uniforms(self) -> int:
        """The rule's own, and as many again for the prediction."""
        return 2 * self.rule.num_tree_uniforms(self.drafts.num_nodes)

    def judge(self, target_rows: Any, draft: Draft, uniforms: Any, noise: Any) -> Outcome:
        """Ask the rule."""
        coins = uniforms[:, : self.num_uniforms // 2]
        node, token = self._ask(self.rule._draw_trees, target_rows, draft, coins, np.int64)
        nodes, accepted = way_to(node, draft.parents, self.drafts.depth)
        return Outcome(accepted, token, nodes, [])

    def expected(self, target_rows: Any, draft: Draft, outcome: Outcome, uniforms: Any) -> np.ndarray:
        """The rule's unbiased estimate on the same trees."""
        coins = uniforms[:, self.num_uniforms // 2 :]
        return to_host(self._ask(self.rule._expected_trees, target_rows, draft, coins, np.float64))

    def _ask(self, function: Any, target_rows: Any, draft: Draft, coins: Any, dtype: Any) -> Any:
        given = {name: array for name in ("rows", "copies") if (array := getattr(draft, name)) is not None}
        asked = partial(self._asked, function, tuple(given))
        return ask(asked, target_rows, draft.tokens, draft.parents, coins, *given.values(), dtype=dtype,
                   recorder=self.recorder)

    def _asked(self, function: Any, names: tuple[str, ...], target: Any, tokens: Any, parents: Any, coins: Any,
               *more: Any) -> Any:
        known = dict(zip(names, more, strict=True))
        trees = DraftedTrees(tokens, parents, self.drafts.tree, self.drafts.adaptive_widths, known.get("copies"))
        return function(trees, target, known.get("rows"), coins)


def way_to(node: Any, parents: Any, depth: int) -> tuple[Any, Any]:
    """Nodes ``[B depth]`` from the text's end to ``node [B]``, filled up behind it, and how many they are ``[B]``."""
    import torch

    above = torch.cat([torch.zeros_like(parents[:, :1]), parents], dim=1)
    upward = [node]
    for _ in range(depth - 1):
        upward.append(above.gather(1, upward[-1][:, None])[:, 0])
    nodes = torch.stack(upward[::-1], dim=1)
    count = (nodes > 0).sum(dim=1)
    # what stands in front of the first node is moved behind the last
    ahead = torch.arange(depth, device=nodes.device)
    return nodes.gather(1, (ahead + depth - count[:, None]).clamp(max=depth - 1)), count
