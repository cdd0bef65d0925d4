"""Both models of a round: the laws that a drafter draws from, and those that a judge verifies under.

The text of a row is all that it has kept. The target's reader holds all of it but the last token; the draft's all but
the last two, which every round reads first: so whatever the last round kept, one call of two tokens brings the draft
model up to date, and the last token of a path is never read before it is known to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.core.noise import Noise
from otspec.decode.asking import on_device
from otspec.decode.model_laws import ModelLaws


class DraftSide:
    """The draft model of a batch, as a drafter sees it.

    Parameters
    ----------
    reader : Reader or None
        None where the drafter reads no model.
    vocab_size : int
    laws : ModelLaws
    """

    def __init__(self, reader: Any, vocab_size: int, laws: ModelLaws) -> None:
        self._reader, self.vocab_size, self.laws = reader, vocab_size, laws
        self.texts: list[list[int]] = []
        self.ends: Any = None
        self._single: Any = None
        self._seeds: Any = None
        self._position: Any = None

    @property
    def sides(self) -> list[Any]:
        """The models that are asked: this one."""
        return [self]

    def admit(self, rows: list[int], texts: list[list[int]]) -> None:
        """Read all of the texts but their last two tokens."""
        if self._reader is not None:
            self._reader.admit(rows, [text[:-2] for text in texts])

    def begin(self, texts: list[list[int]], ends: Any, lengths: Any, seeds: Any) -> None:
        """Start a round: texts, their last two tokens ``[B 2]``, their lengths and noise seeds ``[B]``."""
        self.texts, self.ends = texts, ends
        self._single, self._position, self._seeds = lengths == 1, lengths - 1, seeds

    def start(self) -> Any:
        """Laws ``[B V]`` after the texts."""
        import torch

        # a text of one token is read twice, side by side: neither copy sees the other
        parents = torch.stack([torch.full_like(self._position, -1), torch.where(self._single, -1, 0)], dim=1)
        return self.laws(self._reader.read(self.ends, parents, last=1))[:, 0]

    def after(self, tokens: Any, parents: Any) -> Any:
        """Laws ``[B n V]`` after new nodes; node ``j`` is the j-th that was read, 0 the end of the text."""
        return self.laws(self._reader.read(tokens.clamp(min=0), parents + 1, last=tokens.shape[1]))

    def noise(self, depth: int) -> Noise:
        """Noise of a token of the texts to come, keyed by its place in the text, not by the round."""
        return Noise(self._seeds, self._position + 1 + depth)

    def keep(self, nodes: Any, accepted: Any, read_at: Any, most: int, *, chain: bool) -> None:
        """Take over the drafts kept, all but the last one; ``chain``: they were read in their order, after two."""
        import torch

        if self._reader is None:
            return
        count = accepted + 1 - self._single.long()
        if chain:
            self._reader.keep(None, count, most - 2)
            return
        places = nodes + 1
        if read_at is not None:
            places = torch.cat([read_at[:, :1], read_at], dim=1).gather(1, nodes)
        begun = torch.arange(2, device=nodes.device).expand(len(nodes), -1)
        places = torch.cat([begun, places], dim=1)
        # of a text of one token the second copy is kept, which then lies in slot 0
        places = torch.where(self._single[:, None], places.roll(-1, dims=1), places)
        self._reader.keep(places[:, : nodes.shape[1] + 1], count, most - 2)

    def take(self, tokens: Any, accepted: Any, most: int) -> None:
        """Forget the drafts and read ``accepted [B]`` of ``tokens [B D]``, the text's last one before them first."""
        import torch

        single = self._single.long()
        self._reader.keep(None, 1 - single, most - 2)
        steps = torch.arange(tokens.shape[1], device=tokens.device) - 1
        self._reader.read(tokens, steps.expand_as(tokens), last=1)
        self._reader.keep(None, accepted, most - 2)

    def forget(self, most: int) -> None:
        """Forget all that was drafted: the next round begins where this one did; ``most``: tokens of a text."""
        if self._reader is not None:
            self._reader.keep(None, self._single.long() * 0, most - 2)

    def select(self, rows: Any) -> None:
        """Keep some rows."""
        if self._reader is not None:
            self._reader.select(rows)


