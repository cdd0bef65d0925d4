"""From what a judge has found to the report: the worst instance, measured further, shrunk and named."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from otspec.auditing.cases import Case, LargeCase
from otspec.auditing.diagnosis import matching, shrink
from otspec.auditing.engine import Finding, Refused, sample
from otspec.auditing.judge import Judge
from otspec.auditing.mistakes import Mistake
from otspec.auditing.report import AuditReport, Counterexample
from otspec.auditing.watch import GRACE, Hung, watched
from otspec.core.table import Table

MEASURED = 20_000  # calls behind the distance of an instance that failed, where the time allows


def _worst(judge: Judge) -> Finding:
    def bad(one: Finding) -> tuple[float, float]:
        return (one.log_evidence if one.n else 0.0, one.tv)
    exact = [one for one in judge.findings if one.n is None]
    if exact and max(one.tv for one in exact) > judge.tolerance:
        return max(exact, key=lambda one: one.tv)
    sampled = [one for one in judge.findings if one.n]
    telling = [one for one in sampled if np.count_nonzero(one.case.law) > 1 or one.tv > 0]
    return max(telling or sampled or exact, key=bad)


def verdict(judge: Judge) -> AuditReport:
    """Let a judge judge, and explain what failed."""
    try:
        with watched(judge.seconds + GRACE):
            passed, reason = judge.judge()
    except Refused as refused:
        return _refused(judge, refused)
    except Hung:
        passed, reason = None, (f"The function has not come back: no answer {GRACE:g} s after the {judge.seconds:g} s "
                                f"were up. Fix: look for a call that never ends, or allow more seconds.")
    return _report(judge, passed, reason)


def _report(judge: Judge, passed: bool | None, reason: str) -> AuditReport:
    known = any(one.n is None or one.n for one in judge.findings)
    worst: Finding | None = _worst(judge) if known else None
    found: Counterexample | None = None
    mistakes: list[Mistake] = []
    if worst is not None and passed is False:
        worst, found, mistakes = _explained(judge, worst)
    error = judge.alarm / max(1, len(judge.findings))
    return AuditReport(
        subject=judge.subject.name, kind=judge.subject.kind, passed=passed, tv=worst.tv if worst else 0.0,
        interval=worst.interval(error) if worst else (0.0, 1.0), p_value=_p_value(judge), alarm=judge.alarm,
        power=judge.power, resolved=judge.tv, counterexample=found, mistake=mistakes[0].name if mistakes else None,
        remedy=mistakes[0].remedy if mistakes else None, mistakes=tuple(mistakes),
        family=worst.case.name if worst and passed is False else None,
        cases=_table(judge, error), method=_method(judge), calls=judge.asked,
        seconds=time.perf_counter() - judge.start, reason=reason, laws=_laws(worst))


def _explained(judge: Judge, worst: Finding) -> tuple[Finding, Counterexample, list[Mistake]]:
    try:
        with watched(judge.explain + GRACE):
            worst = _measured(judge, worst)
            smallest = shrink(judge.subject, worst, judge.rng, judge.explain / 2, judge.lawful)
    except (Refused, Hung):
        smallest = worst
    drawn = "given" if judge.subject.given else type(judge.scheme).__name__
    mistakes = matching(judge.findings, judge.subject.kind, drawn, judge.alarm)
    return worst, _example(judge, smallest, worst.case.name), mistakes


def _measured(judge: Judge, worst: Finding) -> Finding:
    """The worst instance, measured further where it was sampled."""
    if not worst.n:
        return worst
    sampled, until = [one for one in judge.findings if one.n], time.perf_counter() + judge.explain / 2
    sample(judge.subject, sampled, [max(one.n or 0, min(4000, one.needed)) for one in sampled], judge.rng, until)
    worst = _worst(judge)
    sample(judge.subject, [worst], [max(worst.n or 0, MEASURED)], judge.rng, until)
    return worst


def _example(judge: Judge, finding: Finding, family: str) -> Counterexample:
    case = finding.case
    impossible = np.argwhere((finding.counts > 0) & (case.law == 0) & (finding.observed > 1e-9))
    why = "the outcome has another law than the target's"
    if len(impossible) and not isinstance(case, LargeCase):
        why = f"tokens are emitted that the target never emits: {impossible[0].tolist()}"
    small = not isinstance(case, LargeCase)
    return Counterexample(
        family=family, why=why, target=case.target.tolist() if small else [],
        draft=case.draft.tolist() if small else [], drafts=_drafts(judge, case),
        expected=case.law.tolist(), observed=finding.observed.tolist(), tv=finding.tv, n=finding.n)


def _drafts(judge: Judge, case: Case) -> str:
    if judge.subject.kind == "block":
        return f"{getattr(case, 'length', 1) - 1} tokens, one after the other"
    if judge.subject.kind == "tree":
        return f"{judge.scheme}, {getattr(case, 'length', 1) - 1} levels"
    return str(judge.scheme)


def _refused(judge: Judge, refused: Refused) -> AuditReport:
    case = refused.case
    small = not isinstance(case, LargeCase)
    example = Counterexample(
        family=case.name, why=refused.why, target=case.target.tolist() if small else [],
        draft=case.draft.tolist() if small else [], drafts=_drafts(judge, case),
        tokens=refused.question.tokens.ravel().tolist())
    return AuditReport(
        subject=judge.subject.name, kind=judge.subject.kind, passed=False, tv=1.0, interval=(0.0, 1.0), p_value=0.0,
        alarm=judge.alarm, power=judge.power, resolved=judge.tv, counterexample=example, mistake=None, remedy=None,
        family=case.name, cases=_table(judge, judge.alarm), method=_method(judge),
        calls=judge.asked, seconds=time.perf_counter() - judge.start,
        reason=f"No answer of a verification rule on {case.name!r}: {refused.why}.")


def _p_value(judge: Judge) -> float:
    return float(np.exp(-max(0.0, judge.evidence))) if np.isfinite(judge.evidence) else 0.0


def _method(judge: Judge) -> str:
    exact = any(one.n is None for one in judge.findings)
    return "exact and sampled" if exact and any(one.n for one in judge.findings) else \
        "exact" if exact else "sampled"


def _table(judge: Judge, error: float) -> Table:
    rows = []
    for one in judge.findings:
        known = one.n is None or one.n > 0
        low, high = one.interval(error) if known else (0.0, 1.0)
        rows.append({"case": one.case.name, "n": one.n, "tv": one.tv if known else None, "lower": low,
                     "upper": high, "log_evidence": one.log_evidence if one.n else None,
                     "resolved": one.resolved if one.n else None, "kept": one.mean_kept if known else None,
                     "optimum": one.case.optimum})
    return Table(rows)


def _laws(worst: Finding | None) -> dict[str, Any]:
    """Observed and expected law of a case, for the figure."""
    if worst is None:
        return {}
    case = worst.case
    outcome = "emitted text" if case.law.ndim > 1 else "emitted token"
    return {"case": case.name, "outcome": "group of tokens" if isinstance(case, LargeCase) else outcome,
            "unit": "calls", "n": worst.n, "tv": worst.tv, "shape": list(case.law.shape),
            "expected": case.law.ravel().tolist(), "observed": worst.observed.ravel().tolist()}
