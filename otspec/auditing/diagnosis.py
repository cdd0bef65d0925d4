"""From a failing case to something to act on: the known mistake with the observed law, and a smaller counterexample."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence

import numpy as np

from otspec.auditing.cases import Case, LargeCase, TokenCase
from otspec.auditing.engine import Finding, Refused, sample
from otspec.auditing.evidence import log_evidence, pooled_evidence
from otspec.auditing.exact import exactly, lawfully
from otspec.auditing.mistakes import Mistake, known_mistakes
from otspec.auditing.mistakes.registry import Rule
from otspec.auditing.subjects import Subject
from otspec.auditing.texts import START, BlockCase, TextCase, TreeCase, tree_prefixes

SURE = math.log(1e4)  # evidence that a shrunk counterexample needs of its own
FEWEST, MOST = 1000, 16_000  # calls on a candidate
EXACT = 1e-6


def predicted(mistake: Mistake, case: Case) -> np.ndarray | None:
    """Law of the outcomes of a mistake on a case; None where its cases are too many to list."""
    if not case.enumerable or mistake.law is None:
        return None
    rule = mistake.law
    if isinstance(case, TokenCase):
        laws = [rule(case.target, case.draft, tokens) for tokens in case.tokens]
        return case.chance @ np.stack(laws)
    if isinstance(case, TextCase) and case.length == 1:  # nothing drafted, nothing to get wrong
        return case.law
    emitted: dict[tuple[int, ...], float] = {}
    for number, chance in enumerate(case.chance):
        prefixes, mass = _masses(rule, case, number)
        for node, token in np.argwhere(mass > 0).tolist():
            answer = (*prefixes[node], token)
            emitted[answer] = emitted.get(answer, 0.0) + chance * mass[node, token]
    assert isinstance(case, TextCase)
    return sum((mass * case.completed(answer) for answer, mass in emitted.items()), np.zeros(case.law.shape))


def _masses(rule: Rule, case: Case, number: int) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Drafted prefixes of a question and the mass ``[N V]`` of (prefix kept, next token)."""
    question = case.listed[number]
    if question.tree is not None:
        last = np.where(question.tree.tokens < 0, START, question.tree.tokens)
        return tree_prefixes(question.tree), rule(question.tree, case.target[last], case.draft[last])
    path = np.concatenate([[START], question.tokens])
    prefixes = [tuple(question.tokens[:count].tolist()) for count in range(len(path))]
    return prefixes, rule(case.target[path], case.draft[path[:-1]], question.tokens)


def matching(findings: Sequence[Finding], kind: str, scheme: str, alarm: float) -> list[Mistake]:
    """Known mistakes that all cases agree with: the likeliest, and what emits the same law, its own kind first."""
    found: list[tuple[float, Mistake]] = []
    usable = [one for one in findings if one.case.enumerable and (one.n is None or one.n)]
    for mistake in known_mistakes(kind, scheme):
        likelihood, against = 0.0, []
        for finding in usable:
            if isinstance(finding.case, TokenCase) and finding.case.draft.ndim > 1:
                return []
            law = predicted(mistake, finding.case)
            assert law is not None
            if not abs(law.sum() - 1) <= EXACT:  # no law of tokens here, as where a ratio has no bound
                break
            law = np.maximum(law, 0.0)
            if finding.n is None:
                off = float(np.abs(law - finding.observed).sum() / 2)
                against.append(0.0 if off <= EXACT + finding.unresolved else math.inf)
            else:
                against.append(float(log_evidence(finding.counts.ravel(), law.ravel())))
            seen = finding.counts > 0
            if not np.isfinite(against[-1]):
                break
            likelihood += float((finding.counts[seen] * np.log(np.maximum(law[seen], 1e-300))).sum())
        else:
            if against and pooled_evidence(against) < math.log(1 / alarm):
                found.append((likelihood, mistake))
    best = max((likelihood for likelihood, _ in found), default=0.0)
    alike = [mistake for likelihood, mistake in found if likelihood > best - 1e-6 * max(1.0, abs(best))]
    return sorted(alike, key=lambda mistake: mistake.kind != kind)


