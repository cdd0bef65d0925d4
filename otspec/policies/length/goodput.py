"""SmartSpec: the draft lengths of most goodput, tokens per second of a whole batch. [smartspec].

With ``g_rj`` the chance that text r keeps its j-th draft (``a_r^j`` if acceptances were independent), a round emits
``sum_r (1 + sum_(j <= k_r) g_rj)`` tokens in the time of `TimeModel.seconds`. Large batches make tokens of the target
call dear, and the best length falls to 0.

The optimum over all lengths ``k_r`` is exact here. At a goodput of ``y`` a draft is worth its chance and costs ``y``
times its tokens' seconds ``m``; opening depth j costs ``y`` times the fixed part of a draft step. Chances fall with
depth, so depth j is worth ``sum_r (g_rj - y m)+`` minus that fixed part, which falls too: take depths while they are
worth something. The best lengths for ``y`` then give a goodput of at least ``y``, and equal it at the optimum
(Dinkelbach's method).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.table import Table
from otspec.policies.length.base import LengthPolicy, check_share
from otspec.policies.length.blocks import Blocks, Seen
from otspec.policies.length.fixed import unfitted
from otspec.policies.length.times import TimeModel, check_times

ROUNDS = 100


def best_lengths(chances: Any, times: TimeModel, *, context: int = 0) -> tuple[np.ndarray, float]:
    """Draft lengths of most goodput for a batch, and that goodput.

    Parameters
    ----------
    chances : [B max_length]
        Chance that each text keeps its j-th draft; falls with j.
    times : TimeModel
    context : int
        Tokens in all caches.

    Returns
    -------
    lengths : [B] int64
        0 where drafting does not pay.
    goodput : float
        Tokens per second.

    Raises
    ------
    ShapeMismatch, BadArgument

    Examples
    --------
    >>> from otspec.policies.length.times import StepTime
    >>> times = TimeModel(StepTime(0.1, 0.0), StepTime(1.0, 0.0))
    >>> best_lengths([[0.9, 0.01]], times)[0]
    array([1])
    """
    check_times(times)
    gains = np.asarray(chances, dtype=np.float64)
    if gains.ndim != 2 or 0 in gains.shape:
        raise ShapeMismatch(f"chances: shape {gains.shape} is not [B max_length]. Fix: one row per text.")
    if not ((gains >= 0) & (gains <= 1)).all() or (np.diff(gains, axis=1) > 1e-12).any():
        raise BadArgument("chances: not all in [0, 1] and falling along each row. Fix: Pr[at least j drafts kept].")
    lengths = np.zeros(len(gains), dtype=np.int64)
    goodput = _goodput(gains, lengths, times, context)
    per_token = times.draft.per_token + times.target.per_token + times.round.per_token
    for _ in range(ROUNDS):
        worth = gains - goodput * per_token
        opening = goodput * times.draft(0, context)
        open_depths = np.maximum(worth, 0).sum(axis=0) > opening
        depth = len(open_depths) if open_depths.all() else int(np.argmin(open_depths))
        lengths = (worth[:, :depth] > 0).sum(axis=1)
        better = _goodput(gains, lengths, times, context)
        if better <= goodput * (1 + 1e-14):
            break
        goodput = better
    return lengths, max(goodput, better)


def _goodput(gains: np.ndarray, lengths: np.ndarray, times: TimeModel, context: int) -> float:
    kept = np.where(np.arange(gains.shape[1]) < lengths[:, None], gains, 0.0).sum()
    return float((len(gains) + kept) / times.seconds(lengths, context))


@dataclass(frozen=True)
class Goodput(LengthPolicy):
    """The length of most goodput for ``batch_size`` texts alike.

    Parameters
    ----------
    times : TimeModel, optional
        Fitted to the machine; None cannot decide.
    batch_size : int
    acceptance : float or tuple of float, optional
        Acceptance rate of one draft, or the chances that 1, 2, .. drafts are kept; `fitted` measures the latter.
    max_length : int
    context : int
        Tokens in the cache of each text.

    Examples
    --------
    >>> from otspec.policies.length.times import StepTime
    >>> times = TimeModel(StepTime(0.1, 0.01), StepTime(1.0, 0.1))
    >>> [Goodput(times, batch, 0.7).length for batch in (1, 8, 64)]
    [3, 1, 0]
    """

    times: TimeModel | None = None
    batch_size: int = 1
    acceptance: float | tuple[float, ...] | None = None
    max_length: int = 8
    context: int = 0

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.times is not None:
            check_times(self.times)
        check_positive("batch_size", self.batch_size)
        check_positive("max_length", self.max_length)
        if isinstance(self.acceptance, tuple):
            if len(self.acceptance) < self.max_length:
                raise BadArgument(f"acceptance: {len(self.acceptance)} chances for max_length={self.max_length}. "
                                  f"Fix: one for each position.")
        elif self.acceptance is not None:
            check_share("acceptance", self.acceptance)

    def fitted(self, blocks: Blocks, *, draft_cost: float, verify_cost: float = 1.0) -> Goodput:
        """Measure the acceptance on the blocks; the costs are those of the time model."""
        self._check_blocks(blocks)
        profile = np.minimum.accumulate(np.clip(blocks.profile[: self.max_length], 0, 1))
        return replace(self, acceptance=tuple(profile.tolist()))

    def chances(self, acceptances: Sequence[float] | np.ndarray) -> np.ndarray:
        """Chances ``[B max_length]`` of independent acceptances at the rates of B texts."""
        rates = np.array([check_share("acceptances", float(rate)) for rate in np.ravel(acceptances)])
        return rates[:, None] ** np.arange(1, self.max_length + 1)

    def lengths_for(self, acceptances: Sequence[float] | np.ndarray) -> np.ndarray:
        """Best length ``[B]`` of each text of a batch, given the acceptance rate of each (a moving average, say)."""
        if self.times is None:
            raise unfitted(self)
        chances = self.chances(acceptances)
        return best_lengths(chances, self.times, context=self.context * len(chances))[0]

    @cached_property
    def _best(self) -> tuple[int, float]:
        if self.times is None or self.acceptance is None:
            raise BadArgument(f"policy: {self!r} lacks {'times' if self.times is None else 'acceptance'}. Fix: "
                              f"times=otspec.TimeModel.fit(otspec.measure_steps(pair, prompts)), then "
                              f"fitted(calibration_blocks, draft_cost=...).")
        own = np.array([self.acceptance[: self.max_length]]) if isinstance(self.acceptance, tuple) else \
            self.chances([self.acceptance])
        lengths, goodput = best_lengths(np.repeat(own, self.batch_size, axis=0), self.times,
                                        context=self.context * self.batch_size)
        return int(lengths[0]), goodput

    @property
    def length(self) -> int:
        """The length of most goodput."""
        return self._best[0]

    @property
    def goodput(self) -> float:
        """Tokens per second of the batch at that length, as the model predicts."""
        return self._best[1]

    def stops(self, seen: Seen) -> np.ndarray:
        """At the length of most goodput."""
        return np.full(len(seen.confidence), seen.drafted >= self.length)


def phase_diagram(times: TimeModel, batch_sizes: Sequence[int], acceptances: Sequence[float], *,
                  max_length: int = 8, context: int = 0) -> Table:
    """Best length over batch size and acceptance rate, acceptances taken as independent.

    Parameters
    ----------
    times : TimeModel
    batch_sizes, acceptances : sequences
    max_length : int
    context : int
        Tokens in the cache of each text.

    Returns
    -------
    Table
        Columns ``batch_size, acceptance, length, goodput`` (tokens per second) and ``speedup`` over no drafting.
    """
    rows = []
    check_times(times)
    for batch in batch_sizes:
        plain = batch / times.seconds(np.zeros(check_positive("batch_sizes", batch), dtype=int), context * batch)
        for rate in acceptances:
            best = Goodput(times, batch, float(rate), max_length, context)
            rows.append({"batch_size": batch, "acceptance": float(rate), "length": best.length,
                         "goodput": best.goodput, "speedup": best.goodput / plain})
    return Table(rows)
