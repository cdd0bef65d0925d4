"""Laws of both models after texts, and along drafted paths: what recordings and comparisons are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.decode.drafters.base import Draft
from otspec.decode.drafters.paths import Paths, along_paths, shared_targets
from otspec.decode.model_laws import ModelLaws
from otspec.decode.reading.behaviour import behaviour
from otspec.decode.speaking import DraftSide, TargetSide, ends_of


def sides(pair: Any, texts: Sequence[Sequence[int]], warp: dict[str, Any], *, longest: int, branches: bool,
          copies: int = 1) -> tuple[TargetSide, DraftSide]:
    """Both models with ``copies`` rows of every text, a round begun; call it in inference mode.

    Parameters
    ----------
    pair : Pair
    texts : sequence of token lists
    warp : dict
        Arguments of ``law_from_logits``.
    longest : int
        Tokens of the longest text of the whole run: decides how the models are read.
    branches : bool
        Whether drafts may branch.
    copies : int
    """
    import torch

    repeated = [list(text) for text in texts for _ in range(copies)]
    rows = list(range(len(repeated)))
    readers = [behaviour(getattr(pair, which), pair.vocab_size, longest, which, trees=branches).make(rows=len(rows))
               for which in ("target", "draft")]
    target = TargetSide(readers[0], ModelLaws("target", warp, at_once=True))
    draft = DraftSide(readers[1], pair.vocab_size, ModelLaws("draft", warp, at_once=True))
    target.admit(rows, repeated)
    draft.admit(rows, repeated)
    ends, lengths = ends_of(repeated, torch.device(pair.device))
    draft.begin(repeated, ends, lengths, torch.zeros_like(lengths))
    return target, draft


def laws_after(pair: Any, texts: Sequence[Sequence[int]], warp: dict[str, Any], longest: int) -> tuple[Any, Any]:
    """Target and draft laws ``[B V]`` after every text."""
    import torch

    with torch.inference_mode():
        target, draft = sides(pair, texts, warp, longest=longest, branches=False)
        ends, none = draft.ends, torch.zeros(len(texts), 0, dtype=torch.int64, device=draft.ends.device)
        return target.rows(ends[:, -1], none, none)[:, 0], draft.start()


def laws_along(pair: Any, texts: Sequence[Sequence[int]], paths: Paths, warp: dict[str, Any], uniforms: np.ndarray,
               longest: int, copies: int = 1) -> tuple[Any, Any, Any]:
    """Draft paths after every text and return the laws along them.

    Parameters
    ----------
    uniforms : [B*copies paths.num_uniforms]
    copies : int
        Sets of paths of every text; those of one text stand together.

    Returns
    -------
    target_rows : [B*copies K L+1 V]
    draft_rows : [B*copies K L V]
    tokens : [B*copies K L] int64
    """
    import torch

    with torch.inference_mode():
        target, draft = sides(pair, texts, warp, longest=longest, branches=paths.branches, copies=copies)
        made: Draft = paths.propose(draft, torch.from_numpy(uniforms).to(draft.ends.device))
        rows = along_paths(target.rows(draft.ends[:, -1], made.tokens, made.parents), paths.paths)
        tokens = made.tokens.unflatten(1, (paths.depth, paths.paths)).transpose(1, 2)
        return shared_targets(rows, tokens), made.rows, tokens
