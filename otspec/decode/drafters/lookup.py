"""Prompt look-up: the drafts are what followed the last time that the text went like this. No draft model is read.

The longest of the last ``ngram`` tokens that stands earlier in the text is looked for, its latest place counts, and
what followed there is proposed. A proposal is a function of the text, so its draft law is one-hot, and any rule for one
path verifies it; where nothing is found the last token is proposed again, which costs nothing but a chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.laws import one_hot
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.decode.drafters.paths import as_nodes


@dataclass(frozen=True)
class Lookup(Drafter):
    """One path of ``draft_length`` tokens from the text itself.

    Examples
    --------
    >>> followed([1, 2, 3, 9, 1, 2], 3, 3)
    [3, 9, 1]
    """

    draft_length: int = 4
    ngram: int = 3

    asks_model: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("draft_length", self.draft_length)
        check_positive("ngram", self.ngram)

    @property
    def num_nodes(self) -> int:
        """Tokens of the path."""
        return self.draft_length

    @property
    def depth(self) -> int:
        """Tokens of the path."""
        return self.draft_length

    @property
    def paths(self) -> int:
        """One."""
        return 1

    @property
    def num_uniforms(self) -> int:
        """No chance."""
        return 0

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Look every text up."""
        import torch

        found = [followed(text, self.ngram, self.draft_length) for text in speaker.texts]
        tokens = torch.tensor(found, device=uniforms.device)[:, None]
        rows = one_hot(tokens, speaker.vocab_size, torch.float64)
        return Draft(*as_nodes(tokens), rows)


def followed(text: Sequence[int], ngram: int, length: int) -> list[int]:
    """Return the ``length`` tokens after the latest earlier place of the longest matching end of a text."""
    for size in range(min(ngram, len(text) - 1), 0, -1):
        end = list(text[-size:])
        for start in range(len(text) - size - 1, -1, -1):
            if list(text[start : start + size]) == end:
                found = list(text[start + size : start + size + length])
                return found + [found[-1]] * (length - len(found))
    return [text[-1]] * length
