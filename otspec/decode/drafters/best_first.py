"""Growing a tree best first: every node offers a place for its next child, and the place of largest value gets it.

Children of a node are drawn one by one from what is left of its law. How places are valued is the drafter's choice; all
of them make the number of children of a node depend on the children drawn.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from otspec.core.laws import draw, normalized_or
from otspec.decode.drafters.base import Draft, Speaker


class Place(NamedTuple):
    """A place that has just been given a child, and the child, ``[B]`` each.

    Attributes
    ----------
    value : of the place
    worth : of the node
    kind : int64
        What `Values.kind` said of the node's law.
    rank : int64
        Children that the node had before.
    chance : of the child under what was left of the law
    mass : of the child under the whole law
    """

    value: Any
    worth: Any
    kind: Any
    rank: Any
    chance: Any
    mass: Any


class Values(Protocol):
    """How places are valued."""

    def kind(self, law: Any) -> Any:
        """Say what is to be known of a law ``[B V]`` later on, ``[B]`` int64."""

    def first(self, worth: Any, kind: Any) -> Any:
        """Value ``[B]`` of the place for the first child of a node."""

    def later(self, place: Place) -> tuple[Any, Any]:
        """Worth ``[B]`` of the child, and value ``[B]`` of the place for the next one."""


def grow(speaker: Speaker, uniforms: Any, values: Values, *, depth: int, children: int) -> Draft:
    """Draw a tree of as many nodes as there are uniforms ``[B N]``, node after node; one model call each."""
    import torch

    law = speaker.start()
    size, nodes = uniforms.shape
    each = torch.arange(size, device=law.device)
    rows = law.new_zeros(size, nodes + 1, law.shape[1])
    left = torch.zeros_like(rows)
    value, worth = law.new_zeros(2, size, nodes + 1)
    deep, kind, rank = torch.zeros(3, size, nodes + 1, dtype=torch.int64, device=law.device)
    tokens, parents = torch.full((2, size, nodes), -1, dtype=torch.int64, device=law.device)
    rows[:, 0] = left[:, 0] = law
    worth[:, 0], kind[:, 0] = 1.0, values.kind(law)
    value[:, 0] = values.first(worth[:, 0], kind[:, 0])
    for n in range(nodes):
        best = value.argmax(dim=1)
        there = value[each, best] > 0
        rest = normalized_or(left[each, best], rows[each, best])
        token = draw(rest, uniforms[:, n])
        worth[:, n + 1], offered = values.later(Place(
            value[each, best], worth[each, best], kind[each, best], rank[each, best], rest[each, token],
            rows[each, best, token]))
        tokens[:, n], parents[:, n] = torch.where(there, token, -1), best
        deep[:, n + 1] = deep[each, best] + 1
        left[each, best, token] = torch.where(there, 0.0, left[each, best, token])
        rank[each, best] += 1
        full = (left[each, best].sum(dim=1) <= 0) | (rank[each, best] >= children)
        value[each, best] = torch.where(full, 0.0, offered)
        if n + 1 < nodes:
            law = speaker.after(tokens[:, n : n + 1], parents[:, n : n + 1])[:, 0]
            rows[:, n + 1] = left[:, n + 1] = law
            kind[:, n + 1] = values.kind(law)
            first = values.first(worth[:, n + 1], kind[:, n + 1])
            value[:, n + 1] = torch.where(there & (deep[:, n + 1] < depth), first, 0.0)
    return Draft(tokens, parents, rows)
