"""Token rules walked down a tree, by name: see `otspec.core.walk` for the walk.

K-SEQ on surviving paths [spectr]; recursive rejection, with independent copies [specinfer] or without replacement
[sequoia]; and the optimal rule, the best that any walk can do. Theorem: each is lossless, because the tokens follow the
target's law one by one.
"""

from __future__ import annotations

from typing import Any, ClassVar

from otspec.core.drafted import DraftedTrees
from otspec.core.schemes import DraftScheme, WithoutReplacement, WithReplacement, as_scheme
from otspec.core.walk import TokenWalk
from otspec.verifiers.token.k_seq import KSeq
from otspec.verifiers.token.recursive import Recursive
from otspec.verifiers.token.recursive_wor import RecursiveWithoutReplacement
from otspec.verifiers.tree.batched_traversal import REJECTION, draw_nodes, expected_depth
from otspec.verifiers.tree.copies import walk_copies

Array = Any

class SpecTrPaths(TokenWalk):
    """K-SEQ with the surviving count on K paths. [spectr]."""

    schemes: ClassVar[tuple[type, ...]] = (WithReplacement,)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        super().__init__(KSeq(scheme))


class RecursiveWalk(TokenWalk):
    """Recursive rejection at each node, copies with replacement [specinfer] or without [sequoia]."""

    adaptive: ClassVar[tuple[str, ...]] = ("without_replacement",)

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        scheme = as_scheme(scheme)
        super().__init__((RecursiveWithoutReplacement if isinstance(scheme, WithoutReplacement) else Recursive)(scheme))

    def num_tree_uniforms(self, num_nodes: int) -> int:
        """One for each node, with replacement one more for the copies after it, and one for the next token."""
        return (1 + self._copies) * num_nodes + 1

    def _draw_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                    uniforms: Array) -> tuple[Array, Array]:
        if self._copies:
            return walk_copies(drafted, target_rows, draft_rows, uniforms, self.scheme.num_drafts)[:2]
        return draw_nodes(drafted, target_rows, draft_rows, uniforms, REJECTION)

    def _expected_trees(self, drafted: DraftedTrees, target_rows: Array, draft_rows: Array | None,
                        uniforms: Array) -> Array:
        if self._copies:
            return walk_copies(drafted, target_rows, draft_rows, uniforms, self.scheme.num_drafts, measure=True)[2]
        return expected_depth(drafted, target_rows, draft_rows, REJECTION)

    @property
    def _copies(self) -> bool:
        """Whether equal drafts may have been merged."""
        return isinstance(self.scheme, WithReplacement)


class OptimalWalk(TokenWalk):
    """The optimal token rule at each node, copies with replacement or without. [mdsd]."""

    order_matters: ClassVar[bool] = False

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        from otspec.verifiers.token.optimal import Optimal  # compiles its scans with numba: loaded when first made

        super().__init__(Optimal(scheme))
