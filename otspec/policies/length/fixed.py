"""The same length in every round, with the formula that most engines choose it by. [leviathan2023].

If every draft were accepted independently with probability ``a``, a block of L would emit
``(1 - a^(L+1)) / (1 - a)`` tokens. Real acceptances are not independent: a context in which the first draft is kept is
one where the next is likelier to be kept, too. So the formula errs, and which way depends on the rate it is fed with:

* with the acceptance of first drafts, ``1 - TV`` on average, it is too low where good contexts follow each other;
* with the rate that an engine logs, drafts accepted over drafts tested, it is too high for long blocks, because good
  contexts are tested more often.

`formula_table` shows both beside the measured truth.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument
from otspec.core.table import Table
from otspec.policies.length.base import LengthPolicy, cheapest, check_cost, check_sample, check_share
from otspec.policies.length.blocks import Blocks, Seen


def geometric_tokens(acceptance: Any, length: Any) -> Any:
    """Tokens per call if drafts were accepted independently: ``(1 - a^(L+1)) / (1 - a)``, L + 1 at ``a = 1``.

    Parameters
    ----------
    acceptance : [*batch] in [0, 1]
    length : [*batch] int, at least 0

    Examples
    --------
    >>> float(geometric_tokens(0.5, 2)), float(geometric_tokens(1.0, 2))
    (1.75, 3.0)
    """
    acceptance, length = np.asarray(acceptance, dtype=np.float64), np.asarray(length)
    sure = acceptance >= 1
    below = np.where(sure, 0.5, acceptance)
    return np.where(sure, length + 1.0, (1 - below ** (length + 1)) / (1 - below))


def best_by_formula(acceptance: float, *, draft_cost: float, verify_cost: float = 1.0, max_length: int = 32) -> int:
    """Length of least cost per token by the formula; 0 where drafting does not pay.

    Examples
    --------
    >>> best_by_formula(0.8, draft_cost=0.1), best_by_formula(0.05, draft_cost=0.1)
    (6, 0)
    """
    acceptance = check_share("acceptance", acceptance)
    draft_cost, verify_cost = check_cost("draft_cost", draft_cost), check_cost("verify_cost", verify_cost)
    lengths = np.arange(check_positive("max_length", max_length) + 1)
    return int(np.argmin((verify_cost + draft_cost * lengths) / geometric_tokens(acceptance, lengths)))


def first_acceptance(blocks: Blocks) -> float:
    """Acceptance of the first draft, ``1 - TV`` on average: the rate that the formula is fed with."""
    return float(min(1.0, blocks.profile[0]))


def logged_acceptance(blocks: Blocks, length: int) -> float:
    """Drafts accepted over drafts tested one by one in blocks of a length: the rate that an engine's log gives."""
    profile = blocks.profile[:length]
    return float(min(1.0, profile.sum() / (1.0 + profile[:-1].sum())))


def formula_table(blocks: Blocks) -> Table:
    """Tokens per call at every length, measured and by the formula.

    Returns
    -------
    Table
        Columns ``length``, ``measured`` with ``stderr``, ``by_first`` (the formula fed with the acceptance of first
        drafts) and ``by_log`` (fed with accepted over tested).

    Raises
    ------
    BadArgument
        Fewer than two blocks of a sample.

    Examples
    --------
    >>> half = np.full((2, 2), 0.5)
    >>> formula_table(Blocks(half, half, half, half, half, half)).column("by_first")
    [1.5, 1.75]
    """
    check_sample(blocks)
    rows = []
    for length in range(1, blocks.length + 1):
        measured = blocks.mean(1.0 + blocks.passed[:, :length].sum(axis=1))
        rows.append({"length": length, "measured": measured.mean, "stderr": measured.stderr,
                     "by_first": float(geometric_tokens(first_acceptance(blocks), length)),
                     "by_log": float(geometric_tokens(logged_acceptance(blocks, length), length))})
    return Table(rows, {"rule": blocks.rule, "blocks": len(blocks)})


@dataclass(frozen=True)
class FixedLength(LengthPolicy):
    """``length`` tokens in every round, 0 for none.

    Examples
    --------
    >>> FixedLength(4).max_length
    4
    """

    length: int = 4

    def __post_init__(self) -> None:
        """Check the length."""
        object.__setattr__(self, "length", check_count("length", self.length))

    @property
    def max_length(self) -> int:  # type: ignore[override]
        """The length."""
        return self.length

    def stops(self, seen: Seen) -> np.ndarray:
        """At the length."""
        return np.full(len(seen.confidence), seen.drafted >= self.length)

    def formula(self, blocks: Blocks) -> float:
        """Leviathan's formula."""
        return float(geometric_tokens(first_acceptance(blocks), self.length))


@dataclass(frozen=True)
class BestLength(LengthPolicy):
    """The fixed length of least cost per token, up to ``max_length``; `fitted` finds it on calibration blocks.

    Examples
    --------
    >>> BestLength(max_length=8).length is None
    True
    """

    max_length: int = 8
    length: int | None = None

    def __post_init__(self) -> None:
        """Check the lengths."""
        check_positive("max_length", self.max_length)
        if self.length is not None and check_count("length", self.length) > self.max_length:
            raise BadArgument(f"length: {self.length} is larger than max_length={self.max_length}. Fix: raise it.")

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> BestLength:
        """Measure every length on the blocks, 0 included."""
        self._check_blocks(blocks)
        return cheapest([replace(self, length=length) for length in range(self.max_length + 1)], blocks, draft_cost,
                        verify_cost)

    def stops(self, seen: Seen) -> np.ndarray:
        """At the length found."""
        if self.length is None:
            raise unfitted(self)
        return np.full(len(seen.confidence), seen.drafted >= self.length)

    def formula(self, blocks: Blocks) -> float:
        """Leviathan's formula at the length found."""
        return float(geometric_tokens(first_acceptance(blocks), self.length))


def check_count(name: str, value: Any) -> int:
    """Return a whole number of at least 0.

    Raises
    ------
    BadArgument
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = -1
    if isinstance(value, bool) or number < 0:
        raise BadArgument(f"{name}: {value!r} is no whole number of at least 0. Fix: {name}=4.")
    return number


def unfitted(policy: LengthPolicy) -> BadArgument:
    """Error of a policy that was asked before it was fitted."""
    return BadArgument(f"policy: {policy!r} has not been fitted. Fix: policy.fitted(calibration_blocks, "
                       f"draft_cost=...), on contexts other than those it is judged on.")
