"""Expand and rerank: the likeliest continuations depth by depth, then the likeliest nodes among all. [eagle-2].

At each depth the ``width`` likeliest nodes are read and each proposes its ``width`` likeliest tokens; of all proposals
the ``nodes`` with the largest draft probability are verified. Nothing is left to chance, so the drafts are one-hot:
only a rule that is proved for trees chosen without chance may verify them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.decode.drafters.base import Draft, Drafter, Speaker


@dataclass(frozen=True)
class Rerank(Drafter):
    """The ``nodes`` likeliest of all nodes that ``width`` nodes a depth propose, ``max_depth`` deep.

    Examples
    --------
    >>> Rerank(nodes=16, width=4, max_depth=5).num_uniforms
    0
    """

    nodes: int = 16
    width: int = 4
    max_depth: int = 5

    tree: ClassVar[str] = "deterministic"

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in ("nodes", "width", "max_depth"):
            check_positive(name, getattr(self, name))
        proposed = self.width + (self.max_depth - 1) * self.width**2
        if self.nodes > proposed:
            raise BadArgument(f"nodes: {self.nodes}, but {self.width} nodes of {self.max_depth} depths propose "
                              f"{proposed}. Fix: fewer nodes, a larger width or max_depth.")

    @property
    def num_nodes(self) -> int:
        """Nodes that are verified."""
        return self.nodes

    @property
    def depth(self) -> int:
        """Depth of the deepest proposal."""
        return self.max_depth

    @property
    def num_uniforms(self) -> int:
        """No chance."""
        return 0

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Expand, then keep the best."""
        import torch

        law = speaker.start()[:, None]
        size = len(law)
        width = min(self.width, law.shape[-1])
        place = torch.zeros(size, 1, dtype=torch.int64, device=law.device)  # numbers of the nodes that are expanded
        worth = torch.ones(size, 1, dtype=law.dtype, device=law.device)
        tokens, parents, values, read = [], [], [], []
        made = done = 0
        for depth in range(self.max_depth):
            chance, token = law.topk(width, dim=-1)
            value = worth[..., None] * chance
            tokens.append(token.flatten(1))
            parents.append(place[..., None].expand(-1, -1, width).flatten(1))
            values.append(value.flatten(1))
            read.append(torch.full_like(tokens[-1], -1))
            if depth + 1 == self.max_depth:
                break
            worth, best = values[-1].topk(width, dim=-1)
            chosen = tokens[-1].gather(1, best)
            above = parents[-1].gather(1, best)
            place = best + made + 1
            made += tokens[-1].shape[1]
            # the draft model numbers what it reads, not what is proposed
            order = torch.arange(width, device=law.device) + done
            read[-1].scatter_(1, best, order.expand(size, -1))
            law = speaker.after(chosen, self._as_read(above, read))
            done += width
        return self._best(*(torch.cat(parts, dim=1) for parts in (tokens, parents, values, read)))

    def _as_read(self, parents: Any, read: list[Any]) -> Any:
        """Numbers among the nodes read, from numbers among the proposals; 0 stays the end of the text."""
        import torch

        places = torch.cat([torch.full_like(parents[:, :1], -1), *read], dim=1)
        return places.gather(1, parents) + 1

    def _best(self, tokens: Any, parents: Any, values: Any, read: Any) -> Draft:
        import torch

        # equal values: the earlier proposal, so that no node is kept without its parent
        order = values.argsort(dim=1, descending=True, stable=True)[:, : self.nodes].sort(dim=1).values
        number = torch.zeros(tokens.shape[0], tokens.shape[1] + 1, dtype=torch.int64, device=tokens.device)
        number.scatter_(1, order + 1, torch.arange(1, self.nodes + 1, device=tokens.device).expand_as(order))
        above = number.gather(1, parents.gather(1, order))
        chosen = torch.where(values.gather(1, order) > 0, tokens.gather(1, order), -1)
        return Draft(chosen, above, None, read.gather(1, order) + 2)
