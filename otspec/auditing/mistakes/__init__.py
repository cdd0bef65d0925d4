"""Known mistakes as data: what is wrong, the remedy, and the law that each emits, so that an audit can name them.

The registry holds the mistakes that were found in real code. Each is written as a conditional law; its bias on a
case follows by enumeration, and an audited function whose outcomes have that law, and not the target's, made it.
"""

from otspec.auditing.mistakes.block import BLOCK
from otspec.auditing.mistakes.registry import Mistake
from otspec.auditing.mistakes.token import ONE_DRAFT, SEVERAL
from otspec.auditing.mistakes.tree import TREE

MISTAKES = (*ONE_DRAFT, *SEVERAL, *BLOCK, *TREE)


def known_mistakes(kind: str, scheme: str = "") -> list[Mistake]:
    """Mistakes of a kind of rule; ``scheme`` is the class name of the draft scheme.

    Examples
    --------
    >>> [mistake.name for mistake in known_mistakes("tree", "WithReplacement")][:2]
    ['merged_copies', 'frozen_residual']
    """
    kinds = ("token", "multi") if kind in ("token", "multi") else (kind,)
    return [one for one in MISTAKES if one.kind in kinds and (not one.schemes or not scheme or scheme in one.schemes)]


__all__ = ["MISTAKES", "Mistake", "known_mistakes"]
