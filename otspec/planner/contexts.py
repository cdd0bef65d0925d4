"""Contexts to plan on and contexts to test on, which share no text.

The best of many methods looks better on the contexts that chose it than it is. So a method is chosen on calibration
contexts, and what is reported of it is measured on held-out ones. Two contexts of which one begins the other count as
one text and stay on one side.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from otspec.core.errors import BadArgument

FEWEST = 16  # contexts of each side: standard errors of fewer say little
SHARE = 3  # one context in three calibrates
Texts = Sequence[Sequence[int]]


class Contexts(NamedTuple):
    """Token lists to calibrate on, and held-out ones."""

    calibration: list[list[int]]
    held_out: list[list[int]]


def split(texts: Texts, calibration: Texts | None = None) -> Contexts:
    """Divide contexts into the two sides.

    Parameters
    ----------
    texts : sequence of token lists
        All contexts, or the held-out ones where ``calibration`` is given.
    calibration : sequence of token lists, optional

    Raises
    ------
    BadArgument
        Too few on one side; a held-out context that shares its text with a calibration context.

    Examples
    --------
    >>> sides = split([[n, 7] for n in range(48)])
    >>> len(sides.calibration), len(sides.held_out)
    (16, 32)
    """
    if calibration is not None:
        sides = Contexts([list(text) for text in calibration], [list(text) for text in texts])
        _check_apart(sides)
    else:
        groups = _groups(texts)
        sides = Contexts([text for group in groups[::SHARE] for text in group],
                         [text for place, group in enumerate(groups) if place % SHARE for text in group])
    for name, side in (("calibration", sides.calibration), ("held-out", sides.held_out)):
        if len(side) < FEWEST:
            given = f"{len(texts)} contexts leave" if calibration is None else "there are"
            raise BadArgument(f"prompts: {given} {len(side)} {name} contexts, a standard error needs at least {FEWEST}."
                              f" Fix: give at least {SHARE * FEWEST} different contexts.")
    return sides


def _groups(texts: Texts) -> list[list[list[int]]]:
    """Contexts that share their text together, in the order in which they were given."""
    first: dict[tuple[int, ...], int] = {}
    for place, text in enumerate(texts):
        first.setdefault(tuple(text), place)
    groups: list[tuple[int, list[list[int]]]] = []
    head: tuple[int, ...] | None = None
    for text in sorted(first):  # a text stands before those that it begins
        if head is not None and text[: len(head)] == head:
            groups[-1] = (min(groups[-1][0], first[text]), [*groups[-1][1], list(text)])
        else:
            groups.append((first[text], [list(text)]))
            head = text
    return [members for _, members in sorted(groups, key=lambda group: group[0])]


def _check_apart(sides: Contexts) -> None:
    for these, those, what in ((sides.calibration, sides.held_out, "calibration"),
                               (sides.held_out, sides.calibration, "held-out")):
        begun = {tuple(text) for text in these}
        lengths = sorted({len(text) for text in begun})
        for place, text in enumerate(those):
            if any(tuple(text[:length]) in begun for length in lengths if length <= len(text)):
                other = "prompts" if what == "calibration" else "calibration"
                raise BadArgument(f"{other}[{place}]: begins with a {what} context, so the test would see what was "
                                  f"fitted. Fix: contexts from other documents, or leave calibration out, and the "
                                  f"contexts are divided here.")
