"""The clairvoyant length: draft exactly the tokens that will be kept. No drafter can do it; regret is measured to it.

It knows the outcome of every coin, so it drafts A tokens where A would be kept of a block of ``max_length``, and pays
for nothing that is refused. If a draft step costs less than a target call, no policy has a lower cost per token: one
that keeps A' tokens on average drafts at least A', keeps no more than A, and ``(verify + draft A) / (1 + A)`` falls
in A.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.policies.length.base import LengthPolicy, check_cost, check_sample
from otspec.policies.length.blocks import Blocks, Seen


@dataclass(frozen=True)
class Clairvoyant(LengthPolicy):
    """As many tokens as will be kept, up to ``max_length``.

    Examples
    --------
    >>> Clairvoyant(4).needs_target
    True
    """

    needs_target = True

    max_length: int = 8

    def __post_init__(self) -> None:
        """Check the length."""
        check_positive("max_length", self.max_length)

    def stops(self, seen: Seen) -> np.ndarray:
        """Not decided by anything that can be seen."""
        raise BadArgument("policy: the clairvoyant length is no policy of a drafter. Fix: predict(blocks, ...) only.")

    def usage(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """As many drafts as tokens kept."""
        self._check_blocks(blocks)
        kept = blocks.passed[:, : self.max_length].sum(axis=1)
        return 1.0 + kept, kept, kept


def regret(policy: LengthPolicy, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0,
           max_length: int | None = None) -> Estimate:
    """Share by which a policy's cost per token exceeds that of the clairvoyant length on the same blocks.

    Parameters
    ----------
    policy : LengthPolicy
    blocks : Blocks
    draft_cost, verify_cost : float
    max_length : int, optional
        Of the clairvoyant; default that of the policy.

    Returns
    -------
    Estimate
        ``cost / clairvoyant cost - 1``, its standard error from the paired blocks by the delta method.

    Raises
    ------
    BadArgument
    """
    draft_cost, verify_cost = check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
    check_sample(blocks)
    yardstick = Clairvoyant(max_length or max(1, policy.max_length))
    parts = [one.usage(blocks) for one in (policy, yardstick)]
    tokens, costs = [part[0] for part in parts], [verify_cost + draft_cost * part[2] for part in parts]
    weights = np.full(len(blocks), 1.0 / len(blocks)) if blocks.weights is None else blocks.weights
    means = [float(weights @ values) for values in (costs[0], tokens[0], costs[1], tokens[1])]
    ratio = means[0] / means[1] / (means[2] / means[3])
    if blocks.weights is not None:
        return Estimate(ratio - 1.0)
    # d log ratio: every mean contributes its relative deviation
    spread = costs[0] / means[0] - tokens[0] / means[1] - costs[1] / means[2] + tokens[1] / means[3]
    return Estimate(ratio - 1.0, ratio * float(spread.std(ddof=1)) / len(blocks) ** 0.5, len(blocks), len(blocks) - 1)
