"""Names that are misspelt: the known one that was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """The question that ends a message about an unknown name; empty where no known name is like it.

    Examples
    --------
    >>> did_you_mean("tokn", ["token", "block"])
    " Did you mean 'token'?"
    >>> did_you_mean("tokn", ["block"])
    ''
    """
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