def shrink(subject: Subject, worst: Finding, rng: np.random.Generator, seconds: float,
           lawful: bool) -> Finding:
    """A smaller case on which the subject still fails; the case itself where there is none."""
    best, deadline, moved = worst, time.perf_counter() + seconds, True
    while moved and time.perf_counter() < deadline:
        moved = False
        for candidate in smaller(best.case, subject):
            finding = _fails(subject, candidate, rng, deadline, lawful, worst)
            if finding is not None:
                best, moved = finding, True
                break
    return best


def _fails(subject: Subject, case: Case, rng: np.random.Generator, deadline: float, lawful: bool,
           worst: Finding) -> Finding | None:
    try:
        if lawful or subject.num_uniforms is not None:
            exact = lawfully(subject, case, rng) if lawful else exactly(subject, case, rng, deadline, worst.tv / 2)
            return exact if exact and exact.interval(0.5)[0] > max(EXACT, worst.tv / 4) else None
        finding, total = Finding(case, np.zeros(case.law.shape)), FEWEST
        while total <= MOST:
            if not sample(subject, [finding], [total], rng, deadline):
                return None
            if finding.log_evidence > SURE and finding.tv > worst.tv / 3:
                sample(subject, [finding], [4 * total], rng, deadline)
                return finding
            total *= 2
    except Refused:
        return None
    return None


def smaller(case: Case, subject: Subject) -> Iterator[Case]:
    """Cases that are smaller or rounder than a case, the smallest steps last."""
    if isinstance(case, LargeCase):
        return
    if isinstance(case, TokenCase):
        if case.draft.ndim > 1:
            return
        for target, draft in _pairs(case.target, case.draft):
            if case.scheme.distinct and case.scheme.num_drafts > target.size:
                continue
            yield TokenCase(case.name, target, draft, case.scheme, subject.show)
    elif isinstance(case, BlockCase):
        if case.length > 2:
            yield BlockCase(case.name, case.target, case.draft, case.length - 2, subject.show)
        for target, draft in _tables(case.target, case.draft):
            yield BlockCase(case.name, target, draft, case.length - 1, subject.show)
    elif isinstance(case, TreeCase):
        for target, draft in _tables(case.target, case.draft):
            widths = tuple(min(width, len(target)) for width in case.widths)
            yield TreeCase(case.name, target, draft, widths, case.how, subject.show)


def _pairs(target: np.ndarray, draft: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """One token fewer, then masses in tenths."""
    if target.size > 2:
        for token in np.argsort(target + draft, kind="stable").tolist():
            one, other = (np.delete(law, token) for law in (target, draft))
            if one.sum() > 0 and other.sum() > 0:
                yield _tenths(one / one.sum()), _tenths(other / other.sum())
                yield one / one.sum(), other / other.sum()
    round_pair = _tenths(target), _tenths(draft)
    if not all(np.allclose(one, other) for one, other in zip(round_pair, (target, draft), strict=True)):
        yield round_pair


def _tables(target: np.ndarray, draft: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows all alike, one token fewer, masses in tenths."""
    size = len(target)
    if not np.allclose(target, target[:1]) or not np.allclose(draft, draft[:1]):
        yield np.tile(target[:1], (size, 1)), np.tile(draft[:1], (size, 1))
    if size > 2:
        for token in range(size - 1, 0, -1):
            one, other = (np.delete(np.delete(rows, token, 0), token, 1) for rows in (target, draft))
            if (one.sum(axis=1) > 0).all() and (other.sum(axis=1) > 0).all():
                one, other = (rows / rows.sum(axis=1, keepdims=True) for rows in (one, other))
                yield np.stack([*map(_tenths, one)]), np.stack([*map(_tenths, other)])
                yield one, other
    rounded = np.stack([*map(_tenths, target)]), np.stack([*map(_tenths, draft)])
    if not all(np.allclose(one, other) for one, other in zip(rounded, (target, draft), strict=True)):
        yield rounded


def _tenths(law: np.ndarray) -> np.ndarray:
    """The nearest law in tenths (largest remainders)."""
    whole = np.floor(law * 10 + 1e-9)
    short = int(np.rint(10 - whole.sum()))
    whole[np.argsort(whole - law * 10, kind="stable")[:short]] += 1
    return whole / 10
