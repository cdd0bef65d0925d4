"""Fixed trees: every node of a depth has the same number of children, or each node its own. [sequoia].

Children of one node are drawn without replacement, so no draft is spent on a token twice. The shape is fixed before
anything is drawn, so rules that must know the number of children beforehand may verify it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.core.schemes import WithoutReplacement
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.policies.trees.shapes import check_counts


@dataclass(frozen=True)
class FixedTree(Drafter):
    """A tree of fixed shape, children without replacement.

    Parameters
    ----------
    widths : sequence of int, optional
        Children of every node of a depth: ``(4, 2, 1)`` has 4 + 8 + 8 nodes, ``(4, 1, 1)`` is four paths that begin
        with different tokens.
    counts : sequence of int, optional
        Instead of `widths`: children of each node, the end of the text first, then its children, in the order in which
        nodes are numbered; nodes without an entry have none.

    Examples
    --------
    >>> FixedTree(widths=(4, 2, 1)).num_nodes, FixedTree(counts=(2, 2, 0, 1)).num_nodes
    (20, 5)
    """

    widths: Sequence[int] | None = None
    counts: Sequence[int] | None = None

    tree: ClassVar[str] = "without_replacement"

    def __post_init__(self) -> None:
        """Check the shape."""
        if (self.widths is None) == (self.counts is None):
            raise BadArgument("widths, counts: one of the two gives the shape of the tree. Fix: widths=(4, 2, 1), say.")
        if self.widths is not None:
            object.__setattr__(self, "widths", tuple(check_positive("widths", width) for width in self.widths))
        elif self.counts is not None:
            object.__setattr__(self, "counts", check_counts(self.counts))
        if not self.num_nodes:
            raise BadArgument(f"{'widths' if self.counts is None else 'counts'}: a tree without nodes. Fix: at least "
                              f"one child.")
        if self.counts is not None and len(self.counts) > self.num_nodes + 1:
            raise BadArgument(f"counts: {len(self.counts)} entries, but the tree has only {self.num_nodes} nodes and "
                              f"its root. Fix: one entry for each, in the order in which they are numbered.")

    @cached_property
    def levels(self) -> list[list[tuple[int, int]]]:
        """Nodes that have children, depth by depth: number and how many."""
        levels: list[list[tuple[int, int]]] = []
        level, made = [0], 0
        while level:
            depth = len(levels)
            here = []
            below: list[int] = []
            for node in level:
                count = self._children(node, depth)
                if count:
                    here.append((node, count))
                    below += range(made + 1, made + 1 + count)
                    made += count
            if not here:
                break
            levels.append(here)
            level = below
        return levels

    def _children(self, node: int, depth: int) -> int:
        if self.widths is not None:
            return self.widths[depth] if depth < len(self.widths) else 0
        counts = self.counts or ()
        return counts[node] if node < len(counts) else 0

    @property
    def num_nodes(self) -> int:
        """Nodes of the tree."""
        return sum(count for level in self.levels for _, count in level)

    @property
    def depth(self) -> int:
        """Depth of the tree."""
        return len(self.levels)

    @property
    def most_draws(self) -> int:
        """Most children of a node."""
        return max(count for level in self.levels for _, count in level)

    @property
    def branches(self) -> bool:
        """Whether it is more than a chain."""
        return self.most_draws > 1

    def _children_of(self, law: Any, uniforms: Any) -> Any:
        """Tokens ``[B k]`` after nodes of laws ``[B V]``."""
        return WithoutReplacement(uniforms.shape[1])._sample(law, uniforms)

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw the children of one depth after the other."""
        import torch

        laws = [speaker.start()[:, None]]
        size, _, vocabulary = laws[0].shape
        tokens, parents = uniforms.new_zeros((2, size, 0), dtype=torch.int64)
        for depth, level in enumerate(self.levels):
            table = torch.cat(laws, dim=1) if depth else laws[0]
            for node, count in level:
                here = uniforms[:, tokens.shape[1] : tokens.shape[1] + count]
                drawn = self._children_of(table[:, node], here)
                if node:  # nothing stands behind an absent node
                    drawn = torch.where(tokens[:, node - 1, None] < 0, -torch.ones_like(drawn), drawn)
                tokens = torch.cat([tokens, drawn], dim=1)
                parents = torch.cat([parents, torch.full_like(drawn, node)], dim=1)
            if depth + 1 < self.depth:
                new = sum(count for _, count in level)
                laws.append(speaker.after(tokens[:, -new:], parents[:, -new:]))
        rows = torch.cat(laws, dim=1)
        leaves = rows.new_zeros(size, self.num_nodes + 1 - rows.shape[1], vocabulary)
        return Draft(tokens, parents, torch.cat([rows, leaves], dim=1))
