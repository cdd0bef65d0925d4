"""What a drafter is: a value that proposes nodes behind a text, with the laws that they were drawn from.

Nodes are numbered from 1 in the order in which they are drawn, parents before children; 0 is the end of the text. What
may be drafted and how it may be verified is data: the kind of tree, its size, and whether its widths depend on the
tokens drawn. A drafter does not know who will verify, nor a verifier who has drafted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from otspec.core.checks import check_positive
from otspec.core.errors import SchemeMismatch


@dataclass(frozen=True)
class Draft:
    """Nodes of one round, for every text of a batch.

    Attributes
    ----------
    tokens : [B N] int64
        Token of node ``n`` in column ``n - 1``; -1 where it is absent, as are all nodes behind it.
    parents : [B N] int64
        Number of the node before it, 0 for the end of the text.
    rows : [B K L V] or [B N+1 V] float64, or None
        Draft laws: along K paths of L tokens, or after every node (those of leaves are not read); None where nothing
        was left to chance, or nothing was drafted.
    read_at : [B N] int64, optional
        Place at which the draft model has read a node, counted from 2 behind the two tokens that each round begins
        with; default in the order of the nodes.
    copies : [B N] int64, optional
        Independent draws merged in each node, of a tree of ``"branches"``; default one. Of a ``"greedy"`` tree: 1 for
        a node that was drawn, 0 for one that was chosen; default 1 for the last child of a node alone.
    """

    tokens: Any
    parents: Any
    rows: Any
    read_at: Any = None
    copies: Any = None


class Speaker(Protocol):
    """What a drafter asks of the draft model."""

    vocab_size: int
    texts: list[list[int]]

    @property
    def sides(self) -> list[Any]:
        """The models, where a drafter asks several."""

    def start(self) -> Any:
        """Laws ``[B V]`` after the texts."""

    def after(self, tokens: Any, parents: Any) -> Any:
        """Laws ``[B n V]`` after new nodes ``[B n]`` of the given parents ``[B n]``; absent tokens are read as 0."""

    def noise(self, depth: int) -> Any:
        """Noise of the token ``depth`` places behind the texts, shared by both models."""


class Drafter(ABC):
    """A way to draft; a subclass is a frozen dataclass and writes `propose`.

    Attributes
    ----------
    tree : str
        How the children of a node are drawn, as in `otspec.DraftTree`.
    adaptive_widths : bool
        Whether the number of children of a node depends on which children were drawn.
    asks_model : bool
        Whether a draft model is read at all.
    measured : mapping
        Parameters that nobody types, and where each comes from.
    """

    tree: ClassVar[str] = "paths"
    adaptive_widths: ClassVar[bool] = False
    measured: ClassVar[Mapping[str, str]] = {}
    asks_model: ClassVar[bool] = True

    @property
    @abstractmethod
    def num_nodes(self) -> int:
        """Nodes of a round, ``N``."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Most drafted tokens that a round can keep."""

    @property
    def paths(self) -> int | None:
        """Number of paths of ``depth`` tokens that the nodes are; None for other trees."""
        return None

    @property
    def num_models(self) -> int:
        """Draft models that are read."""
        return int(self.asks_model)

    @property
    def most_draws(self) -> int:
        """Most draws at one node; of greedy trees, most children."""
        return self.paths or self.num_nodes

    @property
    def branches(self) -> bool:
        """Whether a node may have several children."""
        return self.paths != 1

    @property
    def num_uniforms(self) -> int:
        """Uniform numbers that a round consumes for a text."""
        return self.num_nodes

    @abstractmethod
    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draft one round for every text; ``uniforms [B num_uniforms]``."""

    def mismatch(self, rule: Any, why: str) -> SchemeMismatch:
        """Error of a rule that these drafts cannot be verified by."""
        return SchemeMismatch(f"drafter: {self!r} cannot be verified by {rule!r}: {why}.")


class GrownTree(Drafter):
    """Base of drafters that grow ``nodes`` nodes, at most ``max_depth`` deep, at most `most_draws` below one node.

    A subclass is a frozen dataclass with these fields, and perhaps ``max_children``.
    """

    nodes: int
    max_depth: int | None

    def _check_sizes(self) -> None:
        check_positive("nodes", self.nodes)
        for name in ("max_depth", "max_children"):
            if getattr(self, name, None) is not None:
                check_positive(name, getattr(self, name))

    @property
    def num_nodes(self) -> int:
        """Nodes of a round."""
        return self.nodes

    @property
    def depth(self) -> int:
        """Depth of the deepest tree."""
        return min(self.nodes, self.max_depth or self.nodes)

    @property
    def most_draws(self) -> int:
        """Most children of a node."""
        return min(self.nodes, getattr(self, "max_children", None) or self.nodes)

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain."""
        return self.most_draws > 1
