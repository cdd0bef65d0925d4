"""Best-first trees: the next node goes where the draft model thinks it is likeliest to be kept. [dyspec].

Every place where a child may be drawn has a value: the draft probability of the way to it, times that of all earlier
children there having failed. The place of largest value gets the next child, drawn from what is left of its law.
The number of children of a node so depends on the children drawn; rules that must know it beforehand would be biased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.laws import draw, normalized_or
from otspec.decode.drafters.base import Draft, Drafter, Speaker


@dataclass(frozen=True)
class Heap(Drafter):
    """Tree of ``nodes`` drafts, grown best first, at most ``max_depth`` deep.

    Parameters
    ----------
    nodes : int
    max_depth : int, optional
        Default: as deep as it grows.

    Examples
    --------
    >>> Heap(8).depth
    8
    """

    nodes: int = 8
    max_depth: int | None = None

    tree: ClassVar[str] = "without_replacement"
    adaptive_widths: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("nodes", self.nodes)
        if self.max_depth is not None:
            check_positive("max_depth", self.max_depth)

    @property
    def num_nodes(self) -> int:
        """Nodes of a round."""
        return self.nodes

    @property
    def depth(self) -> int:
        """Depth of the deepest tree."""
        return min(self.nodes, self.max_depth or self.nodes)

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain."""
        return self.nodes > 1

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw node after node; one call of the draft model each."""
        import torch

        law = speaker.start()
        size, each = len(law), torch.arange(len(law), device=law.device)
        rows = law.new_zeros(size, self.nodes + 1, law.shape[1])
        left = torch.zeros_like(rows)
        rows[:, 0] = left[:, 0] = law
        value, deep = law.new_zeros(size, self.nodes + 1), torch.zeros(size, self.nodes + 1, dtype=torch.int64,
                                                                       device=law.device)
        value[:, 0] = 1.0
        tokens, parents = torch.full((2, size, self.nodes), -1, dtype=torch.int64, device=law.device)
        for n in range(self.nodes):
            best = value.argmax(dim=1)
            there = value[each, best] > 0
            rest = normalized_or(left[each, best], rows[each, best])
            token = draw(rest, uniforms[:, n])
            chance = rest[each, token]
            tokens[:, n] = torch.where(there, token, -1)
            parents[:, n] = best
            deep[:, n + 1] = deep[each, best] + 1
            worth = value[each, best]
            value[:, n + 1] = torch.where(there & (deep[:, n + 1] < self.depth), worth * chance, 0.0)
            left[each, best, token] = torch.where(there, 0.0, left[each, best, token])
            spent = left[each, best].sum(dim=1) <= 0
            value[each, best] = torch.where(spent, 0.0, worth * (1.0 - chance).clamp(min=0.0))
            if n + 1 < self.nodes:
                law = speaker.after(tokens[:, n : n + 1], parents[:, n : n + 1])[:, 0]
                rows[:, n + 1] = left[:, n + 1] = law
        return Draft(tokens, parents, rows)
