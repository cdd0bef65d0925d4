"""Rules on drafted trees, and on K paths as one of them: sequence rules of the registry's kind ``tree``."""

from __future__ import annotations

from otspec.core.sequence import PathVerdict, SequenceLaw, SequenceVerifier, TreeVerdict
from otspec.core.tree_batches import BatchedTrees

TreeLaw = SequenceLaw


class TreeVerifier(BatchedTrees, SequenceVerifier):
    """A rule that keeps the prefix of one node of a drafted tree and emits one more token.

    What a rule is, is said in `otspec.core.sequence`; verdicts on trees of many texts come from
    `otspec.core.tree_batches`.
    """


__all__ = ["PathVerdict", "TreeLaw", "TreeVerdict", "TreeVerifier"]
