"""Asking a subject for samples, and what is known of each case.

Answers are counted by question, so that a text is completed once for all calls that gave the same answer. Questions of
different cases stand side by side in a batch, in random order: a row that depends on its neighbours is caught.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from otspec.auditing.cases import Answer, BadAnswer, Case, Question, tally
from otspec.auditing.evidence import log_evidence, margin, mean_evidence
from otspec.auditing.subjects import RAISED, Subject, as_answer

SLICE = 256  # questions handed over together, where they are asked one by one
FEW, MOST = 16, 4096  # questions on each case between two looks at the clock, at first and at most


class Refused(Exception):
    """The subject gave no answer, or one that no rule can give.

    Attributes
    ----------
    case, number, question
        On what.
    why : str
    """

    def __init__(self, case: Case, number: int, question: Question, why: str) -> None:
        super().__init__(why)
        self.case, self.number, self.question, self.why = case, number, question, why


@dataclass
class Finding:
    """What is known of the outcomes of one case.

    Attributes
    ----------
    case : Case
    counts : [*cells]
        Outcomes seen, or their exact law.
    n : int or None
        Number of calls; None where the law is exact.
    kept : float
        Sum of drafted tokens kept, or its exact mean.
    unresolved : float
        Exact: mass of coins that no cell was found for.
    needed : int
        Calls that the stated power takes.
    resolved : float
        Distance that this power is stated for.
    calls : int
        Answers asked for.
    probes : int
        Exact: fresh coins that agreed with the cells found.
    known : tuple
        Number of calls of the last evidence, and that evidence.
    half : [*cells]
        Outcomes of about half of the calls.
    """

    case: Case
    counts: np.ndarray
    n: int | None = 0
    kept: float = 0.0
    unresolved: float = 0.0
    needed: int = 0
    resolved: float = 0.0
    calls: int = 0
    probes: int = 0
    known: tuple[int, float] = (0, 0.0)
    half: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.half = np.zeros(self.case.law.shape)

    @property
    def observed(self) -> np.ndarray:
        """Shares of the outcomes, ``[*cells]``."""
        return self.counts / max(float(self.counts.sum()), 1e-300)

    @property
    def tv(self) -> float:
        """Total variation of the outcomes to their law; of samples, the excess over what chance alone gives is real."""
        return float(np.abs(self.observed - self.case.law).sum() / 2)

    def interval(self, error: float) -> tuple[float, float]:
        """Bounds of the true distance, wrong with probability ``error``."""
        if self.n is None:
            return max(0.0, self.tv - float(self.unresolved)), min(1.0, self.tv + float(self.unresolved))
        cells = int(np.count_nonzero((self.case.law > 0) | (self.counts > 0)))
        return self._lower(error / 2), min(1.0, self.tv + margin(self.n, cells, error / 2))

    def _lower(self, error: float) -> float:
        """Distance that one half of the calls shows on the outcomes that the other half saw too often."""
        halves = [self.half, self.counts - self.half]
        if min(float(half.sum()) for half in halves) == 0:
            return 0.0
        best = 0.0
        for one, other in (halves, halves[::-1]):
            often = one / one.sum() > self.case.law
            seen = float(other[often].sum() / other.sum() - self.case.law[often].sum())
            best = max(best, seen - math.sqrt(math.log(2 / error) / (2 * float(other.sum()))))
        return best

    @property
    def log_evidence(self) -> float:
        """Logarithm of the evidence that the outcomes have another law; of an exact law none is needed."""
        if not self.n:
            return 0.0
        if self.known[0] != self.n:
            self.known = self.n, self._log_evidence()
        return self.known[1]

    def _log_evidence(self) -> float:
        return float(mean_evidence([log_evidence(counts, law) for counts, law in
                                    zip(self.case.read(self.counts), self.case.readings, strict=True)]))

    @property
    def mean_kept(self) -> float:
        """Drafted tokens kept, on average."""
        return self.kept / self.n if self.n else self.kept


def asked(subject: Subject, drawn: list[tuple[Case, int, Question]],
          rng: np.random.Generator) -> list[Answer]:
    """Answers of questions of one shape, one batch or one slice.

    Raises
    ------
    Refused
    """
    questions = [question for _, _, question in drawn]
    coins: Any = rng if subject.num_uniforms is None else rng.random((len(questions), subject.num_uniforms))
    try:
        answers = subject.answer(questions, coins)
    except RAISED as error:
        raise Refused(*_culprit(subject, drawn, rng), f"{type(error).__name__}: {error}") from error
    found = []
    for place, answer in enumerate(answers):
        try:
            found.append(as_answer(answer))
        except BadAnswer as bad:
            raise Refused(*drawn[place], str(bad)) from None
    return found


def _culprit(subject: Subject, drawn: list[tuple[Case, int, Question]],
             rng: np.random.Generator) -> tuple[Case, int, Question]:
    """The question that raises by itself; the first where all of them are answered alone."""
    for one in drawn[:SLICE]:
        coins: Any = rng if subject.num_uniforms is None else rng.random((1, subject.num_uniforms))
        try:
            subject.answer([one[2]], coins)
        except RAISED:
            return one
    return drawn[0]


def sample(subject: Subject, findings: Sequence[Finding], wanted: Sequence[int], rng: np.random.Generator,
           deadline: float, heard: Callable[[int], object] = lambda count: None) -> bool:
    """Ask until each case has been asked as often as wanted; False where the time is up before.

    ``heard`` is told how many answers have come, batch by batch.

    Raises
    ------
    Refused
    """
    share, start, asked_before = FEW, time.perf_counter(), 0
    while any((one.n or 0) < total for one, total in zip(findings, wanted, strict=True)):
        now = time.perf_counter()
        if now > deadline:
            return False
        # the clock decides only where the end is near, so that the same seed gives the same answers
        if asked_before and (now - start) / asked_before * share * len(findings) > 2 * (deadline - now):
            share = FEW
        drawn: list[tuple[int, int, Question]] = []
        for place, (finding, total) in enumerate(zip(findings, wanted, strict=True)):
            most = share if finding.case.enumerable else max(FEW, share // 32)
            numbers, questions = finding.case.questions(rng, min(most, max(0, total - (finding.n or 0))))
            drawn += [(place, number, question) for number, question in zip(numbers.tolist(), questions, strict=True)]
        # what was drawn is asked to its end: to stop in between would favour what is asked first
        for part in _batches(subject, drawn, rng):
            cases = [(findings[place].case, number, question) for place, number, question in part]
            _count(findings, part, asked(subject, cases, rng), rng)
            heard(len(part))
        asked_before += len(drawn)
        share = min(2 * share, MOST)
    return True


def _batches(subject: Subject, drawn: list[tuple[int, int, Question]],
             rng: np.random.Generator) -> Iterator[list[tuple[int, int, Question]]]:
    groups: dict[Any, list[tuple[int, int, Question]]] = {}
    for one in drawn:
        question = one[2]
        shape = question.target.shape
        groups.setdefault(shape[-1] if subject.ragged else tuple(shape), []).append(one)
    for group in groups.values():
        large = group[0][2].target.shape[-1] > 10_000
        size = min(subject.batch_size, 16) if large else subject.batch_size
        if subject.batch_size > 1:
            group = [group[place] for place in rng.permutation(len(group))]
        size = size if subject.batch_size > 1 else (4 if large else SLICE)
        for start in range(0, len(group), size):
            yield group[start:start + size]


def _count(findings: Sequence[Finding], part: list[tuple[int, int, Question]], answers: list[Answer],
           rng: np.random.Generator) -> None:
    fresh: dict[int, Counter[tuple[int, Answer]]] = {}
    for (place, number, question), answer in zip(part, answers, strict=True):
        finding = findings[place]
        finding.n = (finding.n or 0) + 1
        finding.calls += 1
        if finding.case.enumerable:
            fresh.setdefault(place, Counter())[number, answer] += 1
            continue
        try:
            outcome = finding.case.outcome(number, answer, question)
        except BadAnswer as bad:
            raise Refused(finding.case, number, question, str(bad)) from None
        finding.counts += outcome
        finding.half += outcome * (finding.calls % 2)
        finding.kept += finding.case.kept(number, answer, question)
    for place, seen in fresh.items():
        finding, before = findings[place], findings[place].counts.copy()
        for (number, answer), times in seen.items():
            try:
                finding.counts += tally(finding.case, {(number, answer): times}, rng)
            except BadAnswer as bad:
                raise Refused(finding.case, number, finding.case.listed[number], str(bad)) from None
            finding.kept += times * finding.case.kept(number, answer)
        if finding.half.sum() <= before.sum() / 2:  # whole batches, which are independent of each other
            finding.half += finding.counts - before
