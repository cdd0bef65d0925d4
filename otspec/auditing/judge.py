"""The judge: questions to a subject until there is evidence enough, for or against it."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.auditing.cases import BadAnswer, Case, LargeCase, TokenCase
from otspec.auditing.engine import Finding, Refused, sample
from otspec.auditing.evidence import calls_needed, pooled_evidence
from otspec.auditing.exact import exactly, lawfully
from otspec.auditing.subjects import RAISED, Subject, signature
from otspec.core.errors import BadArgument, OtspecError
from otspec.core.progress import progress_bar
from otspec.core.schemes import DraftScheme

FIRST, LAST_ROUND = 250, 16_000  # calls on each instance in the first and in the last round of all
LARGE_TV = 0.2  # distance that the large vocabulary is audited for


class Judge:
    """Asks a subject on all cases; what it finds stays with it."""

    def __init__(self, subject: Subject, scheme: DraftScheme, cases: Sequence[Case], *, tv: float, alarm: float,
                 power: float, seconds: float, calls: int | None, tolerance: float, explain: float,
                 seed: int, progress: bool = False) -> None:
        self.subject, self.scheme, self.cases = subject, scheme, list(cases)
        self.tv, self.alarm, self.power, self.tolerance, self.limit = tv, alarm, power, tolerance, calls
        self.rng = np.random.default_rng([seed, 1])
        self.start = time.perf_counter()
        self.seconds, self.deadline, self.explain = seconds, self.start + seconds, explain
        self.lawful, self.progress = False, progress
        self.findings: list[Finding] = []
        self.evidence = 0.0  # largest so far, logarithm

    def judge(self) -> tuple[bool | None, str]:
        """Passed, failed or neither, and why.

        Raises
        ------
        Refused
            The subject gave no answer, or one that no rule can give.
        """
        self._first_call()
        return self._judge()

    def _first_call(self) -> None:
        """One question: whether the function can be called, and whether it returns tokens or laws."""
        case = self.cases[0]
        question = case.listed[0]
        coins: Any = np.full((1, self.subject.num_uniforms), 0.5) if self.subject.num_uniforms else self.rng
        try:
            answer = self.subject.answer([question], coins)[0]
        except BadAnswer as bad:
            raise Refused(case, 0, question, str(bad)) from None
        except RAISED as error:
            fn = getattr(self.subject, "fn", None)
            if fn is None and isinstance(error, OtspecError):  # of a subject that is no function, in its own words
                raise
            raise BadArgument(f"fn: {self.subject.name} cannot be called on a plain instance ({type(error).__name__}: "
                              f"{error}). Fix: {self.subject.shape}"
                              + (f"; yours is {signature(fn)}" if fn is not None else "") + ".") from error
        if isinstance(case, TokenCase) and np.ndim(answer) == 1:
            law = np.asarray(answer)
            self.lawful = law.dtype.kind == "f" or law.size == case.law.size > 1

    def _judge(self) -> tuple[bool | None, str]:
        exact = self.lawful or self.subject.num_uniforms is not None
        if exact:
            verdict = self._judge_exactly()
            if verdict is not None:
                return verdict
        sampled = [case for case in self.cases if not (exact and case.enumerable)]
        if self.lawful or not sampled:
            return True, (f"The law of the outcome is the target's on all {len(self.findings)} instances."
                          f"{self._cells()}")
        return self._judge_samples(sampled)

    def _cells(self) -> str:
        """How well the cells of the coins are known."""
        probes = sum(one.probes for one in self.findings)
        if not probes:
            return ""
        return (f" The cells of its coins were found from {self.asked} answers; {probes} fresh ones agree, so that "
                f"at most {math.log(1 / self.alarm) / probes:.1g} of the coins can give anything else.")

    def _judge_exactly(self) -> tuple[bool | None, str] | None:
        """Verdict where it is clear already."""
        with progress_bar(sum(case.enumerable for case in self.cases), "instances", self.progress) as bar:
            return self._integrated(bar)

    def _integrated(self, bar: Any) -> tuple[bool | None, str] | None:
        for case in (case for case in self.cases if case.enumerable):
            found = lawfully(self.subject, case, self.rng) if self.lawful else \
                exactly(self.subject, case, self.rng, self.deadline, max(self.tv, self.tolerance))
            if found is not None and found.unresolved > max(self.tv, self.tolerance):
                return None, (f"The coins could not be resolved into cells on {case.name!r}: a mass of at least "
                              f"{found.unresolved:.2g} is left. Fix: coins='generator', which samples instead.")
            if found is None:
                return None, (f"The time was up after {len(self.findings)} of {len(self.cases)} instances, without a "
                              f"deviation so far. Fix: more seconds.")
            self.findings.append(found)
            bar.update()
        worst = max(self.findings, key=lambda one: one.interval(0.5)[0])
        if worst.interval(0.5)[0] > self.tolerance:
            self.evidence = math.inf
            return False, "The law of the outcome is not the target's; it was integrated exactly."
        return None

    def _judge_samples(self, cases: Sequence[Case]) -> tuple[bool | None, str]:
        fresh = [Finding(case, np.zeros(case.law.shape)) for case in cases]
        self.findings += fresh
        for one in fresh:
            one.resolved = max(self.tv, LARGE_TV) if isinstance(one.case, LargeCase) else self.tv
            one.needed = calls_needed(one.case.readings, one.resolved, self.alarm / len(fresh), self.power)
        goals = [min(one.needed, self.limit or one.needed) for one in fresh]
        with progress_bar(sum(goals), "calls", self.progress) as bar:
            done = self._asked_for(fresh, goals, bar)
        if self._alarmed(fresh):
            return False, "The outcomes do not have the target's law."
        short = [one for one in fresh if (one.n or 0) < one.needed]
        if short:
            why = "The time was up" if not done else "The calls allowed were used up"
            return None, (f"{why} without an alarm, but too early: {len(short)} of {len(fresh)} instances were asked "
                          f"less often than it takes to find a deviation of {self.tv:g} (at most "
                          f"{max(one.needed for one in short)} calls). Fix: more seconds or calls, or a larger tv.")
        seen = "" if self.subject.num_uniforms is None else f"The small instances are exact.{self._cells()} "
        also = f" ({LARGE_TV:g} on the large vocabulary)" if isinstance(self.cases[-1], LargeCase) else ""
        return True, (f"{seen}No deviation was found; one of total variation {self.tv:g} on any instance"
                      f"{also} would have been, with probability {self.power:g}.")

    def _asked_for(self, fresh: Sequence[Finding], goals: Sequence[int], bar: Any) -> bool:
        """Ask until there is an alarm, or each instance has been asked so often; False where the time is up before."""
        done, total = True, FIRST
        while done and not self._alarmed(fresh) and total <= LAST_ROUND:
            wanted = [min(goal, total) for goal in goals]
            done = sample(self.subject, fresh, wanted, self.rng, self.deadline, bar.update)
            total *= 2
        # then one instance after the other, the most suspicious first: the evidence allows any order
        for one in sorted(fresh, key=lambda one: -one.log_evidence):
            goal = goals[fresh.index(one)]
            while done and (one.n or 0) < goal and not self._alarmed(fresh):
                done = sample(self.subject, [one], [min(goal, 2 * (one.n or 1))], self.rng, self.deadline, bar.update)
        return done

    def _alarmed(self, fresh: Sequence[Finding]) -> bool:
        self.evidence = max(self.evidence, pooled_evidence([one.log_evidence for one in fresh]))
        return self.evidence >= math.log(1 / self.alarm)

    @property
    def asked(self) -> int:
        """Answers given so far."""
        return sum(one.calls for one in self.findings)
