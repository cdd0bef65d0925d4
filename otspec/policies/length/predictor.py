"""A predictor of acceptance from what the drafter sees, fitted as in SpecDec++ but without a network. [specdec++].

Labels are the chances ``a = min(1, target/draft)`` of recorded tokens, and the loss is the weighted cross entropy

    - sum a log f(x) + weight (1 - a) log (1 - f(x)),

whose weight on refusals makes the predictor cautious: at its minimum ``f / (1 - f) = a / (weight (1 - a))``. The model
is logistic in the logarithm of the token's confidence, the largest mass and the entropy of its row; Newton's method
finds the minimum, which a small ridge keeps finite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from otspec.core.errors import NotCertified
from otspec.policies.length.base import check_cost
from otspec.policies.length.blocks import Blocks, Seen

RIDGE = 1e-6  # per token: only what data leave undecided is decided by it
LEAST = 1e-12  # smallest confidence whose logarithm is taken
STEPS = 100


@dataclass(frozen=True)
class AcceptancePredictor:
    """Logistic predictor of ``Pr[token accepted]``.

    Attributes
    ----------
    coefficients : tuple of float
        Of 1, log confidence, largest mass and entropy.
    weight : float
        Of refusals in the loss it was fitted by.
    """

    coefficients: tuple[float, float, float, float]
    weight: float = 1.0

    @classmethod
    def fit(cls, blocks: Blocks, *, weight: float = 1.0) -> AcceptancePredictor:
        """Fit on every token of recorded blocks.

        Raises
        ------
        BadArgument
            A weight that is not positive.
        NotCertified
            Newton's method did not come to rest.
        """
        weight = check_cost("weight", weight)
        inputs = _inputs(blocks.confidence, blocks.top, blocks.entropy).reshape(-1, 4)
        labels = blocks.chances.ravel()
        shares = np.ones(len(blocks)) / len(blocks) if blocks.weights is None else blocks.weights
        mass = np.repeat(shares / blocks.length, blocks.length)
        scale = np.maximum(np.abs(inputs).max(axis=0), 1e-300)
        return cls(tuple((_newton(inputs / scale, labels, mass, weight) / scale).tolist()), weight)

    def __call__(self, seen: Seen | Blocks) -> np.ndarray:
        """Predicted chances ``[n drafted]`` of the tokens drafted so far."""
        count = seen.confidence.shape[1]
        logits = _inputs(seen.confidence, seen.top[:, :count], seen.entropy[:, :count]) @ np.array(self.coefficients)
        return 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))


def _inputs(confidence: np.ndarray, top: np.ndarray, entropy: np.ndarray) -> np.ndarray:
    return np.stack([np.ones_like(confidence), np.log(np.maximum(confidence, LEAST)), top, entropy], axis=-1)


def _newton(inputs: np.ndarray, labels: np.ndarray, mass: np.ndarray, weight: float) -> np.ndarray:
    """Minimum of the weighted cross entropy plus ridge; the loss is convex, and steps are halved until it falls."""
    good, bad = mass * labels, mass * weight * (1.0 - labels)

    def loss(at: np.ndarray) -> float:
        logits = inputs @ at
        return float(good @ np.logaddexp(0, -logits) + bad @ np.logaddexp(0, logits) + 0.5 * RIDGE * at @ at)

    beta = np.zeros(inputs.shape[1])
    value = loss(beta)
    for _ in range(STEPS):
        chance = 1.0 / (1.0 + np.exp(-(inputs @ beta)))
        slope = inputs.T @ ((good + bad) * chance - good) + RIDGE * beta
        curve = (inputs * ((good + bad) * chance * (1 - chance))[:, None]).T @ inputs + RIDGE * np.eye(len(beta))
        step = np.linalg.solve(curve, slope)
        if np.abs(slope).max() < 1e-10:
            return beta
        size = 1.0
        while loss(beta - size * step) > value and size > 1e-10:
            size /= 2
        beta, value = beta - size * step, min(value, loss(beta - size * step))
    residual = float(np.abs(slope).max())
    if residual > 1e-6:
        raise NotCertified(f"the acceptance predictor came to rest with slope {residual:.1e}. Fix: more or other "
                           f"calibration contexts.", residual)
    return beta
