"""Expand and rerank: the likeliest continuations depth by depth, then the likeliest nodes among all. [eagle-2].

At each depth the ``width`` likeliest nodes are read and each proposes its ``width`` likeliest tokens; of all proposals
the ``nodes`` with the largest draft probability are verified. Nothing is left to chance, so the drafts are one-hot:
only a rule that is proved for trees chosen without chance may verify them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

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

    def _pool(self, law: Any, uniforms: Any) -> Pool:
        """Candidates after nodes of laws ``[B n V]``; uniforms ``[B n]`` where one of them is drawn."""
        chance, token = law.topk(min(self.width, law.shape[-1]), dim=-1)
        return Pool(chance, token, None)

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Expand, then keep the best."""
        import torch

        law = speaker.start()[:, None]
        size, reads = len(law), min(self.width, law.shape[-1])
        place = torch.zeros(size, 1, dtype=torch.int64, device=law.device)  # numbers of the nodes that are expanded
        worth = torch.ones(size, 1, dtype=law.dtype, device=law.device)
        layers, laws, spent = [], [law], 0
        made = done = 0
        for depth in range(self.max_depth):
            pool = self._pool(law, uniforms[:, spent : spent + law.shape[1]])
            spent += law.shape[1]
            above = place[..., None].expand_as(pool.token).flatten(1)
            layer = _Layer(pool.token.flatten(1), above, (worth[..., None] * pool.chance).flatten(1),
                           torch.full_like(above, -1), None if pool.drawn is None else pool.drawn.flatten(1))
            layers.append(layer)
            if depth + 1 == self.max_depth:
                break
            # equal values: the earlier proposal, so that the choice does not depend on how a draw fell
            best = layer.value.argsort(dim=1, descending=True, stable=True)[:, :reads]
            worth, place = layer.value.gather(1, best), best + made + 1
            made += layer.token.shape[1]
            # the draft model numbers what it reads, not what is proposed
            order = torch.arange(best.shape[1], device=law.device) + done
            layer.read.scatter_(1, best, order.expand(size, -1))
            chosen = layer.token.gather(1, best)
            law = speaker.after(chosen, self._as_read(layer.above.gather(1, best), [one.read for one in layers]))
            laws.append(law)
            done += best.shape[1]
        return self._best(layers, laws)

    def _as_read(self, parents: Any, read: list[Any]) -> Any:
        """Numbers among the nodes read, from numbers among the proposals; 0 stays the end of the text."""
        import torch

        places = torch.cat([torch.full_like(parents[:, :1], -1), *read], dim=1)
        return places.gather(1, parents) + 1

    def _best(self, layers: list[_Layer], laws: list[Any]) -> Draft:
        import torch

        tokens, parents, values, read = (torch.cat([layer[part] for layer in layers], dim=1) for part in range(4))
        # equal values: the earlier proposal, so that no node is kept without its parent
        order = values.argsort(dim=1, descending=True, stable=True)[:, : self.nodes].sort(dim=1).values
        number = torch.zeros(tokens.shape[0], tokens.shape[1] + 1, dtype=torch.int64, device=tokens.device)
        number.scatter_(1, order + 1, torch.arange(1, order.shape[1] + 1, device=tokens.device).expand_as(order))
        above = number.gather(1, parents.gather(1, order))
        chosen = torch.where(values.gather(1, order) > 0, tokens.gather(1, order), -1)
        found = read.gather(1, order)
        if self.tree == "deterministic":
            return Draft(chosen, above, None, found + 2)
        known = torch.cat(laws, dim=1)
        rows = known.gather(1, (found.clamp(min=-1) + 1)[..., None].expand(-1, -1, known.shape[-1]))
        drawn = torch.cat([layer.drawn for layer in layers], dim=1).gather(1, order)
        return Draft(chosen, above, torch.cat([known[:, :1], rows], dim=1), found + 2, drawn.long())


class Pool(NamedTuple):
    """Candidates of nodes: values and tokens ``[B n K]``, best first, and which of them were drawn, if any."""

    chance: Any
    token: Any
    drawn: Any


class _Layer(NamedTuple):
    """Proposals of one depth ``[B m]``: token, number of the node before, value, place as read, and whether drawn."""

    token: Any
    above: Any
    value: Any
    read: Any
    drawn: Any
