"""What a length policy is: a value that says, from what a drafter has seen, whether it stops.

After every drafted token, and before the first one, the policy is asked once more; the answer may depend on the tokens
drafted so far and on the draft rows read so far, never on a token that is drawn and then thrown away. That is what
keeps verification lossless: at every node the next token either is drawn from its draft row and kept, or is not drawn
at all, and both rules below then emit the target's law by induction over the nodes, a node where drafting stopped
being the end of the block.

* Token-wise verification, and any token rule walked down the chain: each emitted token has the target's law given what
  was emitted before it, whether or not another token was drafted.
* Block verification, and Traversal, which it is on a chain: a node left with weight ``w`` passes ``w`` on to the next
  coin, and only the last node of the block has no excess to compare with. [block] [traversal]
* So do the other rules for trees that are proved for one draw without replacement: on a chain they are one of the two.
* Not proved: greedy block verification, whose state counts on the length of the block beforehand, and look-ahead.

The trap is a drafter that draws a token, finds it unlikely and drops it: then the kept token follows the draft law
*restricted to likely tokens*, and a rule that is handed the whole draft law is biased. Either keep the token and stop
behind it, or look at the row instead of the token, as the policies of this package do; or hand the restricted law to
the rule.

Cost: a round costs ``verify_cost`` plus ``draft_cost`` for each call of the draft model. A policy that `looks_ahead`
reads the row of the next token before it decides, so that a stop costs one more call than there are tokens.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from otspec.core.checks import check_number
from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.table import Table
from otspec.policies.length.blocks import Blocks, Seen

P = TypeVar("P", bound="LengthPolicy")


def check_cost(name: str, value: Any) -> float:
    """Return a cost as a positive finite float.

    Raises
    ------
    BadArgument
    """
    wanted = "give the cost of one call in any unit, the same for all, such as 0.1, or 1e-6 for what is free"
    number = check_number(name, value, wanted)
    if not 0 < number < math.inf:  # NaN fails too
        raise BadArgument(f"{name}: {value!r} is not in (0, inf). Fix: {wanted}.")
    return number


def check_share(name: str, value: Any) -> float:
    """Return a threshold on a probability as a float in [0, 1].

    Raises
    ------
    BadArgument
    """
    number = check_number(name, value, "give a number in [0, 1]")
    if not 0 <= number <= 1:
        raise BadArgument(f"{name}: {value!r} is outside [0, 1]. Fix: give a probability.")
    return number


@dataclass(frozen=True)
class Prediction:
    """What a length policy makes of a set of blocks.

    Attributes
    ----------
    tokens_per_call : Estimate
        Tokens per target call.
    drafts_per_call : Estimate
        Calls of the draft model per target call.
    drafted_per_call : Estimate
        Tokens drafted per target call.
    cost_per_token : Estimate
        In the unit of the costs.
    speedup : Estimate
        Over sampling from the target alone, which costs ``verify_cost`` per token.
    formula : float or None
        Tokens per call as the policy's own formula has it, where it has one.
    """

    tokens_per_call: Estimate
    drafts_per_call: Estimate
    drafted_per_call: Estimate
    cost_per_token: Estimate
    speedup: Estimate
    formula: float | None = None

    @property
    def target_calls_per_token(self) -> float:
        """One over the tokens per call."""
        return 1.0 / self.tokens_per_call.mean

    @property
    def draft_calls_per_token(self) -> float:
        """Calls of the draft model per token of text."""
        return self.drafts_per_call.mean / self.tokens_per_call.mean

    def to_table(self) -> Table:
        """One row per quantity, with standard errors."""
        parts = {name: getattr(self, name) for name in ("tokens_per_call", "drafts_per_call", "drafted_per_call",
                                                        "cost_per_token", "speedup")}
        return Table([{"quantity": name, "mean": part.mean, "stderr": part.stderr} for name, part in parts.items()])


class LengthPolicy(ABC):
    """A way to decide how many tokens are drafted; a subclass is a frozen dataclass and writes `stops`.

    Attributes
    ----------
    max_length : int
        Most tokens of a block.
    looks_ahead : bool
        Whether it reads the row of the next token before it decides.
    needs_target : bool
        Whether it knows the target's laws, so that it is a yardstick and no drafter can use it.
    """

    looks_ahead: ClassVar[bool] = False
    needs_target: ClassVar[bool] = False
    max_length: int

    @abstractmethod
    def stops(self, seen: Seen) -> np.ndarray:
        """Whether each text stops where it is, ``[n]`` bool; not asked at ``max_length``."""

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> Self:
        """Return the policy with its parameters chosen on calibration blocks; one without parameters as it is."""
        return self

    def lengths(self, blocks: Blocks) -> np.ndarray:
        """Tokens that it drafts of each block, ``[n]`` int64.

        Raises
        ------
        BadArgument
            The blocks are shorter than ``max_length``.
        """
        self._check_blocks(blocks)
        going, length = np.ones(len(blocks), dtype=bool), np.zeros(len(blocks), dtype=np.int64)
        for drafted in range(self.max_length):
            going = going & ~self.stops(blocks.seen(drafted, ahead=self.looks_ahead))
            length += going
        return length

    def usage(self, blocks: Blocks) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expected tokens emitted, tokens drafted and calls of the draft model, ``[n]`` each."""
        length = self.lengths(blocks)
        reached = np.arange(blocks.length) < length[:, None]
        looked = self.looks_ahead * (length < self.max_length)
        return 1.0 + np.where(reached, blocks.passed, 0.0).sum(axis=1), length.astype(float), length + looked

    def predict(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> Prediction:
        """Tokens per call and cost on recorded or enumerated blocks.

        Parameters
        ----------
        blocks : Blocks
            Of `otspec.drafted_blocks`; at least two where they are a sample.
        draft_cost, verify_cost : float
            Of one call of either model, in one unit.

        Raises
        ------
        BadArgument
            Costs that are not positive; too few blocks for a standard error; blocks that are too short.
        """
        draft_cost, verify_cost = check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
        check_sample(blocks)
        tokens, drafted, calls = self.usage(blocks)
        cost = verify_cost + draft_cost * calls
        return Prediction(blocks.mean(tokens), blocks.mean(calls), blocks.mean(drafted), blocks.ratio(cost, tokens),
                          blocks.ratio(verify_cost * tokens, cost), self.formula(blocks))

    def formula(self, blocks: Blocks) -> float | None:
        """Tokens per call by the policy's own formula, fed with what it measures on the blocks; None without one."""
        return None

    def _check_blocks(self, blocks: Blocks) -> None:
        check_blocks(blocks)
        if blocks.length < self.max_length:
            raise BadArgument(f"max_length: {self!r} drafts up to {self.max_length} tokens, the blocks have "
                              f"{blocks.length}. Fix: record with draft_length={self.max_length}, or a smaller "
                              f"max_length.")


def check_blocks(blocks: Any) -> None:
    """Refuse what is no set of blocks.

    Raises
    ------
    BadArgument
    """
    if not isinstance(blocks, Blocks):
        raise BadArgument(f"blocks: {type(blocks).__name__} is no set of blocks. "
                          f"Fix: otspec.drafted_blocks(trace, rule='block').")


def check_sample(blocks: Blocks) -> None:
    """Refuse a sample from which no standard error can be computed.

    Raises
    ------
    BadArgument
    """
    check_blocks(blocks)
    if blocks.weights is None and len(blocks) < 2:
        raise BadArgument(f"blocks: {len(blocks)} recorded, a standard error needs at least 2 contexts. "
                          f"Fix: record more prompts.")


def cheapest(candidates: Iterable[P], blocks: Blocks, draft_cost: float, verify_cost: float) -> P:
    """Return the candidate of least cost per token on calibration blocks; the first one of equals."""
    costs = check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
    check_sample(blocks)

    def price(policy: P) -> float:
        tokens, _, calls = policy.usage(blocks)
        weights = np.full(len(blocks), 1.0 / len(blocks)) if blocks.weights is None else blocks.weights
        return float(weights @ (costs[1] + costs[0] * calls)) / float(weights @ tokens)

    return min(candidates, key=price)
