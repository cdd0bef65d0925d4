"""Coupled drafts: guesses of the target's tokens, selected with the noise that the target will use. [coupling]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otspec.core.checks import check_positive
from otspec.decode.asking import ask
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.decode.drafters.paths import as_nodes, path_parents


@dataclass(frozen=True)
class CoupledPath(Drafter):
    """One path, each token selected by a coupling with the noise of its own position."""

    coupling: Any
    draft_length: int = 4

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("draft_length", self.draft_length)

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
        """None: the noise is shared."""
        return 0

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Select token after token."""
        import torch

        law, rows = speaker.start(), []
        tokens = torch.zeros(len(law), 1, 0, dtype=torch.int64, device=law.device)
        for depth in range(self.draft_length):
            rows.append(law)
            tokens = torch.cat([tokens, ask(self.coupling._select, law, speaker.noise(depth))[:, None, None]], dim=2)
            if depth + 1 < self.draft_length:
                law = speaker.after(tokens[:, :, -1], path_parents(tokens[:, :, -1], depth))[:, 0]
        return Draft(*as_nodes(tokens), torch.stack(rows, dim=1)[:, None])
