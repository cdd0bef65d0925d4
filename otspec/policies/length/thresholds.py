"""Stopping as engines do it: by the confidence in the last token, or by the draft row of the next one.

* Hugging Face (``assistant_confidence_threshold``, 0.4, with ``num_assistant_tokens=20``) stops behind a token whose
  draft probability is below the threshold; the token stays in the block. [hf-assisted]
* llama.cpp (``--draft-p-min``, long 0.75, with ``--draft-max`` 16) stops where the largest mass of the next row is
  below the threshold; no token of that row is drafted. [llama-cpp]
* The entropy bound stops where the acceptance that the row's entropy H promises, ``1 - sqrt(g H)``, is too small.
  [adaedl]

All three are lawful: the first keeps the token it looked at, the others look at no token. llama.cpp drafts the
likeliest token of each row, a function of the text, for which its rule is lawful as well; here tokens are drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from otspec.core.checks import check_positive
from otspec.policies.length.base import LengthPolicy, cheapest, check_cost, check_share
from otspec.policies.length.blocks import Blocks, Seen

GRID = tuple(round(0.05 * step, 2) for step in range(20))


class _Threshold(LengthPolicy):
    """Policies with one threshold on a probability."""

    threshold: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        object.__setattr__(self, "threshold", check_share("threshold", self.threshold))
        check_positive("max_length", self.max_length)

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> _Threshold:
        """Choose threshold (from 0, 0.05, .., 0.95) and length (up to ``max_length``) of least cost per token."""
        self._check_blocks(blocks)
        candidates = [replace(self, threshold=value, max_length=length)  # type: ignore[type-var]
                      for length in range(1, self.max_length + 1) for value in GRID]
        return cheapest(candidates, blocks, draft_cost, verify_cost)


@dataclass(frozen=True)
class Confidence(_Threshold):
    """Stop behind a token of draft probability below ``threshold``, as Hugging Face's assisted generation does.

    Examples
    --------
    >>> Confidence()
    Confidence(threshold=0.4, max_length=20)
    """

    threshold: float = 0.4
    max_length: int = 20

    def stops(self, seen: Seen) -> np.ndarray:
        """Look at the last token; the first one is always drafted."""
        if seen.drafted == 0:
            return np.zeros(len(seen.confidence), dtype=bool)
        return seen.confidence[:, -1] < self.threshold


@dataclass(frozen=True)
class MinProbability(_Threshold):
    """Stop where the next draft row has no mass of ``threshold`` or more, as llama.cpp's ``--draft-p-min`` does.

    Examples
    --------
    >>> MinProbability(max_length=8)
    MinProbability(threshold=0.75, max_length=8)
    """

    looks_ahead = True

    threshold: float = 0.75
    max_length: int = 16

    def stops(self, seen: Seen) -> np.ndarray:
        """Look at the next row."""
        return seen.top[:, seen.drafted] < self.threshold


@dataclass(frozen=True)
class EntropyBound(_Threshold):
    """Stop where ``1 - sqrt(scale * entropy)`` of the next draft row is below ``threshold``. [adaedl].

    Examples
    --------
    >>> EntropyBound(threshold=0.3).scale
    0.2
    """

    looks_ahead = True

    threshold: float = 0.4
    scale: float = 0.2
    max_length: int = 8

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        check_cost("scale", self.scale)

    def stops(self, seen: Seen) -> np.ndarray:
        """Look at the entropy of the next row, in nats."""
        return 1.0 - np.sqrt(self.scale * seen.entropy[:, seen.drafted]) < self.threshold
