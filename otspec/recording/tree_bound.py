"""The dual bound of a drafter's trees after one context: whole trees drawn by the drafter itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.analysis.dual.sampled import Bounded
from otspec.analysis.dual.trees import deterministic, number_trees, sampled_trees
from otspec.core.errors import SchemeMismatch
from otspec.decode.drafters.base import Drafter
from otspec.recording.along import sides
from otspec.recording.prefixes import PairPrefixes

COPIES = 64  # trees that are drafted side by side, each behind a copy of the text
ROOT_ROLLOUTS = 32  # times those of a node: the root's worth enters every tree


def check_drafter(drafter: Drafter) -> None:
    """Refuse drafts of several models, or of noise that the target shares.

    Raises
    ------
    SchemeMismatch
    """
    if drafter.num_models > 1 or drafter.tree not in ("paths", "without_replacement", "greedy", "deterministic"):
        raise SchemeMismatch(f"num_paths: {drafter!r} drafts trees of kind {drafter.tree!r} from "
                             f"{drafter.num_models} model(s). Fix: a drafter of one model, such as "
                             f"otspec.drafter('tree', widths=(4, 2, 1)), or a number of independent paths.")


def after_tree(pair: Any, text: Sequence[int], drafter: Drafter, warp: dict[str, Any], longest: int, samples: int,
               rollouts: int, drafts: np.random.Generator, coins: np.random.Generator) -> Bounded:
    """Bound after one context, exact where the drafter leaves nothing to chance."""
    # what a drafter copies or chooses depends on nothing but the text
    fixed = drafter.tree == "deterministic" or not drafter.asks_model
    tokens, parents = _drawn(pair, text, drafter, warp, longest, drafts.random((1 if fixed else samples,
                                                                                drafter.num_uniforms)))
    prefixes = PairPrefixes(pair, text, warp, longest)
    if fixed:
        return Bounded(deterministic(prefixes, tokens[0], parents[0]), 0.0)
    drawn, reach = number_trees(prefixes, tokens, parents, drafter.depth, drafter.tree)
    return sampled_trees(prefixes, drawn, reach, rollouts, ROOT_ROLLOUTS * rollouts, coins)


def _drawn(pair: Any, text: Sequence[int], drafter: Drafter, warp: dict[str, Any], longest: int,
           uniforms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    import torch

    tokens, parents = [], []
    with torch.inference_mode():
        for start in range(0, len(uniforms), COPIES):
            part = torch.from_numpy(uniforms[start : start + COPIES]).to(pair.device)
            _, draft = sides(pair, [text], warp, longest=longest, branches=drafter.branches, copies=len(part))
            made = drafter.propose(draft, part)
            tokens.append(made.tokens.cpu().numpy())
            parents.append(made.parents.cpu().numpy())
    return np.concatenate(tokens), np.concatenate(parents)
