"""Speculative Jacobi decoding of a small Markov model by enumeration: the law of the text, and the target calls.

A state is the text so far, the tokens of the window and their stored laws; every coin of an iteration is summed out.
The Gumbel coupling has no such states, because its noise outlives an iteration; its text is that of the race on the
noise of each position, whatever the window was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge
from otspec.core.markov import MarkovModel
from otspec.neighbours import jacobi

MAX_WORK = 1e7  # states times coins of one iteration, at worst: minutes
Tokens = tuple[int, ...]


@dataclass(frozen=True)
class JacobiLaw:
    """What speculative Jacobi decoding emits, and at what price.

    Attributes
    ----------
    text_law : [V] * length
        Exact law of the emitted text.
    calls_per_token : float
        Expected target calls until ``length`` tokens are emitted, over ``length``.
    """

    text_law: np.ndarray
    calls_per_token: float


def jacobi_law(target_model: MarkovModel, window: int, *, length: int, coupling: str = "maximal",
               fill: str = "random", draft_model: MarkovModel | None = None) -> JacobiLaw:
    """Sum out all coins of `jacobi`.

    Parameters
    ----------
    target_model, window, length, coupling, fill, draft_model
        As in `jacobi`; not the Gumbel coupling.

    Returns
    -------
    JacobiLaw
        ``text_law`` equals ``target_model.text_law(length)`` up to rounding.

    Raises
    ------
    BadArgument, ShapeMismatch, TooLarge

    Examples
    --------
    >>> coin = MarkovModel.memoryless([0.25, 0.75])
    >>> jacobi_law(coin, 1, length=1).text_law
    array([0.25, 0.75])
    """
    jacobi.check_names(coupling, fill)
    if coupling == "gumbel":
        raise BadArgument("coupling: 'gumbel' has continuous noise, and no enumeration. Fix: 'maximal' or "
                          "'independent'; or sample it with jacobi.")
    target, draft = jacobi.checked_models(target_model, fill, draft_model)
    work = _Enumeration(target, draft, check_positive("window", window), check_positive("length", length),
                        coupling, fill)
    return work.run()


class _Enumeration:
    def __init__(self, target: MarkovModel, draft: MarkovModel | None, window: int, length: int, coupling: str,
                 fill: str) -> None:
        self.target, self.draft, self.window, self.length = target, draft, window, length
        self.coupling, self.fill, self.size = coupling, fill, target.vocabulary
        count = float(self.size) ** (target.order + length - 1 + 2 * window + 1)
        if count > MAX_WORK:
            raise TooLarge(f"about {count:.3g} branches, more than {MAX_WORK:.3g}. Fix: fewer tokens, a shorter text "
                           f"or window; or sample with jacobi.", count)
        self.laws: list[np.ndarray] = []  # stored laws by number, so that states can be compared
        self.number: dict[bytes, int] = {}
        self.read: dict[tuple[Tokens, Tokens, Tokens], tuple[np.ndarray, np.ndarray]] = {}

    def run(self) -> JacobiLaw:
        text_law, calls = np.zeros((self.size,) * self.length), 0.0
        states: dict[tuple[Tokens, Tokens, Tokens], float] = defaultdict(float)
        for context, mass in np.ndenumerate(self.target.initial):
            for tokens, laws, chance in self._filled(context, (), (), float(mass)):
                states[context, tokens, laws] += chance
        while states:
            calls += sum(states.values())
            after: dict[tuple[Tokens, Tokens, Tokens], float] = defaultdict(float)
            for (text, tokens, laws), mass in states.items():
                for longer, kept, judged, current, chance in self._emitted(text, tokens, laws, mass):
                    new = longer[self.target.order:]
                    if len(new) >= self.length:
                        text_law[new[: self.length]] += chance
                        continue
                    for window, stored, part in self._carried(longer, kept, judged, current, chance):
                        after[longer, window, stored] += part
            states = after
        return JacobiLaw(text_law, float(calls / self.length))

    def _emitted(self, text: Tokens, tokens: Tokens, laws: Tokens,
                 mass: float) -> Iterator[tuple[Tokens, int, np.ndarray, np.ndarray, float]]:
        """Every text that the next call can leave, with the number kept."""
        judged, current = self._judged(text[-self.target.order:], tokens, laws)
        for kept in range(self.window + 1):
            for token in np.flatnonzero(judged[kept]):
                if kept == self.window or token != tokens[kept]:
                    yield (*text, *tokens[:kept], int(token)), kept, judged, current, mass * judged[kept, token]
            if kept < self.window:
                mass = mass * judged[kept, tokens[kept]]

    def _judged(self, context: Tokens, tokens: Tokens, laws: Tokens) -> tuple[np.ndarray, np.ndarray]:
        """Laws of the new tokens given the stale ones, and without; many texts end in one context."""
        key = context, tokens, laws
        if key not in self.read:
            current = np.stack([self.target.next_law(np.array(context + tokens[:i])) for i in range(self.window + 1)])
            stored = np.stack([self.laws[number] for number in laws])
            self.read[key] = jacobi.judged(np.array(tokens), stored, current), current
        return self.read[key]

    def _carried(self, text: Tokens, kept: int, judged: np.ndarray, current: np.ndarray,
                 mass: float) -> Iterator[tuple[Tokens, Tokens, float]]:
        """Every next window, with its stored laws."""
        stored = tuple(self._numbered(law) for law in current[kept + 1 :])
        rows = judged if self.coupling == "maximal" else current
        windows: list[tuple[Tokens, float]] = [((), mass)]
        for law in rows[kept + 1 :]:
            windows = [((*tokens, int(token)), chance * law[token]) for tokens, chance in windows
                       for token in np.flatnonzero(law)]
        for tokens, chance in windows:
            yield from self._filled(text, tokens, stored, chance)

    def _filled(self, text: Tokens, tokens: Tokens, laws: Tokens,
                mass: float) -> Iterator[tuple[Tokens, Tokens, float]]:
        """The window completed by the fill, token by token."""
        if len(tokens) == self.window:
            yield tokens, laws, mass
            return
        before = text + tokens
        law = jacobi.fill_law(self.fill, np.array(before[-1]), self.size) if self.draft is None else \
            self.draft.next_law(np.array(before))
        number = self._numbered(law)
        for token in np.flatnonzero(law):
            yield from self._filled(text, (*tokens, int(token)), (*laws, number), mass * float(law[token]))

    def _numbered(self, law: np.ndarray) -> int:
        key = law.tobytes()
        if key not in self.number:
            self.number[key] = len(self.laws)
            self.laws.append(law)
        return self.number[key]
