"""Vertex choice and block verification: at each node the draft of largest target/draft ratio carries on. [gbv].

The law of the chosen token is then the increments of the capacity along the order of the ratios, an extreme point of
the winner laws. This is our reading of the published greedy multi-path rule, whose ranking of the children its abstract
leaves open. [gbv]

Theorem: the text has the target's law, as for every fixed ranking of the children. [gbv]
"""

from __future__ import annotations

from otspec.core.schemes import DraftScheme
from otspec.verifiers.block.winner_block import WinnerBlock


class VertexBlock(WinnerBlock):
    """Draft of largest target/draft ratio at each level, block verification of its path. [gbv]."""

    def __init__(self, scheme: DraftScheme | int = 1) -> None:
        super().__init__(scheme, law="vertex")
