"""Instances of the checks: five tokens or more, because smaller vocabularies hide planted bugs."""

from __future__ import annotations

import numpy as np

from otspec.analysis.instances import random_pair
from otspec.core.drafters import Independent, Joint
from otspec.core.schemes import DraftScheme, Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement

TINY = 1e-12
HAND = {
    "spread": ([0.30, 0.25, 0.20, 0.15, 0.10], [0.05, 0.15, 0.20, 0.25, 0.35]),
    "zeros": ([0.0, 0.5, 0.2, 0.3, 0.0], [0.4, 0.35, 0.0, 0.25, 0.0]),
    "ties": ([0.3, 0.3, 0.1, 0.1, 0.2], [0.2, 0.2, 0.2, 0.2, 0.2]),
    "disjoint": ([0.6, 0.4, 0.0, 0.0, 0.0], [0.0, 0.0, 0.5, 0.3, 0.2]),
    "one_hot_target": ([0.0, 0.0, 1.0, 0.0, 0.0], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "equal": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.1, 0.2, 0.15, 0.5, 0.05]),
    "short_support": ([0.1, 0.2, 0.15, 0.5, 0.05], [0.3, 0.0, 0.0, 0.7, 0.0]),
    "tiny_draft": ([0.1, 0.2, 0.15, 0.5, 0.05], [TINY, 2 * TINY, 1 - 6 * TINY, TINY, 2 * TINY]),
}
#: schemes that a rule is checked on where none is given, as far as it is proved for them
SCHEMES = (WithReplacement(1), WithReplacement(2), WithReplacement(3), WithoutReplacement(1), WithoutReplacement(2),
           WithoutReplacement(3), Greedy(2), Greedy(3), Hybrid(1, 3), Hub(), Independent(2))


def laws(seed: int = 0) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Target and draft laws by name: written by hand, and random ones of five and six tokens."""
    rng = np.random.default_rng(seed)
    found = {name: (np.asarray(target), np.asarray(draft)) for name, (target, draft) in HAND.items()}
    for family in ("dirichlet", "peaked", "close"):
        for size in (5, 6):
            found[f"{family} V={size} seed={seed}"] = random_pair(family, size, rng)
    return found


def drafter(scheme: DraftScheme, draft: np.ndarray) -> np.ndarray | None:
    """Draft argument of a scheme, made from one law: different drafters get rolled copies of it."""
    if isinstance(scheme, Joint):
        return None
    if scheme.draft_axes:
        return np.stack([np.roll(draft, place) for place in range(scheme.num_drafts)])
    return draft
