"""What decoding several tokens at once costs: a floor on the divergence, and the schedule with the lowest one.

Definitions. A *schedule* is an ordered partition ``S_1, .., S_T`` of the n positions of a text; a parallel decoder
draws the tokens of one step independently, each from a law that may depend on all steps before. The *total
correlation* of variables is ``C = sum_i H(y_i) - H(y)``, zero if and only if they are independent.

Theorem [parallelbench]. The law Q of a parallel decoder with the schedule ``S_1, .., S_T`` satisfies

    KL(P || Q) >= sum_t C(S_t | S_1, .., S_{t-1}),

with equality when each token of step t is drawn from its exact conditional law given the steps before. (By the chain
rule the divergence is a sum over steps of ``E KL(P(S_t | ..) || product of Q's laws)``, and of all products the one of
P's own marginals is nearest.) No training removes this floor; only more steps do.

With ``H(S)`` the entropy of the tokens in S, a step from the decoded set D to ``D + A`` costs
``sum_{i in A} [H(D + i) - H(D)] - [H(D + A) - H(D)]``, so the best of all schedules with T steps is a shortest path
over the 2**n sets: dynamic programming over the 3**n pairs D, A.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import as_law, check_no_grad, check_positive, number_array
from otspec.core.errors import BadArgument, NotALaw, ShapeMismatch, TooLarge

Array = Any
MAX_POSITIONS = 12  # 3**12 steps of the dynamic programme per number of steps


@dataclass(frozen=True)
class ParallelBound:
    """Lowest divergence of parallel decoding with a number of steps.

    Attributes
    ----------
    divergence : float
        ``KL(law || decoder)`` in nats that no schedule of so many fixed steps goes below.
    schedule : list of tuple of int
        Positions of every step of a schedule that attains it.
    """

    divergence: float
    schedule: list[tuple[int, ...]]


class Text:
    """Law of a text by its outcomes, with the entropy of every set of positions.

    Parameters
    ----------
    outcomes : [outcomes n] int
        Different texts.
    law : [outcomes]
        Their probabilities.

    Raises
    ------
    NotALaw, ShapeMismatch

    Examples
    --------
    >>> float(Text(np.array([[0, 0], [1, 1]]), [0.5, 0.5]).total_correlation([0, 1]) / np.log(2))
    1.0
    """

    def __init__(self, outcomes: Array, law: Array) -> None:
        outcomes, law = np.asarray(outcomes), np.asarray(as_law("law", law), dtype=np.float64)
        if outcomes.ndim != 2 or outcomes.dtype.kind not in "iu" or outcomes.shape[1] < 1:
            raise ShapeMismatch(f"outcomes: {outcomes.dtype} of shape {outcomes.shape}. "
                                f"Fix: integers [outcomes n], one text a row.")
        if law.shape != outcomes.shape[:1]:
            raise ShapeMismatch(f"law: shape {law.shape} does not fit {len(outcomes)} outcomes. Fix: one mass per row.")
        if len(np.unique(outcomes, axis=0)) < len(outcomes):
            raise BadArgument("outcomes: a text stands there twice. Fix: add up the masses of equal texts.")
        self.outcomes, self.law = outcomes[law > 0], law[law > 0] / law.sum()
        self.length = outcomes.shape[1]
        self._entropies: dict[int, float] = {}

    @classmethod
    def dense(cls, law: Array) -> Text:
        """Text of a joint law ``[V] * n``, as `MarkovModel.text_law` gives it."""
        check_no_grad(law=law)
        law = np.asarray(law, dtype=np.float64) if isinstance(law, numbers.Real) else number_array("law", law)
        if law.ndim == 0:
            raise NotALaw("law: a number. Fix: pass the joint law of the tokens, [V] * n.")
        as_law("law", law.reshape(-1))
        law = law.astype(np.float64)
        kept = np.argwhere(law > 0)
        return cls(kept, law[tuple(kept.T)])

    def entropy(self, positions: int) -> float:
        """Entropy in nats of the tokens at the positions whose bits are set."""
        if positions not in self._entropies:
            columns = [i for i in range(self.length) if positions >> i & 1]
            _, group = np.unique(self.outcomes[:, columns], axis=0, return_inverse=True)
            mass = np.bincount(group.ravel(), self.law)
            self._entropies[positions] = float(-(mass * np.log(mass)).sum()) if columns else 0.0
        return self._entropies[positions]

    def total_correlation(self, positions: Sequence[int], given: Sequence[int] = ()) -> float:
        """``C(positions | given)`` in nats, the floor of decoding these positions in one step after the others."""
        return self.step(_bits(given), _bits(positions))

    def step(self, done: int, new: int) -> float:
        """Cost of decoding the positions ``new`` (bits) at once after ``done``."""
        before = self.entropy(done)
        alone = sum(self.entropy(done | 1 << i) - before for i in range(self.length) if new >> i & 1)
        # a divergence: what is below zero is rounding
        return max(0.0, alone - (self.entropy(done | new) - before))

    def divergence(self, schedule: Sequence[Sequence[int]]) -> float:
        """``KL(law || decoder)`` in nats of the best parallel decoder with this schedule.

        Raises
        ------
        BadArgument
            Steps that are no partition of the positions.
        """
        steps = [list(step) for step in schedule]
        if sorted(i for step in steps for i in step) != list(range(self.length)) or not all(steps):
            raise BadArgument(f"schedule: {steps} is no partition of the positions 0 .. {self.length - 1} into steps. "
                              f"Fix: every position in exactly one step.")
        total, done = 0.0, 0
        for step in steps:
            total, done = total + self.step(done, _bits(step)), done | _bits(step)
        return total

    def best_schedules(self) -> list[ParallelBound]:
        """Return the lowest divergence with 1, 2, .., n steps.

        Raises
        ------
        TooLarge
        """
        if self.length > MAX_POSITIONS:
            raise TooLarge(f"3**{self.length} steps between sets of positions, more than 3**{MAX_POSITIONS}. "
                           f"Fix: a shorter text, or `divergence` of a schedule of your own.", 3.0**self.length)
        whole = (1 << self.length) - 1
        cost = {(done, new): self.step(done, new) for done in range(whole) for new in _subsets(whole & ~done)}
        # lowest[d]: cheapest way to finish after d with the steps so far, and its first step
        lowest = {done: (cost[done, whole & ~done], [whole & ~done]) for done in range(whole)}
        found = [lowest[0]]
        for steps in range(2, self.length + 1):
            # every step takes at least one position, so as many as there are steps must be left
            lowest = {done: min(((cost[done, new] + lowest[done | new][0], [new, *lowest[done | new][1]])
                                 for new in _subsets(whole & ~done) if done | new in lowest), key=lambda way: way[0])
                      for done in lowest if (whole & ~done).bit_count() >= steps}
            found.append(lowest[0])
        return [ParallelBound(value, [tuple(i for i in range(self.length) if step >> i & 1) for step in steps])
                for value, steps in found]


def parallel_bound(law: Array, steps: int) -> ParallelBound:
    """Lowest divergence of a text that is decoded in parallel, over all schedules of so many steps. [parallelbench].

    Parameters
    ----------
    law : [V] * n
        Joint law of the n tokens.
    steps : int
        Between 1, all tokens at once, and n, one at a time, which costs nothing.

    Returns
    -------
    ParallelBound

    Raises
    ------
    NotALaw, BadArgument, TooLarge

    Examples
    --------
    >>> twins = [[0.5, 0.0], [0.0, 0.5]]
    >>> parallel_bound(twins, 1).divergence / np.log(2).item(), parallel_bound(twins, 2).divergence
    (1.0, 0.0)
    """
    text = Text.dense(law)
    if check_positive("steps", steps) > text.length:
        raise BadArgument(f"steps: {steps}, but the text has {text.length} tokens. Fix: at most one step per token.")
    return text.best_schedules()[steps - 1]


def _bits(positions: Sequence[int]) -> int:
    return sum(1 << int(i) for i in set(positions))


def _subsets(positions: int) -> list[int]:
    """Non-empty subsets of a set of bits."""
    found, part = [], positions
    while part:
        found.append(part)
        part = (part - 1) & positions
    return found
