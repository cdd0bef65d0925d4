"""Coupled drafts: guesses of the target's tokens, selected with the noise that the target will use. [coupling]. [gls].

Several paths are several guesses at the first token; from there on each is continued with the noise of its position, on
its own sheet where the coupling has sheets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otspec.core.checks import check_positive
from otspec.decode.asking import ask
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.decode.drafters.paths import as_nodes, path_parents


@dataclass(frozen=True)
class CoupledPaths(Drafter):
    """Paths whose tokens are selected by a coupling with the noise of their positions."""

    coupling: Any
    draft_length: int = 4
    num_paths: int = 1

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("draft_length", self.draft_length)
        self.coupling.check_drafts(self.num_paths)

    @property
    def num_nodes(self) -> int:
        """Tokens of all paths."""
        return self.num_paths * self.draft_length

    @property
    def depth(self) -> int:
        """Tokens of a path."""
        return self.draft_length

    @property
    def paths(self) -> int:
        """Number of paths."""
        return self.num_paths

    @property
    def num_uniforms(self) -> int:
        """None: the noise is shared."""
        return 0

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Select the list of first tokens, then one continuation of each path after the other."""
        import torch

        law = speaker.start()
        self.coupling.check_drafts(self.num_paths, law.shape[-1])
        tokens = ask(self.coupling._select_list, law, speaker.noise(0), self.num_paths)[..., None]
        rows = [law[:, None].expand(-1, self.num_paths, -1)]
        for depth in range(1, self.draft_length):
            rows.append(speaker.after(tokens[:, :, -1], path_parents(tokens[:, :, -1], depth - 1)))
            chosen = [ask(self.coupling._select_on_path, rows[-1][:, path], speaker.noise(depth), path)
                      for path in range(self.num_paths)]
            # behind a draft that is absent, nothing is drafted
            new = torch.stack(chosen, dim=1).where(tokens[:, :, 0] >= 0, -1)
            tokens = torch.cat([tokens, new[..., None]], dim=2)
        return Draft(*as_nodes(tokens), torch.stack(rows, dim=2))
