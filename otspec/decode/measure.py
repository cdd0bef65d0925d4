"""What a decoding run measured, beside what the laws of the same run predict.

Let ``A_r`` be the number of drafts kept in round ``r`` and ``E_r`` its expectation given everything that was known
before the coins it averages over. ``sum (A_r - E_r)`` is a martingale: its mean is zero at the end of a run, whenever
the run ends, for every lossless or lossy rule that does what it claims. Since both sums walk along the same texts,
their difference is far less noisy than either, and a rule that is implemented differently from its law shows.

``E_r`` by method: token rules add, over the depths that were reached, the exact acceptance of the rule with as many
drafts as there were survivors (where no formula exists, the mass that the rule's law gives to the drafts at hand);
block rules give the expected number of kept tokens of the block; tree rules an estimate with coins of its own, of the
same mean; couplings add their agreement at the rows reached.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.core.errors import BadArgument
from otspec.core.estimate import Estimate
from otspec.core.laws import one_hot
from otspec.core.schemes import WithReplacement
from otspec.core.table import Table
from otspec.decode.drafting import BlockPath, Coupled, Depth, Method, Outcome, TokenPaths
from otspec.decode.whole_paths import GreedyPath, TreePaths


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
        """Tokens per target call, with its standard error over sequences (at least two).

        The last round of a sequence counts in full, also where ``max_new_tokens`` cut its text.
        """
        return Estimate.from_ratio(self._kept() + self.rounds, self.rounds)

    @property
    def predicted_efficiency(self) -> Estimate:
        """Tokens per target call as the laws of the run predict them."""
        return Estimate.from_ratio(self._expected() + self.rounds, self.rounds)

    @property
    def difference(self) -> Estimate:
        """Measured minus predicted tokens per target call, with the standard error of the paired difference."""
        return Estimate.from_ratio(self._kept() - self._expected(), self.rounds)

    @property
    def z_score(self) -> float:
        """`difference` as a normal score; 0 where both agree to rounding, as greedy decoding does.

        The quotient by the standard error has Student's t law, with one degree of freedom less than sequences. The
        score is the normal one of the same tail probability, so ``|z| > 3`` is as rare with 6 sequences as with 600.
        """
        gap = self.difference
        if abs(gap.mean) <= 1e-9:  # sums of float64 acceptances, each good to 64 eps V
            return 0.0
        return gap.score()

    def to_table(self) -> Table:
        """One row per sequence: target calls, drafts kept and predicted, tokens per call."""
        kept, rounds = self._kept(), self.rounds
        expected = [None] * len(rounds) if self.predicted is None else self._expected().tolist()
        rows = [{"sequence": i, "tokens": len(self.tokens[i]), "target_calls": int(rounds[i]), "accepted": int(kept[i]),
                 "predicted": expected[i], "tokens_per_call": float(1 + kept[i] / rounds[i])}
                for i in range(len(rounds))]
        return Table(rows, {**self.settings, "seconds": round(self.seconds, 3)})

    def _kept(self) -> np.ndarray:
        return np.where(self.active, self.accepted, 0).sum(axis=0)

    def _expected(self) -> np.ndarray:
        if self.predicted is None:
            raise BadArgument("predicted: this run was not asked to predict. Fix: generate(..., predict=True).")
        return self.predicted.sum(axis=0)

    def __repr__(self) -> str:
        """Size and tokens per call."""
        calls = int(self.rounds.sum())
        return (f"DecodeRun({len(self.tokens)} sequences, {calls} target calls, "
                f"{1 + self._kept().sum() / calls:.3f} tokens per call)")


class Ledger:
    """What one batch has produced so far, on the host.

    Parameters
    ----------
    count, length : int
        Number of sequences, and tokens that each is to get.
    stop_token : int or None
        A text ends after this token.
    bar : object
        Progress bar, told the number of new tokens.
    """

    def __init__(self, count: int, length: int, stop_token: int | None, bar: Any) -> None:
        self._length, self._stop, self._bar = length, stop_token, bar
        self._going = np.ones(count, dtype=bool)
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.accepted: list[np.ndarray] = []
        self.predicted: list[np.ndarray] = []

    @property
    def unfinished(self) -> bool:
        """Whether a sequence still needs tokens."""
        return bool(self._going.any())

    def add(self, numbers: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
        """Book one round: accepted count, last token and drafts ``[B 2+L]``; return who goes on ``[B]``."""
        self.accepted.append(np.where(self._going, numbers[:, 0], -1))
        if expected is not None:
            self.predicted.append(np.where(self._going, expected, 0.0))
        for row in np.flatnonzero(self._going):
            kept, last = numbers[row, 0], numbers[row, 1]
            text = self.tokens[row]
            before = len(text)
            text.extend([*numbers[row, 2 : 2 + kept].tolist(), int(last)])
            del text[self._length :]
            if self._stop in text[before:]:
                del text[text.index(self._stop, before) + 1 :]
                self._going[row] = False
            self._going[row] &= len(text) < self._length
            self._bar.update(len(text) - before if self._going[row] else self._length - before)
        return self._going.copy()

    @staticmethod
    def joined(parts: Sequence[Ledger], predict: bool, settings: dict[str, Any], seconds: float) -> DecodeRun:
        """Lay batches side by side; those that needed fewer rounds are filled up as ended."""
        rounds = max(len(part.accepted) for part in parts)
        fill = [rounds - len(part.accepted) for part in parts]
        accepted = np.concatenate([np.pad(np.array(part.accepted), ((0, extra), (0, 0)), constant_values=-1)
                                   for part, extra in zip(parts, fill, strict=True)], axis=1)
        predicted = np.concatenate([np.pad(np.array(part.predicted), ((0, extra), (0, 0)))
                                    for part, extra in zip(parts, fill, strict=True)], axis=1) if predict else None
        return DecodeRun([text for part in parts for text in part.tokens], accepted, predicted, settings, seconds)


def progress_bar(total: int, unit: str, shown: bool, done: int = 0) -> Any:
    """Context manager with ``update(n)``; silent unless ``shown``, and where nobody watches a terminal."""
    from tqdm import tqdm

    return tqdm(total=total, unit=unit, disable=None if shown else True, initial=done)


def expected_kept(how: Method, target_rows: Any, draft_rows: Any, tokens: Any, outcome: Outcome,
                  uniforms: Any = None) -> np.ndarray:
    """Expected number of drafts kept, ``[B]`` float64; see the module for what it is conditioned on.

    Computed in NumPy, but for tree rules, which are asked where the laws lie: on a GPU the laws of the round are copied
    to the host, which waits for them. Decode with ``predict=False`` where speed is measured.
    """
    if isinstance(how, TreePaths):
        return _host(how.expected(target_rows, draft_rows, tokens, uniforms))
    if isinstance(how, GreedyPath):
        return how.expected(*map(_host, (target_rows, draft_rows, tokens)), outcome.trail)
    if isinstance(how, BlockPath):
        return _host(how.rule.expected_accepted(*map(_host, (target_rows[:, 0], draft_rows[:, 0], tokens[:, 0]))))
    expected = np.zeros(len(target_rows))
    for depth in outcome.trail:
        depth = Depth(*map(_host, depth))
        rows = np.flatnonzero(depth.reached)
        if rows.size == 0:
            break
        here = Depth(*(array[rows] for array in depth))
        if isinstance(how, Coupled):
            expected[rows] += _agreement(how.coupling, here)
        elif isinstance(how, TokenPaths):
            expected[rows] += _chance(how.rule, here)
    return expected


def _agreement(coupling: Any, depth: Depth) -> np.ndarray:
    agreement = coupling.agreement(depth.target, depth.draft)
    if agreement is None:
        raise BadArgument(f"verifier: {coupling!r} has no exact agreement to predict from. Fix: predict=False.")
    return np.asarray(agreement)


def _chance(rule: Any, depth: Depth) -> np.ndarray:
    """Probability that the emitted token is a draft, row by row; only draws with replacement lose copies."""
    if not isinstance(rule.scheme, WithReplacement):
        return _chance_of(rule, depth)
    present = (depth.drafts >= 0).sum(axis=1)
    chance = np.empty(len(present))
    for count in np.unique(present):
        rows = np.flatnonzero(present == count)
        part = Depth(*(array[rows] for array in depth))
        chance[rows] = _chance_of(bound_to(rule, int(count)), part._replace(drafts=part.drafts[:, :count]))
    return chance


def _chance_of(rule: Any, depth: Depth) -> np.ndarray:
    chance = rule.acceptance(depth.target, depth.draft)
    if chance is not None:
        return np.asarray(chance)
    law = rule.conditional(depth.target, depth.draft, depth.drafts)
    drafted = np.zeros(law.shape, dtype=bool)
    for column in depth.drafts.T:  # a token drafted twice counts once
        drafted |= one_hot(column, law.shape[-1], np.float64, np) > 0
    return np.where(drafted, law, 0).sum(axis=-1)


def bound_to(rule: Any, count: int) -> Any:
    """Return the same rule, with the same parameters, for ``count`` draws with replacement."""
    if rule.scheme == WithReplacement(count):
        return rule
    names = [name for name in inspect.signature(type(rule)).parameters if name != "scheme"]
    return type(rule)(WithReplacement(count), **{name: getattr(rule, name) for name in names})


def _host(array: Any) -> np.ndarray:
    return array.cpu().numpy() if hasattr(array, "cpu") else np.asarray(array)
