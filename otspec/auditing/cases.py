"""Cases of an audit: drafts, the answers they allow, and the law that the answers must have.

A case is a list of questions with the chance of each, one question for every way the drafts can fall, and the law of
what must come out. Tokens: the emitted token has the target's law. Texts (blocks and trees): the tokens emitted by one
call, completed by the target model, have the target's law of texts; the completion is a fact of the theory, a rule
that carries nothing from call to call is lossless exactly if it holds.

Laws are first written as the audited function will see them (float32, bfloat16, logits), and what must come out is
the law that those numbers stand for. Rounding of inputs is therefore nobody's mistake; rounding afterwards is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from otspec.core.drafters import Joint
from otspec.core.schemes import DraftScheme, WithReplacement
from otspec.core.tree import DraftTree

Array = Any
Answer = tuple[int, ...]
#: (a law, "target" or "draft") to the law as the audited function gets it, and the law (float64) that this stands for
Shown = Callable[[np.ndarray, str], tuple[Array, np.ndarray]]


class Question(NamedTuple):
    """What one call is asked: laws as the function gets them, drafts, and for trees the drafted tree."""

    target: Array
    draft: Array
    tokens: np.ndarray
    tree: DraftTree | None = None


class BadAnswer(Exception):
    """An answer that no verification rule can give; the message says why."""


class Case(ABC):
    """Questions, their chances, and the law of the outcome.

    Attributes
    ----------
    name : str
    law : [*cells]
        Law that the outcomes must have.
    listed : list of Question
        All of them; empty where there are too many.
    chance : [Q]
        Of each question that is listed.
    target, draft : arrays
        The laws, float64: ``[V]`` each of a token, ``[V V]`` rows after each token of a text.
    """

    name: str
    law: np.ndarray
    listed: list[Question]
    chance: np.ndarray
    target: np.ndarray
    draft: np.ndarray

    @property
    def enumerable(self) -> bool:
        """Whether all questions are listed."""
        return bool(self.listed)

    @property
    def readings(self) -> list[np.ndarray]:
        """Laws of everything that is read from an outcome: itself, and each axis alone where it has several."""
        return self.read(self.law)

    def read(self, counts: np.ndarray) -> list[np.ndarray]:
        """Counts ``[n *cells]`` or ``[*cells]``, of the outcomes and of each axis alone, cells in the last axis."""
        axes = range(-self.law.ndim, 0)
        lead = counts.shape[: counts.ndim - self.law.ndim]
        whole = counts.reshape(*lead, -1)
        if self.law.ndim == 1:
            return [whole]
        return [whole, *(counts.sum(axis=tuple(other for other in axes if other != axis)) for axis in axes)]

    def questions(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[Question]]:
        """``count`` questions, each with its number (or -1), drawn as the drafts are."""
        numbers = choose(self.chance, rng, count)
        return numbers, [self.listed[number] for number in numbers]

    @abstractmethod
    def outcome(self, number: int, answer: Answer, question: Question | None = None) -> np.ndarray:
        """Law of the outcome ``[*cells]`` after an answer.

        Raises
        ------
        BadAnswer
        """

    @abstractmethod
    def kept(self, number: int, answer: Answer, question: Question | None = None) -> int:
        """Drafted tokens that an answer keeps."""

    @property
    def optimum(self) -> float | None:
        """Largest mean of `kept` that any lossless rule can reach, or an upper bound on it; None where unknown."""
        return None


def drafter(scheme: DraftScheme, draft: np.ndarray) -> np.ndarray | None:
    """Draft argument of a scheme, made from one law: different drafters get rolled copies of it."""
    if isinstance(scheme, Joint):
        return None
    if scheme.draft_axes:
        return np.stack([np.roll(draft, place) for place in range(scheme.num_drafts)])
    return draft


class TokenCase(Case):
    """One position: drafts of a scheme, one emitted token."""

    def __init__(self, name: str, target: np.ndarray, draft: np.ndarray, scheme: DraftScheme, show: Shown) -> None:
        self.name, self.scheme = name, scheme
        self._target, self.target = show(target, "target")
        self._draft, self.draft = show(draft, "draft")
        self.law = self.target
        self.tokens, self.chance = scheme.lists(self.draft)
        self.listed = [Question(self._target, self._draft, tokens) for tokens in self.tokens]

    def outcome(self, number: int, answer: Answer, question: Question | None = None) -> np.ndarray:
        """One token for certain."""
        return np.eye(self.law.size)[token_of(answer, self.law.size)]

    def kept(self, number: int, answer: Answer, question: Question | None = None) -> int:
        """Whether the token is one of the drafts."""
        return int(answer[0] in self.tokens[number])

    @property
    def optimum(self) -> float | None:
        """Largest acceptance; None for a scheme that the package has no optimum for."""
        return _optimum(self.target, self.draft, self.scheme)


class LargeCase(Case):
    """One position of a vocabulary of the size of a real model: the emitted token is read in 16 groups.

    The groups have equal target mass in the order of ``target/draft``, lower and upper half of the ids apart, so that
    a leaning towards the drafts and a cut in the ids are both seen; tokens without target mass are a group more.
    """

    def __init__(self, name: str, target: np.ndarray, draft: np.ndarray, scheme: DraftScheme, show: Shown) -> None:
        self.name, self.scheme = name, scheme
        self._target, self.target = show(target, "target")
        self._draft, self.draft = show(draft, "draft")
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(self.target > 0, self.target / self.draft, np.inf)
        order = np.argsort(ratio, kind="stable")
        rank = np.empty(order.size)
        rank[order] = np.cumsum(self.target[order])
        half = (np.arange(order.size) >= order.size // 2).astype(np.int64)
        self._group = np.minimum((rank * 8).astype(np.int64), 7) * 2 + half
        self._group[self.target == 0] = 16
        self.law = np.bincount(self._group, weights=self.target, minlength=17)
        self._below = np.cumsum(self.draft)
        self.listed, self.chance = [], np.zeros(0)

    def questions(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[Question]]:
        """Drawn by the scheme."""
        drafts = self.scheme.num_drafts
        if isinstance(self.scheme, WithReplacement):
            tokens = np.searchsorted(self._below, rng.random((count, drafts)) * self._below[-1], side="right")
        else:
            tokens = np.stack([self.scheme.sample(self.draft, rng.random(self.scheme.num_uniforms))
                               for _ in range(count)])
        return np.full(count, -1), [Question(self._target, self._draft, row) for row in tokens]

    def outcome(self, number: int, answer: Answer, question: Question | None = None) -> np.ndarray:
        """The group of the token."""
        return np.eye(17)[self._group[token_of(answer, self.target.size)]]

    def kept(self, number: int, answer: Answer, question: Question | None = None) -> int:
        """Whether the token is one of the drafts."""
        return int(question is not None and answer[0] in question.tokens)

    @property
    def optimum(self) -> float | None:
        """Largest acceptance; None for a scheme that the package has no optimum for."""
        return _optimum(self.target, self.draft, self.scheme)


def _optimum(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> float | None:
    from otspec.core.errors import OtspecError
    from otspec.transport.bounds import optimal_acceptance

    try:
        return float(optimal_acceptance(target, draft, scheme))
    except OtspecError:
        return None


def token_of(answer: Answer, size: int) -> int:
    """The one token of an answer.

    Raises
    ------
    BadAnswer
    """
    if len(answer) != 1:
        raise BadAnswer(f"{len(answer)} tokens where one is asked for")
    if not 0 <= answer[0] < size:
        raise BadAnswer(f"what is emitted, {answer[0]}, is no token of the vocabulary of {size}")
    return answer[0]


def choose(chance: np.ndarray, rng: np.random.Generator, count: int) -> np.ndarray:
    """Numbers ``[count]`` drawn by their chances, none of them impossible."""
    below = np.cumsum(chance)
    level = rng.random(count) * below[-1]
    return np.minimum(np.searchsorted(below, level, side="right"), int(np.flatnonzero(chance)[-1]))


def tally(case: Case, seen: Mapping[tuple[int, Answer], float], rng: np.random.Generator | None) -> np.ndarray:
    """Outcomes ``[*cells]`` of answers seen so often: completed at random, or, without ``rng``, by their law."""
    counts = np.zeros(case.law.shape)
    for (number, answer), times in seen.items():
        law = case.outcome(number, answer)
        if rng is None or law.max() == 1.0:
            counts += times * law
        else:
            counts += rng.multinomial(int(times), law.ravel() / law.sum()).reshape(law.shape)
    return counts


