"""How long a round takes: a step of the draft model, a call of the target model, and what surrounds them. [smartspec].

Each part is taken as linear in the tokens it handles, ``fixed + per_token * tokens + per_context * context``, where
``tokens`` counts all texts of the batch and ``context`` all tokens in their caches. A round in which text r drafts
``k_r`` tokens makes ``max k`` draft steps, step j for the texts with ``k_r >= j``, and one target call on
``sum (k_r + 1)`` tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import check_number
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.table import Table

PARTS = ("draft", "target", "round")


@dataclass(frozen=True)
class StepTime:
    """Seconds of one step: ``fixed + per_token * tokens + per_context * context``.

    Examples
    --------
    >>> StepTime(1.0, 0.5)(4)
    3.0
    """

    fixed: float
    per_token: float
    per_context: float = 0.0

    def __post_init__(self) -> None:
        """Check that no part is negative, and that a step takes time at all."""
        for name in ("fixed", "per_token", "per_context"):
            value = check_number(name, getattr(self, name), "give seconds")
            if not 0 <= value < float("inf"):
                raise BadArgument(f"{name}: {value!r} is not in [0, inf). Fix: give seconds of a step.")

    def __call__(self, tokens: Any, context: Any = 0) -> Any:
        """Seconds of a step on so many tokens."""
        return self.fixed + self.per_token * tokens + self.per_context * context

    @classmethod
    def fit(cls, tokens: Sequence[float], seconds: Sequence[float], context: Sequence[float] | None = None) -> StepTime:
        """Fit measured steps by least squares of the *relative* deviation, no part negative.

        Parameters
        ----------
        tokens, seconds : [n]
            At least two different numbers of tokens.
        context : [n], optional
            Tokens in the caches; without it they are not part of the model.

        Raises
        ------
        BadArgument, ShapeMismatch

        Examples
        --------
        >>> step = StepTime.fit([1, 2, 4], [3.0, 4.0, 6.0])
        >>> round(step.fixed, 6), round(step.per_token, 6)
        (2.0, 1.0)
        """
        from scipy.optimize import nnls

        sizes, measured = (np.asarray(part, dtype=np.float64) for part in (tokens, seconds))
        if sizes.shape != measured.shape or sizes.ndim != 1:
            raise ShapeMismatch(f"tokens {sizes.shape} and seconds {measured.shape} are not both [n]. Fix: one each "
                                f"per measured step.")
        if not np.isfinite(measured).all() or (measured <= 0).any():
            raise BadArgument(f"seconds: {measured.tolist()} are not all positive and finite. Fix: measure again.")
        if len(set(sizes.tolist())) < 2:
            raise BadArgument(f"tokens: {sorted(set(sizes.tolist()))}, a line needs two sizes. "
                              f"Fix: measure at several batch sizes, such as 1, 8 and 32.")
        columns = [np.ones_like(sizes), sizes] + ([] if context is None else [np.asarray(context, dtype=np.float64)])
        found, _ = nnls(np.stack(columns, axis=1) / measured[:, None], np.ones_like(measured))
        return cls(*map(float, found))


@dataclass(frozen=True)
class TimeModel:
    """Times of the parts of a round.

    Parameters
    ----------
    draft : StepTime
        One step of the draft model, one token per text that still drafts.
    target : StepTime
        One call of the target model.
    round : StepTime
        All else in a round, in the tokens that the target model scores; nothing by default.

    Examples
    --------
    >>> TimeModel(StepTime(1.0, 0.0), StepTime(10.0, 1.0)).seconds([2, 0])
    16.0
    """

    draft: StepTime
    target: StepTime
    round: StepTime = StepTime(0.0, 0.0)

    def __post_init__(self) -> None:
        """Check the parts."""
        for name in PARTS:
            if not isinstance(getattr(self, name), StepTime):
                raise BadArgument(f"{name}: {getattr(self, name)!r} is no StepTime. Fix: StepTime(fixed, per_token) "
                                  f"or TimeModel.fit(steps).")

    @classmethod
    def fit(cls, steps: Table, *, column: str = "seconds") -> TimeModel:
        """Fit a table of measured steps with columns ``part`` and ``tokens``, as `otspec.measure_steps` makes it.

        Where there is a column ``context``, the target's call depends on it, too. Of draft steps, one token each, the
        two could not be told apart.

        Parameters
        ----------
        steps : Table
        column : {"seconds", "least"}
            Medians, or the least times, which a busy machine disturbs less.

        Raises
        ------
        BadArgument
            A part of "draft" and "target" without rows, or measured at one size only.
        """
        found = {}
        for part in PARTS:
            rows = [row for row in steps.rows if row["part"] == part]
            if rows:
                context = [row["context"] for row in rows] if part == "target" and "context" in rows[0] else None
                found[part] = StepTime.fit([row["tokens"] for row in rows], [row[column] for row in rows], context)
        missing = sorted({"draft", "target"} - set(found))
        if missing:
            raise BadArgument(f"steps: no rows of {' and '.join(missing)}. Fix: otspec.measure_steps(pair, ...).")
        return cls(**found)

    def seconds(self, lengths: Sequence[int] | np.ndarray, context: float = 0) -> float:
        """Seconds of a round in which text r drafts ``lengths[r]`` tokens."""
        lengths = np.asarray(lengths)
        drafting = [int((lengths >= step).sum()) for step in range(1, int(lengths.max(initial=0)) + 1)]
        scored = int(lengths.sum()) + len(lengths)
        return float(sum(self.draft(texts, context) for texts in drafting) + self.target(scored, context)
                     + self.round(scored))


def check_times(times: Any) -> TimeModel:
    """Return a time model, or refuse what is none.

    Raises
    ------
    BadArgument
    """
    if not isinstance(times, TimeModel):
        raise BadArgument(f"times: {times!r} is no TimeModel. Fix: otspec.TimeModel.fit(otspec.measure_steps(pair, "
                          f"prompts)).")
    return times
