"""What a decoding run has produced so far, on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from otspec.decode.measure import DecodeRun


class Ledger:
    """Texts and counts of every sequence, whatever rows of whatever batch they were decoded in.

    Parameters
    ----------
    count, length : int
        Number of sequences, and most tokens of each.
    stops : frozenset of int
        A text ends after any of these tokens.
    bar : object
        Progress bar, told the number of new tokens.

    Attributes
    ----------
    tokens : list of list of int
        The texts so far.
    ended : list of bool
        Which of them have ended.
    """

    def __init__(self, count: int, length: int, stops: frozenset[int], bar: Any) -> None:
        self._length, self._stops, self._bar = length, stops, bar
        self.tokens: list[list[int]] = [[] for _ in range(count)]
        self.ended = [False] * count
        self._accepted: list[list[int]] = [[] for _ in range(count)]
        self._predicted: list[list[float]] = [[] for _ in range(count)]

    def add(self, sequences: Sequence[int], numbers: np.ndarray, expected: np.ndarray | None) -> np.ndarray:
        """Book a round: for every sequence accepted count, last token and drafts ``[B 2+L]``; return who goes on.

        What is added to a sequence that has ended is not booked.
        """
        going = np.zeros(len(sequences), dtype=bool)
        for row, sequence in enumerate(sequences):
            if self.ended[sequence]:
                continue
            kept, last = int(numbers[row, 0]), int(numbers[row, 1])
            self._accepted[sequence].append(kept)
            if expected is not None:
                self._predicted[sequence].append(float(expected[row]))
            going[row] = self._extend(self.tokens[sequence], [*numbers[row, 2 : 2 + kept].tolist(), last])
            self.ended[sequence] = not going[row]
        return going

    def _extend(self, text: list[int], new: list[int]) -> bool:
        """Add tokens up to the length and the first stop; whether the text goes on."""
        before = len(text)
        text += new[: self._length - before]
        stop = next((place for place in range(before, len(text)) if text[place] in self._stops), None)
        going = stop is None and len(text) < self._length
        if stop is not None:
            del text[stop + 1 :]
        # what a stopped text does not use up counts as done, or the bar would never be full
        self._bar.update((len(text) if going else self._length) - before)
        return going

    def run(self, predict: bool, settings: dict[str, Any], seconds: float,
            timing: dict[str, float] | None = None, peak_bytes: int | None = None) -> DecodeRun:
        """Return all texts; sequences that needed fewer rounds are filled up as ended."""
        accepted = _beside(self._accepted, -1)
        predicted = _beside(self._predicted, 0.0) if predict else None
        return DecodeRun(self.tokens, accepted, predicted, settings, seconds, timing or {}, peak_bytes)

    def finished(self, predict: bool, settings: dict[str, Any], seconds: float) -> DecodeRun:
        """Return the texts that have ended; ``settings["finished"]`` names them."""
        places = [sequence for sequence, ended in enumerate(self.ended) if ended]
        part = Ledger(len(places), self._length, self._stops, self._bar)
        part.tokens, part._accepted = ([of[place] for place in places] for of in (self.tokens, self._accepted))
        part._predicted = [self._predicted[place] for place in places]
        return part.run(predict, settings | {"finished": places}, seconds)


def _beside(columns: list[list[Any]], fill: Any) -> np.ndarray:
    """Columns of different length as one array ``[rounds sequences]``."""
    table = np.full((max(map(len, columns), default=0), len(columns)), fill)
    for place, column in enumerate(columns):
        table[: len(column), place] = column
    return table
