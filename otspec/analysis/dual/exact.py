"""The dual bound of K independent paths on Markov models, by enumeration of all prefixes.

`dual_value` is the theorem's right-hand side for any given function, `fixed_point` the function that the curve of
`otspec.analysis.dual.curve` gives. Prefixes of depth d are numbered by their tokens in base V, depth after depth.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from otspec.analysis.dual.curve import fitted, walk
from otspec.core.checks import check_positive
from otspec.core.errors import TooLarge
from otspec.core.markov import MarkovModel, check_models

MAX_PATHS = 2**18


class Laws(NamedTuple):
    """Laws of the next token after every prefix, target and draft: for depth d = 0 .. L-1 ``[V**d V]``."""

    target: list[np.ndarray]
    draft: list[np.ndarray]

    @property
    def path_mass(self) -> np.ndarray:
        """Probability of every path of L tokens under the draft model, ``[V**L]``."""
        mass = np.ones(1)
        for step in self.draft:
            mass = (mass[:, None] * step).ravel()
        return mass


def laws_after(target: MarkovModel, draft: MarkovModel, context: Any, length: int) -> Laws:
    """Laws of both models after every prefix of fewer than ``length`` tokens.

    Raises
    ------
    TooLarge
    """
    check_models(target, draft)
    size, length = target.vocabulary, check_positive("draft_length", length)
    if float(size) ** length > MAX_PATHS:
        raise TooLarge(f"{float(size) ** length:.3g} paths of {length} tokens, more than {MAX_PATHS}. Fix: a smaller "
                       f"draft_length or vocabulary.", float(size) ** length)
    texts = np.asarray(context)[None, :]
    found: Laws = Laws([], [])
    for _ in range(length):
        found.target.append(target.next_law(texts))
        found.draft.append(draft.next_law(texts))
        texts = np.concatenate([np.repeat(texts, size, axis=0), np.tile(np.arange(size), len(texts))[:, None]], axis=1)
    return found


def dual_value(laws: Laws, dual: np.ndarray, num_paths: int, *, kind: str = "stateless") -> float:
    """Tokens per call that no rule for K independent paths exceeds, as a given function proves it.

    Parameters
    ----------
    laws : Laws
    dual : [N]
        ``pi >= 0`` (stateless) or ``0 <= kappa <= 1`` (one-call) of all prefixes of 1 .. L tokens.
    num_paths : int
    kind : {"stateless", "one_call"}

    Examples
    --------
    >>> half = MarkovModel.memoryless([0.5, 0.5])
    >>> dual_value(laws_after(half, half, [0], 1), np.ones(2), 1)
    2.0
    """
    size, length = laws.target[0].shape[-1], len(laws.target)
    ends = np.cumsum([size**depth for depth in range(1, length + 1)])
    levels = np.split(np.asarray(dual, dtype=np.float64), ends[:-1])
    score, best, mass, paid = np.zeros(1), np.zeros(1), np.ones(1), 0.0
    for depth, (level, step) in enumerate(zip(levels, laws.target, strict=True), 1):
        mass = (mass[:, None] * step).ravel()
        if kind == "stateless":
            paid += float(mass @ level) if depth == 1 else 0.0
            deeper = (laws.target[depth] * levels[depth].reshape(-1, size)).sum(axis=1) if depth < length else 0.0
            gain = 1.0 + deeper - level
        else:
            paid += float(mass @ level)
            gain = 1.0 - level
        score = np.repeat(score, size) + gain
        best = np.maximum(np.repeat(best, size), score)
    order = np.argsort(best)
    below = np.minimum(np.cumsum(laws.path_mass[order]), 1.0)
    return 1.0 + paid + float(best[order] @ np.diff(np.concatenate([[0.0], below**num_paths])))


def fixed_point(laws: Laws, num_paths: int, *, kind: str = "stateless") -> np.ndarray:
    """Dual function ``[N]`` of the curve that its own scores give back, for all prefixes."""
    size, length, stateless = laws.target[0].shape[-1], len(laws.target), kind == "stateless"
    ratios = np.empty((size**length, length))
    for depth, (target, draft) in enumerate(zip(*laws, strict=True)):
        ratio = np.divide(target, draft, out=np.where(target > 0, np.inf, 0.0), where=draft > 0).ravel()
        ratios[:, depth] = np.repeat(ratio, size ** (length - 1 - depth))
    mass = laws.path_mass
    drawn = mass > 0
    curve = fitted(ratios[drawn], num_paths, stateless=stateless, weights=mass[drawn])
    with np.errstate(invalid="ignore"):  # no mass times no bound, below a prefix that is never drafted
        limited = walk(ratios, curve, stateless=stateless).limited
    levels = [limited[:: size ** (length - depth), depth - 1] for depth in range(1, length + 1)]
    worth = [np.ones(0)] * length
    for depth in range(length, 0, -1):
        worth[depth - 1] = np.ones(size**depth)
        if stateless and depth < length:
            below = levels[depth] * worth[depth]
            worth[depth - 1] += (laws.target[depth] * below.reshape(-1, size)).sum(axis=1)
    return np.concatenate([np.where(level, value, 0.0) for level, value in zip(levels, worth, strict=True)])
