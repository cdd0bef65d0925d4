"""What a decoding run measured, beside what the laws of the same run predict.

Let ``A_r`` be the number of drafts kept in round ``r`` and ``E_r`` its expectation given everything that was known
before the coins it averages over. ``sum (A_r - E_r)`` is a martingale: its mean is zero at the end of a run, whenever
the run ends, for every lossless or lossy rule that does what it claims. Since both sums walk along the same texts,
their difference is far less noisy than either, and a rule that is implemented differently from its law shows.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate, ratio_of
from otspec.core.showing import card, figure_of, public_names
from otspec.core.table import Table


@dataclass(frozen=True)
class DecodeRun:
    """Texts of a decoding run and the number of drafts kept in every round.

    Attributes
    ----------
    tokens : list of list of int
        Generated tokens of every sequence, the prompt excluded.
    accepted : [rounds sequences] int
        Drafts kept per round; -1 after a sequence has ended.
    predicted : [rounds sequences] float or None
        Their expectation given the laws of the same round; 0 after the end. None if it was not asked for.
    settings : dict
        Arguments of the run.
    seconds : float
        Wall time, the predictions included.
    timing : dict
        The same by parts: draft, target, rule, prediction, and bookkeeping for all else.
    peak_bytes : int or None
        Most memory in use, see `otspec.decode.stopwatch.Stopwatch.peak_bytes`.

    Examples
    --------
    >>> run = DecodeRun([[5, 6], [7, 8]], np.array([[1, 1]]), np.array([[0.75, 0.75]]))
    >>> run.block_efficiency.mean, run.predicted_efficiency.mean
    (2.0, 1.75)
    """

    tokens: list[list[int]]
    accepted: np.ndarray
    predicted: np.ndarray | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    timing: dict[str, float] = field(default_factory=dict)
    peak_bytes: int | None = None
    __dir__ = public_names

    @property
    def active(self) -> np.ndarray:
        """Rounds in which a sequence had not ended yet, ``[rounds sequences]`` bool."""
        return self.accepted >= 0

    @property
    def rounds(self) -> np.ndarray:
        """Target calls per sequence, ``[sequences]``."""
        return self.active.sum(axis=0)

    @property
    def block_efficiency(self) -> Estimate:
        """Tokens per target call, with its standard error over sequences (of one: infinite, that is unknown).

        The last round of a sequence counts in full, also where ``max_new_tokens`` cut its text.
        """
        return ratio_of(self._kept() + self.rounds, self.rounds)

    @property
    def predicted_efficiency(self) -> Estimate:
        """Tokens per target call as the laws of the run predict them."""
        return ratio_of(self._expected() + self.rounds, self.rounds)

    @property
    def difference(self) -> Estimate:
        """Measured minus predicted tokens per target call, with the standard error of the paired difference."""
        return ratio_of(self._kept() - self._expected(), self.rounds)

    @property
    def z_score(self) -> float:
        """`difference` as a normal score; 0 where both agree to rounding, as greedy decoding does.

        The quotient by the standard error has Student's t law, with one degree of freedom less than sequences. The
        score is the normal one of the same tail probability, so ``|z| > 3`` is as rare with 6 sequences as with 600.
        NaN for a single sequence, whose standard error is unknown.
        """
        gap = self.difference
        if abs(gap.mean) <= 1e-9:  # sums of float64 acceptances, each good to 64 eps V
            return 0.0
        return gap.score() if math.isfinite(gap.stderr) else math.nan

    def to_table(self) -> Table:
        """One row per sequence: target calls, drafts kept and predicted, tokens per call."""
        kept, rounds = self._kept(), self.rounds
        expected = [None] * len(rounds) if self.predicted is None else self._expected().tolist()
        rows = [{"sequence": i, "tokens": len(self.tokens[i]), "target_calls": int(rounds[i]), "accepted": int(kept[i]),
                 "predicted": expected[i], "tokens_per_call": float(1 + kept[i] / rounds[i])}
                for i in range(len(rounds))]
        return Table(rows, {**self.settings, "seconds": round(self.seconds, 3)})

    def profile(self) -> Table:
        """Acceptance by depth, with standard errors over sequences (of one: None).

        Returns
        -------
        Table
            One row per ``position`` of a draft, from 1: ``conditional``, the share of the rounds that kept all drafts
            before it which kept this one too (None where there is no such round), and ``unconditional``, the share of
            all rounds; each with its ``_stderr``. ``rounds`` counts those of the condition,
            ``num_accepted_tokens_per_pos`` those that kept it, and ``exactly`` is the share that kept no more. The
            metadata hold what engines log, see `otspec.analysis.profile`.

        Examples
        --------
        >>> run = DecodeRun([[1]] * 2, np.array([[2, 0], [1, 1]]))
        >>> run.profile().column("conditional"), run.profile().column("unconditional")
        ([0.75, 0.3333333333333333], [0.75, 0.25])
        """
        from otspec.analysis.profile import profile_table

        deepest = int(self.settings.get("draft_length", self.accepted.max(initial=0)))
        reached = np.stack([(self.accepted >= depth).sum(axis=0) for depth in range(deepest + 1)], axis=1)
        return profile_table(reached, self.settings)

    def round_table(self) -> Table:
        """One row per round of a sequence, from 0: drafts kept, and predicted."""
        rows = [{"sequence": i, "round": r, "accepted": int(self.accepted[r, i]),
                 "predicted": None if self.predicted is None else float(self.predicted[r, i])}
                for i, count in enumerate(self.rounds) for r in range(count)]
        return Table(rows, self.settings)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the run as one safetensors file, whole or not at all."""
        from otspec.decode.run_files import write_run

        write_run(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> DecodeRun:
        """Read a file of `save`.

        Raises
        ------
        BadFile
            Missing, cut off, or no such file.
        """
        from otspec.decode.run_files import read_run

        return read_run(path)

    @classmethod
    def joined(cls, runs: Sequence[DecodeRun]) -> DecodeRun:
        """Return the sequences of several runs as one run; of their settings, those that all share; times add up.

        Examples
        --------
        >>> parts = [DecodeRun([[5, 6]], np.array([[1]])), DecodeRun([[7]], np.array([[0]]))]
        >>> DecodeRun.joined(parts).tokens
        [[5, 6], [7]]
        """
        if not runs:
            raise BadArgument("runs: none were given. Fix: pass at least one run.")
        known = [run.predicted for run in runs if run.predicted is not None]
        predicted = _beside(known, 0.0) if len(known) == len(runs) else None
        first = runs[0].settings
        shared = {key: first[key] for key in first if all(run.settings.get(key) == first[key] for run in runs)}
        peaks = [run.peak_bytes for run in runs if run.peak_bytes is not None]
        return cls([text for run in runs for text in run.tokens], _beside([run.accepted for run in runs], -1),
                   predicted, shared, sum(run.seconds for run in runs),
                   {part: sum(run.timing.get(part, 0.0) for run in runs) for part in runs[0].timing},
                   max(peaks, default=None))

    def _kept(self) -> np.ndarray:
        return np.where(self.active, self.accepted, 0).sum(axis=0)

    def _expected(self) -> np.ndarray:
        if self.predicted is None:
            raise BadArgument("predicted: this run was not asked to predict. Fix: generate(..., predict=True).")
        return self.predicted.sum(axis=0)

    def __repr__(self) -> str:
        """Size and tokens per call."""
        calls = int(self.rounds.sum())
        rate = f", {1 + self._kept().sum() / calls:.3f} tokens per call" if calls else ""
        return f"DecodeRun({len(self.tokens)} sequences, {calls} target calls{rate})"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        facts: dict[str, Any] = {"sequences": len(self.tokens), "tokens": sum(map(len, self.tokens)),
                                 "target calls": int(self.rounds.sum())}
        if self.tokens:
            facts["tokens per call, cut rounds in full"] = str(self.block_efficiency)
            if self.predicted is not None:
                facts["predicted"] = str(self.predicted_efficiency)
            if self.predicted is not None and len(self.tokens) > 1:
                facts["difference in z"] = f"{self.z_score:+.2f}"
        facts |= {name: self.settings[name] for name in ("verifier", "drafter", "temperature") if name in self.settings}
        return card("DecodeRun", {**facts, "seconds": round(self.seconds, 2)})

    def plot(self, ax: Any = None) -> Any:
        """Draw the acceptance by depth, with tokens per call above; errors need two sequences.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "run", ax)


def _beside(arrays: Sequence[np.ndarray], fill: Any) -> np.ndarray:
    """Arrays ``[rounds sequences]`` of different length side by side."""
    most = max(map(len, arrays))
    return np.concatenate([np.pad(array, ((0, most - len(array)), (0, 0)), constant_values=fill) for array in arrays],
                          axis=1)
