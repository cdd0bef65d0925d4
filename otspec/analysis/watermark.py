"""Watermarks by shared noise: how sure a detector is, and how many drafts are kept. [watermark-tradeoff].

A text selected with the noise of a secret seed can be told from any other by whoever knows the seed. At each position
the detector reads the noise of the token that stands there, ``u = e^{-E}`` with its clock E, and scores
``s = -log(1 - u)``. A text written without the seed has independent standard exponential scores, whatever its tokens,
so that the sum of n scores has a Gamma law and the p-value is exact. A text selected by the exponential race has small
clocks and large scores:

    E s = sum_j p_j H(1 / p_j),      H(x) = psi(x + 1) + gamma, the harmonic number,

one for a law that is certain, and the more the less certain it is. With k sheets of clocks the smallest, times k, is a
standard exponential again: a list of k drafts is detected exactly as well as one.

*Keyed rejection* keeps as many drafts as speculative decoding, ``1 - TV``, and draws all its numbers from the seed:
the draft by a race under q on sheet 0, the coin c of its acceptance, and the token after a refusal by a race under
``r ~ (p - q)+`` on sheet 1. The detector cannot know what was kept, but it knows c, and coins of kept drafts are small:
below a threshold it reads sheet 0, else sheet 1. The text is a function of seed, target and draft law.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_number, check_positive, check_tokens
from otspec.core.coupling import exact_pair
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.laws import at, normalized_or, positive_part
from otspec.core.noise import Noise
from otspec.couplings.gumbel import fastest

Array = Any
KEPT, REFUSED = 0, 1  # sheets of keyed rejection
LARGEST = 2**31


class Detection(NamedTuple):
    """Sum of the scores of ``n`` tokens, and how often a text without the seed scores as much."""

    score: float
    n: int
    p_value: float


def detect_watermark(tokens: Array, noise: Noise, *, num_drafts: int = 1, threshold: float | None = None) -> Detection:
    """Whether a text was selected with a noise.

    Parameters
    ----------
    tokens : [n] int
    noise : Noise
        Of batch shape ``[n]``: the seed, and the absolute position of each token.
    num_drafts : int
        Sheets of clocks: 1 for ``"gumbel"``, those of ``"list_gumbel"``.
    threshold : float, optional
        In [0, 1]: the text may be one of keyed rejection; which sheet is read is decided by the coin.

    Returns
    -------
    Detection
        The p-value is exact for any text that was written without the seed.

    Raises
    ------
    BadArgument
        Positions that repeat: their scores are copies, and no p-value would hold.
    ShapeMismatch

    Examples
    --------
    >>> noise = Noise(7, np.arange(100))
    >>> text = ot.coupling("gumbel").select(np.full(50, 1 / 50), noise)
    >>> detect_watermark(text, noise).p_value < 1e-30, detect_watermark(text[::-1], noise).p_value > 0.01
    (True, True)
    """
    from scipy.special import gammaincc

    if not isinstance(noise, Noise):
        raise BadArgument(f"noise: {type(noise).__name__} is no Noise. Fix: Noise(seed, positions).")
    if threshold is not None and num_drafts != 1:
        raise BadArgument(f"num_drafts: {num_drafts} beside a threshold, whose coin chooses the one sheet read. "
                          f"Fix: leave one of them out.")
    tokens = check_tokens(np.asarray(tokens)[..., None], LARGEST, 1)[..., 0]
    if tokens.ndim != 1 or tokens.size == 0 or noise.batch != tokens.shape:
        raise ShapeMismatch(f"tokens: shape {tokens.shape} and noise of batch shape {noise.batch} are no text. "
                            f"Fix: tokens [n], n >= 1, and Noise(seed, positions) with n positions.")
    if tokens.min() < 0:
        raise BadArgument("tokens: -1 is no token of a text. Fix: leave it out, with its position.")
    if not noise.distinct:
        raise BadArgument("noise: a position occurs twice, and scores of equal noise are no evidence of their own. "
                          "Fix: detect texts one by one, each with its own positions and seed.")
    noise = noise.like(tokens)
    scores = _scores(tokens, noise, check_positive("num_drafts", num_drafts), threshold)
    total = float(scores.sum())
    return Detection(total, tokens.size, float(gammaincc(tokens.size, total)))


def _scores(tokens: np.ndarray, noise: Noise, sheets: int, threshold: float | None) -> np.ndarray:
    if threshold is None:
        uniforms = [noise.uniforms_at(tokens[:, None], stream=sheet)[:, 0] for sheet in range(sheets)]
        return -np.log1p(-np.max(uniforms, axis=0) ** sheets)
    below = noise.coins(1)[:, 0] < _checked(threshold)
    kept, refused = (noise.uniforms_at(tokens[:, None], stream=sheet)[:, 0] for sheet in (KEPT, REFUSED))
    return -np.log1p(-np.where(below, kept, refused))


def _checked(threshold: float) -> float:
    wanted = "give a number in [0, 1]"
    number = check_number("threshold", threshold, wanted)
    if not 0 <= number <= 1:
        raise BadArgument(f"threshold: {threshold} is outside [0, 1]. Fix: {wanted}.")
    return number


def keyed_rejection(target: Array, draft: Array, noise: Noise) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of speculative decoding with one draft, every number drawn from a noise.

    Parameters
    ----------
    target, draft : [*batch V]
    noise : Noise

    Returns
    -------
    token : [*batch] int64
        With law ``target``.
    kept : [*batch] bool
        Whether it is the draft; with probability ``1 - TV``.

    Raises
    ------
    NotALaw, ShapeMismatch

    Examples
    --------
    >>> token, kept = keyed_rejection(np.array([1.0, 0.0]), np.array([1.0, 0.0]), Noise(0, np.arange(3)))
    >>> token.tolist(), kept.tolist()
    ([0, 0, 0], [True, True, True])
    """
    target, draft = (np.asarray(law) for law in exact_pair(target, draft))
    drafted: np.ndarray = fastest(draft, noise, 1, first=KEPT)
    other = fastest(normalized_or(positive_part(target - draft), target), noise, 1, first=REFUSED)
    target, draft = (np.broadcast_to(law, (*drafted.shape[:-1], law.shape[-1])) for law in (target, draft))
    kept = noise.coins(1) * at(draft, drafted) < at(target, drafted)
    return np.where(kept, drafted, other)[..., 0], kept[..., 0]


