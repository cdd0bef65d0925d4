"""The audit of a verification function: from a function to a verdict.

* A function whose coins are supplied, or that returns the law of its token, is judged exactly on every instance whose
  drafts can be enumerated.
* Any other is sampled on all instances, in rounds that double, until the evidence against it exceeds ``1/alarm``
  (failed), or every instance has been asked so often that a deviation of ``tv`` would have raised the alarm with
  probability ``power`` (passed), or the time is up (undecided).

A passed audit is no proof: it says how small a deviation would have been found. A failed one is wrong with probability
``alarm`` at most, however often one looks.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from otspec.auditing.cases import BadAnswer, Case, LargeCase, TokenCase
from otspec.auditing.diagnosis import matching, shrink
from otspec.auditing.engine import Finding, Refused, exactly, lawfully, sample
from otspec.auditing.evidence import calls_needed, pooled_evidence
from otspec.auditing.families import KINDS, build_cases
from otspec.auditing.mistakes import Mistake
from otspec.auditing.report import AuditReport, Counterexample
from otspec.auditing.subjects import SIGNATURES, Function, Subject, signature
from otspec.core.checks import check_number, check_positive, check_seed
from otspec.core.errors import BadArgument, UnknownName
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.table import Table

FIRST, LAST_ROUND = 250, 16_000  # calls on each instance in the first and in the last round of all
LARGE_TV = 0.2  # distance that the large vocabulary is audited for
MEASURED = 20_000  # calls behind the distance of an instance that failed, where the time allows
TOLERANCE = {"float64": 1e-7, "float32": 2e-5, "bfloat16": 2e-5}


def audit(fn: Callable[..., Any] | Subject, *, kind: str | None = None, scheme: DraftScheme | int | None = None,
          draft_length: int = 2, inputs: str = "probabilities", library: str = "numpy", dtype: str = "float64",
          coins: int | str = "generator", batch_size: int | None = None, tv: float = 0.02, alarm: float = 1e-3,
          power: float = 0.99, seconds: float = 60.0, calls: int | None = None, large: bool = True,
          tolerance: float | None = None, explain: float = 5.0, seed: int = 0) -> AuditReport:
    """Judge whether a verification function is lossless.

    Parameters
    ----------
    fn : callable or Subject
        ``token``: ``fn(target, draft, token, rng) -> token``; ``multi``: ``fn(target, draft, tokens, rng) -> token``;
        ``block``: ``fn(target_rows, draft_rows, tokens, rng) -> list of tokens``; ``tree``:
        ``fn(tree, target_rows, draft_rows, rng) -> list of tokens``. For other shapes see the adapters of
        `otspec.auditing`. It is called many times, in this process.
    kind : {"token", "multi", "block", "tree"}
        What it verifies; an adapter knows.
    scheme : DraftScheme or int, optional
        How drafts are drawn: of one position (default 1, and 2 for ``multi`` and ``tree``), or at each node of a tree.
    draft_length : int
        Drafted tokens of a block, or of each path of a tree.
    inputs, library, dtype, coins, batch_size
        How ``fn`` wants to be asked, see `otspec.auditing.Function`. With ``coins`` a number, so many uniforms are
        supplied as last argument and the audit is exact.
    tv : float
        Deviation (total variation on an instance) that must be found with probability ``power``.
    alarm : float
        Largest probability to fail a lossless function.
    power : float
    seconds : float
        Time for judging.
    calls : int, optional
        At most so many on each instance.
    large : bool
        Whether a vocabulary of 151,936 tokens is among the instances (of one position).
    tolerance : float, optional
        Distance that counts as zero where laws are exact; by default 1e-7, and 2e-5 below float64.
    explain : float
        Seconds for measuring a failure and shrinking its counterexample.
    seed : int

    Returns
    -------
    AuditReport
        ``passed`` is True, False, or None where the time or the calls were too few.

    Raises
    ------
    BadArgument, UnknownName, SchemeMismatch
        Also where the function cannot be called at all.

    Examples
    --------
    >>> def right(target, draft, token, rng):
    ...     if rng.random() * draft[token] <= target[token]:
    ...         return token
    ...     left = np.maximum(target - draft, 0)
    ...     return rng.choice(len(left), p=left / left.sum())
    >>> def wrong(target, draft, token, rng):
    ...     return token if rng.random() * draft[token] <= target[token] else rng.choice(len(target), p=target)
    >>> ot.audit(right, kind="token", tv=0.1, large=False).passed
    True
    >>> report = ot.audit(wrong, kind="token", tv=0.1, large=False)
    >>> report.passed, report.mistake
    (False, 'redraw_from_target')
    """
    subject = fn if isinstance(fn, Subject) else _function(fn, kind, inputs, library, dtype, coins, batch_size)
    if kind is not None and kind != subject.kind:
        raise BadArgument(f"kind: {kind!r}, but {subject.name} is a {subject.kind} rule. Fix: leave kind out.")
    check_seed(seed)
    for label, value in (("tv", tv), ("alarm", alarm), ("power", power)):
        if not 0 < check_number(label, value, f"{label} in (0, 1)") < 1:
            raise BadArgument(f"{label}: {value} is outside (0, 1). Fix: {label}={0.99 if label == 'power' else 0.01}.")
    if check_number("seconds", seconds, "a positive time") <= 0:
        raise BadArgument(f"seconds: {seconds} is no time. Fix: seconds=60.")
    plan = as_scheme(scheme if scheme is not None else 2 if subject.kind in ("multi", "tree") else 1)
    if subject.kind == "token" and plan.num_drafts != 1:
        raise BadArgument(f"scheme: {plan} draws {plan.num_drafts} drafts, a token rule takes one. Fix: kind='multi'.")
    cases = build_cases(subject.kind, plan, check_positive("draft_length", draft_length), subject.show, seed,
                        given=subject.given, ragged=subject.ragged, large=large)
    return _Audit(subject, plan, cases, tv=tv, alarm=alarm, power=power, seconds=seconds,
                  calls=None if calls is None else check_positive("calls", calls),
                  tolerance=TOLERANCE[subject.dtype] if tolerance is None else tolerance, explain=float(explain),
                  seed=seed).run()


def _function(fn: Any, kind: str | None, inputs: str, library: str, dtype: str, coins: int | str,
              batch_size: int | None) -> Function:
    if kind not in KINDS:
        raise UnknownName(f"kind: {kind!r} is none of {', '.join(KINDS)}. Fix: say what the function verifies.")
    return Function(fn, kind, inputs=inputs, library=library, dtype=dtype, coins=coins, batch_size=batch_size)


class _Audit:
    """One audit; `run` gives the report."""

    def __init__(self, subject: Subject, scheme: DraftScheme, cases: Sequence[Case], *, tv: float, alarm: float,
                 power: float, seconds: float, calls: int | None, tolerance: float, explain: float,
                 seed: int) -> None:
        self.subject, self.scheme, self.cases = subject, scheme, list(cases)
        self.tv, self.alarm, self.power, self.tolerance, self.limit = tv, alarm, power, tolerance, calls
        self.rng = np.random.default_rng([seed, 1])
        self.start = time.perf_counter()
        self.deadline, self.explain = self.start + seconds, explain
        self.lawful = False
        self.findings: list[Finding] = []
        self.evidence = 0.0  # largest so far, logarithm

    def run(self) -> AuditReport:
        """Judge, and explain what failed."""
        try:
            self._first_call()
            passed, reason = self._judge()
        except Refused as refused:
            return self._refused(refused)
        finally:
            self.subject.close()
        return self._report(passed, reason)

    def _first_call(self) -> None:
        """One question: whether the function can be called, and whether it returns tokens or laws."""
        case = self.cases[0]
        question = case.question(0)
        coins: Any = np.full((1, self.subject.num_uniforms), 0.5) if self.subject.num_uniforms else self.rng
        try:
            answer = self.subject.answer([question], coins)[0]
        except BadAnswer as bad:
            raise Refused(case, 0, question, str(bad)) from None
        except Exception as error:
            fn = getattr(self.subject, "fn", None)
            raise BadArgument(f"fn: {self.subject.name} cannot be called on a plain instance ({type(error).__name__}: "
                              f"{error}). Fix: {SIGNATURES[self.subject.kind]}"
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
        done, total = True, FIRST
        while done and not self._alarmed(fresh) and total <= LAST_ROUND:
            done = sample(self.subject, fresh, [min(goal, total) for goal in goals], self.rng, self.deadline)
            total *= 2
        # then one instance after the other, the most suspicious first: the evidence allows any order
        for one in sorted(fresh, key=lambda one: -one.log_evidence):
            goal = goals[fresh.index(one)]
            while done and (one.n or 0) < goal and not self._alarmed(fresh):
                done = sample(self.subject, [one], [min(goal, 2 * (one.n or 1))], self.rng, self.deadline)
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

    def _alarmed(self, fresh: Sequence[Finding]) -> bool:
        self.evidence = max(self.evidence, pooled_evidence([one.log_evidence for one in fresh]))
        return self.evidence >= math.log(1 / self.alarm)

    @property
    def asked(self) -> int:
        """Answers given so far."""
        return sum(one.calls for one in self.findings)

    # -- the report -----------------------------------------------------------------------------------------------

    def _worst(self) -> Finding:
        def bad(one: Finding) -> tuple[float, float]:
            return (one.log_evidence if one.n else 0.0, one.tv)
        exact = [one for one in self.findings if one.n is None]
        if exact and max(one.tv for one in exact) > self.tolerance:
            return max(exact, key=lambda one: one.tv)
        sampled = [one for one in self.findings if one.n]
        telling = [one for one in sampled if np.count_nonzero(one.case.law) > 1 or one.tv > 0]
        return max(telling or sampled or exact, key=bad)

    def _report(self, passed: bool | None, reason: str) -> AuditReport:
        known = any(one.n is None or one.n for one in self.findings)
        worst, found, mistakes = self._worst() if known else None, None, []
        if worst is not None and passed is False:
            worst, found, mistakes = self._explained(worst)
        error = self.alarm / max(1, len(self.findings))
        return AuditReport(
            subject=self.subject.name, kind=self.subject.kind, passed=passed, tv=worst.tv if worst else 0.0,
            interval=worst.interval(error) if worst else (0.0, 1.0), p_value=self._p_value(passed), alarm=self.alarm,
            power=self.power, resolved=self.tv, counterexample=found, mistake=mistakes[0].name if mistakes else None,
            remedy=mistakes[0].remedy if mistakes else None, mistakes=tuple(mistakes),
            family=worst.case.name if worst and passed is False else None,
            cases=self._table(error), method=self._method(), calls=self.asked,
            seconds=time.perf_counter() - self.start, reason=reason, laws=_laws(worst))

    def _explained(self, worst: Finding) -> tuple[Finding, Counterexample, list[Mistake]]:
        more = time.perf_counter() + self.explain / 2
        try:
            sampled = [one for one in self.findings if one.n]
            if worst.n:
                wanted = [max(one.n or 0, min(4000, one.needed)) for one in sampled]
                sample(self.subject, sampled, wanted, self.rng, more)
                worst = self._worst()
                sample(self.subject, [worst], [max(worst.n or 0, MEASURED)], self.rng, more)
            smallest, _ = shrink(self.subject, worst, self.rng, self.explain / 2, self.lawful)
        except Refused:
            smallest = worst
        drawn = "given" if self.subject.given else type(self.scheme).__name__
        mistakes = matching(self.findings, self.subject.kind, drawn, self.alarm)
        return worst, self._example(smallest, worst.case.name), mistakes

    def _example(self, finding: Finding, family: str) -> Counterexample:
        case = finding.case
        impossible = np.argwhere((finding.counts > 0) & (case.law == 0) & (finding.observed > 1e-9))
        why = "the outcome has another law than the target's"
        if len(impossible) and not isinstance(case, LargeCase):
            why = f"tokens are emitted that the target never emits: {impossible[0].tolist()}"
        small = not isinstance(case, LargeCase)
        return Counterexample(
            family=family, why=why, target=case.target.tolist() if small else [],
            draft=case.draft.tolist() if small else [], drafts=self._drafts(case),
            expected=case.law.tolist(), observed=finding.observed.tolist(), tv=finding.tv, n=finding.n)

    def _drafts(self, case: Case) -> str:
        if self.subject.kind == "block":
            return f"{getattr(case, 'length', 1) - 1} tokens, one after the other"
        if self.subject.kind == "tree":
            return f"{self.scheme}, {getattr(case, 'length', 1) - 1} levels"
        return str(self.scheme)

    def _refused(self, refused: Refused) -> AuditReport:
        case = refused.case
        small = not isinstance(case, LargeCase)
        example = Counterexample(
            family=case.name, why=refused.why, target=case.target.tolist() if small else [],
            draft=case.draft.tolist() if small else [], drafts=self._drafts(case),
            tokens=refused.question.tokens.ravel().tolist())
        return AuditReport(
            subject=self.subject.name, kind=self.subject.kind, passed=False, tv=1.0, interval=(0.0, 1.0), p_value=0.0,
            alarm=self.alarm, power=self.power, resolved=self.tv, counterexample=example, mistake=None, remedy=None,
            family=case.name, cases=self._table(self.alarm), method=self._method(),
            calls=self.asked, seconds=time.perf_counter() - self.start,
            reason=f"No answer of a verification rule on {case.name!r}: {refused.why}.")

    def _p_value(self, passed: bool | None) -> float:
        return float(np.exp(-max(0.0, self.evidence))) if np.isfinite(self.evidence) else 0.0

    def _method(self) -> str:
        exact = any(one.n is None for one in self.findings)
        return "exact and sampled" if exact and any(one.n for one in self.findings) else \
            "exact" if exact else "sampled"

    def _table(self, error: float) -> Table:
        rows = []
        for one in self.findings:
            known = one.n is None or one.n > 0
            low, high = one.interval(error) if known else (0.0, 1.0)
            rows.append({"case": one.case.name, "n": one.n, "tv": one.tv if known else None, "lower": low,
                         "upper": high, "log_evidence": one.log_evidence if one.n else None,
                         "resolved": one.resolved if one.n else None, "kept": one.mean_kept if known else None,
                         "optimum": one.case.optimum})
        return Table(rows)


def _laws(worst: Finding | None) -> dict[str, Any]:
    """Observed and expected law of a case, the likeliest outcomes first where they are many."""
    if worst is None:
        return {}
    return {"case": worst.case.name, "n": worst.n, "tv": worst.tv, "shape": list(worst.case.law.shape),
            "expected": worst.case.law.ravel().tolist(), "observed": worst.observed.ravel().tolist()}
