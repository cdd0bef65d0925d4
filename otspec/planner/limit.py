"""A limit for independent paths: what no rule that keeps the target's law can exceed on K of them.

Let a rule emit a text that begins with the prefix it keeps, and let K paths be independent draws from the draft model.
A prefix x of i tokens is kept only where it is drafted and where the text begins with it, so its chance is at most
``min(target(x), 1 - (1 - draft(x))^K)``. Summed over prefixes and lengths, with ``x ~ target``,

    tokens per call <= 1 + sum over i <= L of E min(1, (1 - (1 - draft(x^i))^K) / target(x^i)).

With one path it is the full-information optimum of one block. It holds for one call, whatever later calls pay. [block]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from otspec.decode.drafters.paths import Paths
from otspec.planner.rounds import ENTRIES, chances, places_of
from otspec.recording.along import laws_along


def shares_of_prefixes(pair: Any, prompts: Sequence[Sequence[int]], length: int, warp: dict[str, Any], *,
                       seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms ``[contexts L]`` of both models' chances of the prefixes of one text of the target per context."""
    swapped = replace(pair, target=pair.draft, draft=pair.target)  # the text is drawn from what was the target
    path = Paths(1, length)
    drawn = chances([("text", *place) for place in places_of(path)], seed, len(prompts))
    size = max(1, ENTRIES // ((2 * length + 1) * pair.vocab_size))
    found: list[tuple[np.ndarray, np.ndarray]] = []
    longest = max(map(len, prompts))
    for start in range(0, len(prompts), size):
        part = prompts[start : start + size]
        rows = laws_along(swapped, part, path, warp, drawn[start : start + len(part)], longest + length)
        draft, target, tokens = (array[:, 0].cpu().numpy() for array in rows)
        found.append((_logs(target[:, :length], tokens), _logs(draft[:, :length], tokens)))
    return tuple(np.concatenate(parts) for parts in zip(*found, strict=True))  # type: ignore[return-value]


def _logs(rows: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    mass = np.take_along_axis(rows, tokens[..., None], axis=-1)[..., 0]
    with np.errstate(divide="ignore"):
        return np.cumsum(np.log(mass), axis=-1)


def path_limits(target: np.ndarray, draft: np.ndarray, paths: int) -> np.ndarray:
    """Limit ``[contexts L]`` on tokens per call of K paths of 1 .. L tokens.

    Parameters
    ----------
    target, draft : [contexts L]
        Logarithms as `shares_of_prefixes` gives them.
    paths : int

    Examples
    --------
    >>> path_limits(np.log([[0.5, 0.25]]), np.log([[0.5, 0.25]]), 1).tolist()  # a draft model that is the target
    [[2.0, 3.0]]
    """
    with np.errstate(divide="ignore"):
        drafted = np.log(-np.expm1(paths * np.log1p(-np.exp(np.minimum(draft, -1e-300)))))
    return 1.0 + np.cumsum(np.exp(np.minimum(0.0, drafted - target)), axis=-1)
