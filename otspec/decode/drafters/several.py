"""Several different draft models, one path each.

Each model draws its own path from its own laws. The paths that agree with the text so far hold independent draws of the
next token from different laws, so a rule that is proved for different drafters applies to them, bound to as many as
there are survivors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from otspec.core.checks import check_positive
from otspec.core.drafters import Independent
from otspec.core.laws import draw
from otspec.decode.drafters.base import Draft, Drafter, Speaker
from otspec.decode.drafters.paths import as_nodes, path_parents


@dataclass(frozen=True)
class Several(Drafter):
    """One path of ``draft_length`` tokens from each of ``models`` draft models of a pair.

    Examples
    --------
    >>> Several(models=3, draft_length=4).scheme
    Independent(k=3)
    """

    models: int = 2
    draft_length: int = 4

    tree: ClassVar[str] = "drafters"

    def __post_init__(self) -> None:
        """Check the parameters."""
        check_positive("models", self.models)
        check_positive("draft_length", self.draft_length)

    @property
    def scheme(self) -> Independent:
        """One draw from each."""
        return Independent(self.models)

    @property
    def num_nodes(self) -> int:
        """Tokens of all paths."""
        return self.models * self.draft_length

    @property
    def depth(self) -> int:
        """Tokens of a path."""
        return self.draft_length

    @property
    def paths(self) -> int:
        """One for each model."""
        return self.models

    @property
    def num_models(self) -> int:
        """Draft models that are read."""
        return self.models

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Let every model draw its path; ``speaker.sides`` are the models."""
        import torch

        paths, rows = [], []
        for place, side in enumerate(speaker.sides):
            here = uniforms[:, place * self.draft_length : (place + 1) * self.draft_length]
            law = side.start()
            tokens, along = draw(law, here[:, 0])[:, None], [law]
            for depth in range(1, self.draft_length):
                law = side.after(tokens[:, -1:], path_parents(tokens[:, -1:], depth - 1))[:, 0]
                tokens = torch.cat([tokens, draw(law, here[:, depth])[:, None]], dim=1)
                along.append(law)
            paths.append(tokens)
            rows.append(torch.stack(along, dim=1))
        return Draft(*as_nodes(torch.stack(paths, dim=1)), torch.stack(rows, dim=1))
