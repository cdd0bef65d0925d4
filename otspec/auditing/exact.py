"""Exact laws of the outcomes: coins integrated over the cells that answers reveal, or laws that are returned."""

from __future__ import annotations

import time

import numpy as np

from otspec.auditing.cases import Answer, BadAnswer, Case, Question
from otspec.auditing.coins import integrate
from otspec.auditing.engine import SLICE, Finding, Refused
from otspec.auditing.subjects import RAISED, Subject, as_answer


def exactly(subject: Subject, case: Case, rng: np.random.Generator, deadline: float,
            most: float) -> Finding | None:
    """Exact law of the outcomes of a case whose coins are supplied; None where the time is up before.

    It is given up where more than ``most`` of the coins belong to no cell.

    Raises
    ------
    Refused
    """
    finding = Finding(case, np.zeros(case.law.shape), n=None)
    for number, (chance, question) in enumerate(zip(case.chance, case.listed, strict=True)):
        if time.perf_counter() > deadline:
            return None

        def answers(points: np.ndarray, question: Question = question, number: int = number) -> list[Answer]:
            found: list[Answer] = []
            finding.calls += len(points)
            for start in range(0, len(points), max(subject.batch_size, SLICE)):
                part = points[start:start + max(subject.batch_size, SLICE)]
                try:
                    given = subject.answer([question] * len(part), part)
                    found += [as_answer(answer) for answer in given]
                except BadAnswer as bad:
                    raise Refused(case, number, question, str(bad)) from None
                except RAISED as error:
                    raise Refused(case, number, question, f"{type(error).__name__}: {error}") from error
            return found

        cells = integrate(answers, subject.num_uniforms or 1, rng)
        finding.probes += cells.probes
        for answer, mass in cells.masses.items():
            try:
                finding.counts += chance * mass * case.outcome(number, answer)
            except BadAnswer as bad:
                raise Refused(case, number, question, str(bad)) from None
            finding.kept += chance * mass * case.kept(number, answer)
        finding.unresolved += chance * cells.unresolved
        if finding.unresolved > most:
            break
    return finding


def lawfully(subject: Subject, case: Case, rng: np.random.Generator) -> Finding:
    """Exact law of the outcomes of a function that returns the law of its token.

    Raises
    ------
    Refused
    """
    finding = Finding(case, np.zeros(case.law.shape), n=None)
    for number, (chance, question) in enumerate(zip(case.chance, case.listed, strict=True)):
        try:
            given = np.asarray(subject.answer([question], rng)[0], dtype=np.float64)
        except RAISED as error:
            raise Refused(case, number, question, f"{type(error).__name__}: {error}") from error
        if given.shape != case.law.shape or not np.all(given >= -1e-9) or abs(given.sum() - 1) > 1e-6:
            raise Refused(case, number, question, "what is returned is no law of the emitted token")
        finding.calls += 1
        finding.counts += chance * given
        finding.kept += chance * float(sum(given[token] for token in set(question.tokens.tolist()) if token >= 0))
    return finding
