"""How long a bound will take, from the first contexts of the very work.

The first context may compile or fill caches, so the second one says what one costs; of a single context nothing is
said. With a time limit the rest is not begun if it would end after it: work that is refused has cost two contexts,
and a file of results keeps those.
"""

from __future__ import annotations

import numbers
import sys
import time
from typing import Any

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge

PIECE = 2  # contexts after which the rest is estimated
WORTH_SAYING = 5.0  # seconds


class Clock:
    """Watches the contexts of one request.

    Parameters
    ----------
    left : int
        Contexts to do.
    limit : float, optional
        Seconds that all of them may take.
    """

    def __init__(self, left: int, limit: float | None) -> None:
        number = isinstance(limit, numbers.Real) and not isinstance(limit, bool)
        if limit is not None and not (number and limit > 0):
            raise BadArgument(f"time_limit: {limit!r} is no positive number of seconds. Fix: time_limit=60, say.")
        self._left, self._limit, self._done = left, limit, 0
        self._start = self._last = time.perf_counter()

    def tick(self, bar: Any) -> None:
        """Count one context; after the first piece say how long the rest takes, or refuse it.

        Raises
        ------
        TooLarge
            The rest would end after the limit, by the seconds that the last context took.
        """
        now = time.perf_counter()
        self._done, each, self._last = self._done + 1, now - self._last, now
        rest = self._left - self._done
        if self._done != PIECE or not rest:
            return
        seconds = each * rest
        if self._limit is not None and now - self._start + seconds > self._limit:
            fit = self._done + max(0, int((self._limit - (now - self._start)) / each))
            raise TooLarge(f"time_limit: {self._left} contexts need about {now - self._start + seconds:.3g} s at "
                           f"{each:.2g} s each, {self._limit:.3g} s are allowed. Fix: contexts={fit}, fewer samples, "
                           f"or a larger time_limit.", now - self._start + seconds)
        if seconds >= WORTH_SAYING and not bar.disable:
            bar.write(f"path_bound: {rest} more contexts, about {told(seconds)}", file=sys.stderr)


def told(seconds: float) -> str:
    """Duration for people.

    Examples
    --------
    >>> told(95.2), told(7.4)
    ('1 min 35 s', '7 s')
    """
    minutes, rest = divmod(check_positive("seconds", max(1, round(seconds))), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
