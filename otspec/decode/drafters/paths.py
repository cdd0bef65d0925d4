"""Independent paths, the drafts of speculative decoding and of most rules for several drafts. [leviathan2023] [spectr].

The first tokens are a list of the scheme, ``K`` independent draws by default; from there on every path draws its own
tokens, one by one. Paths with one beginning are read as different nodes, but their laws are made equal bit by bit, so
that a rule may take them for copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from otspec.core.checks import check_positive
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import SchemeMismatch
from otspec.core.laws import draw
from otspec.core.schemes import DraftScheme, WithReplacement, as_scheme
from otspec.decode.asking import waits_for_nobody
from otspec.decode.drafters.base import Draft, Drafter, Speaker


@dataclass(frozen=True)
class Paths(Drafter):
    """``K`` paths of ``draft_length`` tokens.

    Parameters
    ----------
    scheme : DraftScheme or int
        How the first tokens are drawn.
    draft_length : int

    Examples
    --------
    >>> Paths(4, 8).num_nodes
    32
    """

    scheme: DraftScheme | int = 1
    draft_length: int = 4

    def __post_init__(self) -> None:
        """Check the parameters."""
        scheme = as_scheme(self.scheme)
        if isinstance(scheme, (Independent, Joint)):
            raise SchemeMismatch(f"scheme: {scheme} needs several drafters. Fix: scheme=WithReplacement(k).")
        if check_positive("draft_length", self.draft_length) > 1 and not isinstance(scheme, WithReplacement):
            raise SchemeMismatch(
                f"draft_length: {self.draft_length} tokens deep, {scheme} is not decoded as paths: survivors of such "
                f"drafts are no longer draws by the scheme. Fix: draft_length=1, WithReplacement(k), or "
                f"drafter=otspec.drafter('tree', widths=...), which draws without replacement at every depth.")
        object.__setattr__(self, "scheme", scheme)

    @property
    def num_nodes(self) -> int:
        """Tokens of all paths."""
        return self.paths * self.draft_length

    @property
    def depth(self) -> int:
        """Tokens of a path."""
        return self.draft_length

    @property
    def paths(self) -> int:
        """Number of paths."""
        return as_scheme(self.scheme).num_drafts

    @property
    def num_uniforms(self) -> int:
        """Those of the scheme, then one for each later token."""
        return as_scheme(self.scheme).num_uniforms + self.paths * (self.draft_length - 1)

    def propose(self, speaker: Speaker, uniforms: Any) -> Draft:
        """Draw the scheme's list, then one continuation of each path after the other."""
        import torch

        scheme = as_scheme(self.scheme)
        start = scheme.num_uniforms
        law = speaker.start()
        tokens = scheme._sample(law, uniforms[:, :start])[..., None]
        rows = [law[:, None].expand(-1, self.paths, -1)]
        for depth in range(1, self.draft_length):
            law = speaker.after(tokens[:, :, -1], path_parents(tokens[:, :, -1], depth - 1))
            rows.append(shared_rows(law, tokens))
            here = uniforms[:, start + (depth - 1) * self.paths : start + depth * self.paths]
            tokens = torch.cat([tokens, draw(rows[-1], here)[..., None]], dim=-1)
        return Draft(*as_nodes(tokens), torch.stack(rows, dim=2))


def path_parents(tokens: Any, depth: int) -> Any:
    """Parents ``[B K]`` of the nodes of K paths at a depth, 0 being the first."""
    import torch

    size, paths = tokens.shape
    before = torch.arange(paths, device=tokens.device) + (depth - 1) * paths + 1
    return (before if depth else torch.zeros_like(before)).expand(size, -1)


def as_nodes(tokens: Any) -> tuple[Any, Any]:
    """Tokens and parents ``[B K L]`` of paths as those of nodes ``[B K*L]``, depth by depth."""
    import torch

    parents = torch.stack([path_parents(tokens[:, :, 0], depth) for depth in range(tokens.shape[2])], dim=1)
    return tokens.transpose(1, 2).flatten(1), parents.flatten(1)


def shared_rows(law: Any, tokens: Any) -> Any:
    """Give copies with one prefix bit-identical laws; a batched model may differ between nodes in the last digits.

    On the CPU the few rows of copies are written over where they lie, elsewhere all are gathered, so that nobody waits.
    """
    import torch

    if law.shape[1] == 1:
        return law
    same = (tokens[:, :, None] == tokens[:, None]).all(dim=-1)
    leader = same.int().argmax(dim=-1)
    if not waits_for_nobody(law):
        return torch.take_along_dim(law, leader[..., None], dim=1)
    rows, copies = (leader != torch.arange(law.shape[1])).nonzero(as_tuple=True)
    law = law.contiguous() if 0 in law.stride() else law
    law[rows, copies] = law[rows, leader[rows, copies]]
    return law


def shared_targets(rows: Any, tokens: Any) -> Any:
    """Target laws ``[B K L+1 V]`` of paths ``[B K L]``, those after one prefix bit-identical; as `shared_rows`."""
    import torch

    if rows.shape[1] == 1:
        return rows
    if not waits_for_nobody(rows):
        return torch.stack([shared_rows(rows[:, :, i], tokens[:, :, :i]) for i in range(rows.shape[2])], dim=2)
    rows = rows.contiguous() if 0 in rows.stride() else rows
    for i in range(rows.shape[2]):
        shared_rows(rows[:, :, i], tokens[:, :, :i])
    return rows


def along_paths(rows: Any, paths: int) -> Any:
    """Laws ``[B N+1 V]`` after the nodes of paths as ``[B K L+1 V]``, that after the text once for each path."""
    import torch

    below = rows[:, 1:].unflatten(1, (-1, paths)).transpose(1, 2)
    return torch.cat([rows[:, None, :1].expand(-1, paths, -1, -1), below], dim=2)
