"""Delayed trees: one chain first, then independent branches from its end. [delayed-trees].

The branches are drawn like paths: copies with one beginning are one node, whose multiplicity counts them, and each copy
goes on by a draw of its own. All numbers of draws are fixed, so rules for independent draws may verify the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.laws import draw
from otspec.decode.drafters.base import Draft, Drafter, Speaker


@dataclass(frozen=True)
class Delayed(Drafter):
    """A trunk of some tokens, then ``count`` independent branches of ``length`` tokens.

    Examples
    --------
    >>> Delayed(trunk=3, count=4, length=2).num_nodes
    11
    """

    trunk: int = 2
    count: int = 2
    length: int = 2

    tree: ClassVar[str] = "branches"

    def __post_init__(self) -> None:
        """Check the parameters."""
        for name in ("trunk", "count", "length"):
            check_positive(name, getattr(self, name))

    @property
    def num_nodes(self) -> int:
        """Tokens of the trunk and of all branches, copies counted."""
        return self.trunk + self.count * self.length

    @property
    def depth(self) -> int:
        """Tokens of the trunk and of one branch."""
        return self.trunk + self.length

    @property
    def most_draws(self) -> int:
        """Draws at the end of the trunk."""
        return self.count

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain."""
        return self.count > 1

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw the chain token by token, then all branches depth by depth."""
        import torch

        laws, (tokens, parents) = [speaker.start()[:, None]], uniforms.new_zeros(2, len(uniforms), 0).long()
        for n in range(self.trunk):
            token = draw(laws[-1][:, 0], uniforms[:, n])[:, None]
            above = torch.full_like(token, n)
            tokens, parents = torch.cat([tokens, token], dim=1), torch.cat([parents, above], dim=1)
            laws.append(speaker.after(token, above))
        ways, copies = tokens.new_zeros(len(tokens), self.count, 0), torch.ones_like(tokens)
        node = torch.full_like(tokens[:, :1], self.trunk).expand(-1, self.count)
        law = laws[-1].expand(-1, self.count, -1)
        for depth in range(self.length):
            first = tokens.shape[1]
            new = torch.stack([draw(law[:, k], uniforms[:, first + k]) for k in range(self.count)], dim=1)
            ways = torch.cat([ways, new[..., None]], dim=2)
            same = (ways[:, :, None] == ways[:, None]).all(dim=-1)
            leader = same.int().argmax(dim=-1)  # the first copy of a beginning stands for all of them
            there = leader == torch.arange(self.count, device=new.device)
            tokens = torch.cat([tokens, torch.where(there, new, -1)], dim=1)
            parents, node = torch.cat([parents, node], dim=1), first + 1 + leader
            copies = torch.cat([copies, same.sum(dim=-1)], dim=1)
            if depth + 1 < self.length:
                laws.append(speaker.after(tokens[:, first:], parents[:, first:]))
                law = torch.take_along_dim(laws[-1], leader[..., None], dim=1)
        rows = torch.cat(laws, dim=1)
        leaves = rows.new_zeros(len(rows), self.num_nodes + 1 - rows.shape[1], rows.shape[2])
        return Draft(tokens, parents, torch.cat([rows, leaves], dim=1), copies=copies)
