"""The N likeliest nodes of the whole tree, chosen without chance.

A node is as likely as the draft model finds the way to it. The likeliest one that is left is always a child of a node
that was chosen or the next sibling of one, so choosing N of them takes N looks at the draft model. Nothing is left to
chance: the drafts are one-hot, and what a rule can keep of such a tree is the target probability of its nodes.
[eagle-2].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.decode.drafters.base import Draft, GrownTree, Speaker


@dataclass(frozen=True)
class Likeliest(GrownTree):
    """The ``nodes`` likeliest nodes, at most ``max_depth`` deep.

    Examples
    --------
    >>> Likeliest(nodes=16).num_uniforms
    0
    """

    nodes: int = 8
    max_depth: int | None = None
    max_children: int | None = None

    tree: ClassVar[str] = "deterministic"

    def __post_init__(self) -> None:
        """Check the parameters."""
        self._check_sizes()

    @property
    def num_uniforms(self) -> int:
        """No chance."""
        return 0

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Choose node after node; one call of the draft model each."""
        import torch

        law = speaker.start()
        size, each, wide = len(law), torch.arange(len(law), device=law.device), min(self.most_draws, law.shape[1])
        chances, likely = law.new_zeros(size, self.nodes + 1, wide), law.new_zeros(size, self.nodes + 1, wide).long()
        worth, value = law.new_zeros(2, size, self.nodes + 1)
        deep, rank = torch.zeros(2, size, self.nodes + 1, dtype=torch.int64, device=law.device)
        tokens, parents = torch.full((2, size, self.nodes), -1, dtype=torch.int64, device=law.device)
        worth[:, 0] = 1.0
        there = torch.ones_like(each, dtype=torch.bool)
        for n in range(self.nodes):
            # descending, and of equal ones the lower id first
            chances[:, n], likely[:, n] = (part[:, :wide] for part in law.sort(dim=-1, descending=True, stable=True))
            value[:, n] = torch.where(there & (deep[:, n] < self.depth), worth[:, n] * chances[:, n, 0], 0.0)
            best = value.argmax(dim=1)
            there = value[each, best] > 0
            tokens[:, n] = torch.where(there, likely[each, best, rank[each, best]], -1)
            parents[:, n] = best
            worth[:, n + 1], deep[:, n + 1] = value[each, best], deep[each, best] + 1
            rank[each, best] += 1
            beside = worth[each, best] * chances[each, best, rank[each, best].clamp(max=wide - 1)]
            value[each, best] = torch.where(rank[each, best] < wide, beside, 0.0)
            if n + 1 < self.nodes:
                law = speaker.after(tokens[:, n : n + 1], parents[:, n : n + 1])[:, 0]
        return Draft(tokens, parents, None)
