"""Names that are misspelt: the known one that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def did_you_mean(name: Any, known: Iterable[Any]) -> str:
    """Sentence that names what a misspelt name is nearest to, after a blank; empty where nothing is near.

    Case, blanks, hyphens and underscores do not count.

    Examples
    --------
    >>> did_you_mean("K-Seq", ["naive", "k_seq"]), did_you_mean("xyz", ["naive", "k_seq"])
    (" Did you mean 'k_seq'?", '')
    """
    def plain(text: str) -> str:
        return "".join(letter for letter in text.lower() if letter.isalnum())

    names = {plain(one): one for one in known if isinstance(one, str) and one != name}  # it was not meant as written
    near = difflib.get_close_matches(plain(name), names, n=1) if isinstance(name, str) else []
    return f" Did you mean {names[near[0]]!r}?" if near else ""
