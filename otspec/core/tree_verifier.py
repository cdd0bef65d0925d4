"""Rules on drafted trees, and on K paths as one of them: sequence rules of the registry's kind ``tree``."""

from __future__ import annotations

from otspec.core.sequence import PathVerdict, SequenceLaw, SequenceVerifier, TreeVerdict

TreeLaw = SequenceLaw


class TreeVerifier(SequenceVerifier):
    """A rule that keeps the prefix of one node of a drafted tree and emits one more token.

    All it does is said in `otspec.core.sequence`; the name tells a decoder that the rule takes several paths.
    """


__all__ = ["PathVerdict", "TreeLaw", "TreeVerdict", "TreeVerifier"]
