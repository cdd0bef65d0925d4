"""RheoSampling: a dynamic tree of the likeliest tokens with one sampled token among those of each node. [rheo].

Each node that is expanded proposes ``width`` candidates: its ``top`` likeliest tokens, one token drawn from the rest of
its law, and the likeliest others. As in `otspec.decode.drafters.rerank`, the likeliest nodes of each depth are expanded
and of all proposals the ``nodes`` best are kept. A drawn token has two probabilities: its law, which verification
needs, and a *proxy* that ranks it, the same whichever token was drawn. The proxy is the smaller of the least top
probability and the mass of the tail, the most that any token of the tail can have: so no other candidate of the tail
stands before the draw, and whether a draw is kept does not depend on which token it is.

This is our reconstruction, from the public descriptions: the pool of candidates, ``top`` = 1 by default, the two
probabilities, expansion and pruning. Only a public port says how large the proxy is; that it must reach the tail's
largest probability is our argument, and a smaller one is biased. The paper also truncates the law that is sampled from
to 128 tokens, which saves time and is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import whole
from otspec.core.errors import BadArgument
from otspec.core.laws import draw
from otspec.core.schemes import Hybrid
from otspec.decode.drafters.rerank import Pool, Rerank


@dataclass(frozen=True)
class Rheo(Rerank):
    """The ``nodes`` best of all nodes that ``width`` nodes a depth propose, one candidate of each node drawn.

    Parameters
    ----------
    nodes : int
    width : int
        Candidates of a node, and nodes that are expanded at each depth.
    max_depth : int
    top : int
        Likeliest tokens ranked before the draw: less than ``width``.

    Examples
    --------
    >>> Rheo(nodes=16, width=4, max_depth=5).num_uniforms
    17
    """

    top: int = 1

    tree: ClassVar[str] = "greedy"
    adaptive_widths: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        top = whole(self.top)
        if top is None or not 0 <= top < self.width:
            raise BadArgument(f"top: {self.top!r} is outside 0 .. width-1 = {self.width - 1}. Fix: leave one candidate "
                              f"to be drawn.")
        object.__setattr__(self, "top", top)

    @property
    def most_draws(self) -> int:
        """Most children of a node."""
        return min(self.nodes, self.width)

    @property
    def num_uniforms(self) -> int:
        """One for each node that is expanded."""
        return 1 + (self.max_depth - 1) * self.width

    def _pool(self, law: Any, uniforms: Any) -> Pool:
        import torch

        scheme, width = Hybrid(self.top, self.top + 1), min(self.width, law.shape[-1])
        _, rest = scheme.split(law)
        some = rest.sum(dim=-1) > 0
        lawful = torch.where(some[..., None], rest, law)  # without a tail the draw has value 0 and is never kept
        # node by node: a draw takes its law and its uniform
        token = torch.stack([draw(lawful[:, node], uniforms[:, node]) for node in range(law.shape[1])], dim=1)
        heads = scheme.top_tokens(law)
        chances = torch.where(heads < 0, 0.0, law.gather(-1, heads.clamp(min=0)))
        tail = (law.sum(dim=-1) - chances.sum(dim=-1)) * some
        proxy = torch.minimum(chances[..., -1], tail) if self.top else tail
        others = torch.where(rest > 0, law, 0.0).scatter(-1, token[..., None], 0.0)
        fill, likely = others.topk(max(width - self.top - 1, 0), dim=-1)
        # a sum that rounds above one would put a node before its parent
        chance = torch.cat([chances, proxy[..., None], fill], dim=-1)[..., :width].clamp(max=1.0)
        drawn = torch.zeros_like(chance, dtype=torch.bool)
        drawn[..., self.top : self.top + 1] = True
        return Pool(chance, torch.cat([heads, token[..., None], likely], dim=-1)[..., :width], drawn)
