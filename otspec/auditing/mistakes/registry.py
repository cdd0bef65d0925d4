"""What a known mistake is: its name, what is wrong, the remedy, and the law that it emits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.laws import positive_part

#: token: ``law(target [V], draft [V], tokens [k]) -> [V]``; block: ``law(target_rows [L+1 V], draft_rows [L V],
#: tokens [L]) -> [L+1 V]``; tree: ``law(tree, target_rows [N V], draft_rows [N V]) -> [N V]`` of (node, next token)
Rule = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Mistake:
    """A rule that somebody once took for lossless.

    Attributes
    ----------
    name : str
    kind : {"token", "multi", "block", "tree", "samples"}
        ``token`` is about one draft, ``multi`` about several.
    wrong : str
        What it does.
    remedy : str
        What to do instead.
    law : callable or None
        Its conditional law, coins integrated out; None of a mistake that is seen in samples only.
    schemes : tuple of str
        Kinds of drafts that it is a mistake for, by class name; empty: any.
    """

    name: str
    kind: str
    wrong: str
    remedy: str
    law: Rule | None
    schemes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Name, what is wrong and the remedy."""
        return f"{self.name}: {self.wrong}. Remedy: {self.remedy}."


def accept(target: float, draft: float) -> float:
    """``min(1, target / draft)``; 0 where the draft law says 0: what cannot be drafted is refused."""
    return min(1.0, target / draft) if draft > 0 else 0.0


def excess(target: np.ndarray, draft: np.ndarray) -> np.ndarray:
    """Law proportional to ``(target - draft)+``; the target where nothing is left."""
    left = positive_part(target - draft)
    return scaled(left, target)


def scaled(weights: np.ndarray, instead: np.ndarray) -> np.ndarray:
    """Weights over their sum, or another law where that is zero."""
    mass = weights.sum()
    if mass > 0:
        return weights / mass
    return instead / instead.sum() if instead.sum() > 0 else np.full(weights.size, 1 / weights.size)


def point(token: int, size: int) -> np.ndarray:
    """Law of one token for certain."""
    return np.eye(size)[token]


def mixed(keep: float, token: int, otherwise: np.ndarray) -> np.ndarray:
    """The token with probability ``keep``, else a draw from another law."""
    return keep * point(token, otherwise.size) + (1 - keep) * otherwise


def distinct(tokens: Any) -> list[int]:
    """Drafts without repeats and absent ones, in drawing order."""
    return list(dict.fromkeys(token for token in np.asarray(tokens).ravel().tolist() if token >= 0))