def race_strength(law: Array) -> np.ndarray:
    """Expected score above that of a text without the seed, per token of an exponential race, ``[*batch]``.

    Examples
    --------
    >>> float(race_strength([1.0, 0.0])), round(float(race_strength([0.5, 0.5])), 12)
    (0.0, 0.5)
    """
    law = np.asarray(exact_pair(law, law)[0])
    return (law * _harmonic(law)).sum(axis=-1) - 1.0


def keyed_strength(target: Array, draft: Array, threshold: float) -> np.ndarray:
    """Expected score above that of a text without the seed, per token of keyed rejection, ``[*batch]``.

    Parameters
    ----------
    target, draft : [*batch V]
    threshold : float
        Coins below it make the detector read the sheet of the draft.

    Examples
    --------
    >>> law = [0.5, 0.5]
    >>> round(float(keyed_strength(law, law, 1.0)), 12), float(keyed_strength(law, law, 0.0))
    (0.5, 0.0)
    """
    target, draft = (np.asarray(law) for law in exact_pair(target, draft))
    level = _checked(threshold)
    accepted = np.minimum(1.0, target / np.where(draft > 0, draft, 1.0))
    rest = normalized_or(positive_part(target - draft), np.zeros_like(target))
    won = _harmonic(draft)
    # a clock that has not won: what is left of the mean of an exponential's score, which is one
    lost = (1.0 - draft * won) / np.where(draft < 1, 1.0 - draft, 1.0)
    read_kept = (draft * np.minimum(level, accepted) * (won - 1)).sum(axis=-1)
    missed = (draft * np.maximum(level - accepted, 0.0)).sum(axis=-1) * (rest * (lost - 1)).sum(axis=-1)
    refused = (draft * (1.0 - np.maximum(level, accepted))).sum(axis=-1)
    return read_kept + missed + refused * (rest * (_harmonic(rest) - 1)).sum(axis=-1)


def _harmonic(law: np.ndarray) -> np.ndarray:
    """Harmonic numbers ``H(1 / p)``; one where p is zero, which no token has."""
    from scipy.special import psi

    positive = law > 1e-300
    inverse = 1.0 / np.where(positive, law, 1.0)
    return np.where(positive, psi(inverse + 1.0) + np.euler_gamma, 1.0)