class SeveralSides:
    """Several draft models of a batch, each with a path of its own.

    Whatever path is kept, every model takes over the same tokens, which it may not have drafted itself: so it forgets
    its drafts and reads those tokens.
    """

    def __init__(self, sides: list[DraftSide]) -> None:
        self.sides, self.laws = sides, sides[0].laws  # shared by all

    def admit(self, rows: list[int], texts: list[list[int]]) -> None:
        """Read all of the texts but their last two tokens."""
        for side in self.sides:
            side.admit(rows, texts)

    def begin(self, texts: list[list[int]], ends: Any, lengths: Any, seeds: Any) -> None:
        """Start a round."""
        self._texts, self._before = texts, [len(text) for text in texts]
        for side in self.sides:
            side.begin(texts, ends, lengths, seeds)

    def keep(self, nodes: Any, accepted: Any, read_at: Any, most: int, *, chain: bool) -> None:
        """Read the drafts kept, of which the texts hold one more than they will be told."""
        import torch

        width = nodes.shape[1]
        kept = [text[before - 1 : -1] + [0] * width for text, before in zip(self._texts, self._before, strict=True)]
        tokens = torch.tensor([row[:width] for row in kept], device=nodes.device)
        for side in self.sides:
            side.take(tokens, accepted, most)

    def noise(self, depth: int) -> Noise:
        """Noise of a token of the texts to come."""
        return self.sides[0].noise(depth)

    def select(self, rows: Any) -> None:
        """Keep some rows."""
        for side in self.sides:
            side.select(rows)


class TargetSide:
    """The target model of a batch."""

    def __init__(self, reader: Any, laws: ModelLaws) -> None:
        self._reader, self.laws = reader, laws

    def admit(self, rows: list[int], texts: list[list[int]]) -> None:
        """Read all of the texts but their last token."""
        self._reader.admit(rows, [text[:-1] for text in texts])

    def rows(self, last: Any, tokens: Any, parents: Any) -> Any:
        """Laws ``[B N+1 V]`` after the texts, whose last tokens are ``last [B]``, and after every node."""
        import torch

        read = torch.cat([last[:, None], tokens.clamp(min=0)], dim=1)
        above = torch.cat([torch.full_like(last, -1)[:, None], parents], dim=1)
        return self.laws(self._reader.read(read, above))

    def after(self, tokens: Any, parents: Any) -> Any:
        """Laws ``[B n V]`` after further nodes, once `rows` has been asked; numbers as in `DraftSide.after`."""
        return self.laws(self._reader.read(tokens, parents))

    def keep(self, nodes: Any, accepted: Any, most: int, *, chain: bool) -> None:
        """Take over the drafts kept, after the token that was last."""
        import torch

        places = None if chain else torch.cat([torch.zeros_like(nodes[:, :1]), nodes], dim=1)
        self._reader.keep(places, accepted + 1, most - 1)

    def forget(self, nodes: Any, most: int) -> None:
        """Forget the nodes ``[B N]`` that were read; ``most``: tokens of a text."""
        self._reader.keep(None, nodes[:, :0].sum(dim=1), most - 1)

    def select(self, rows: Any) -> None:
        """Keep some rows."""
        self._reader.select(rows)


def draft_side(readers: list[Any], vocab_size: int, laws: ModelLaws) -> DraftSide | SeveralSides:
    """Return the draft models of a batch: none, one, or several."""
    sides = [DraftSide(reader, vocab_size, laws) for reader in readers or [None]]
    return sides[0] if len(sides) == 1 else SeveralSides(sides)


def ends_of(texts: Sequence[Sequence[int]], device: Any) -> tuple[Any, Any]:
    """Last two tokens of every text ``[B 2]``, a text's only one twice, and their lengths ``[B]``."""
    ends = np.array([text[-2:] if len(text) > 1 else [*text, *text] for text in texts])
    return on_device(ends, device), on_device(np.array([len(text) for text in texts]), device)
