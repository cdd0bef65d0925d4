"""List tasks whose parallel-decoding floor has a closed form: from copying, which costs nothing, to shuffling.

The prompt holds a list of n different items (and a new one, or an index), the answer is a list. Given the prompt the
total correlation of the answer, with all of it decoded at once, is [parallelbench]

* copy, replace at an index: the answer is certain, C = 0;
* replace at a random index: ``n h(1/n) - log n = (n - 1) log(n / (n - 1))``, at most 1 nat, h the binary entropy;
* insert at a random index: ``sum_{i=0..n} H(1/(n+1), i/(n+1), (n-i)/(n+1)) - log(n+1)``;
* remove at a random index: ``sum_{i=1..n-1} h(i/n) - log n``;
* shuffle: ``n log n - log n!``, about n nats.

Theorem (shuffle in T steps). Only the sizes of the steps matter: a step of s of the m items left costs
``s log m - log(m! / (m-s)!)``, so a schedule costs ``sum_t s_t log m_t - log n!``. As n grows, the best cost per item
tends to ``a_T`` with ``a_1 = 1`` and ``a_T = 1 - exp(-a_{T-1})``, and the first of T steps leaves the share
``exp(-a_{T-1})`` of the items to the others. Steps of one size are *not* the best: with two steps the first takes 63 %
of the items (1 - 1/e), not half of them. (A first step that leaves the share r costs ``r log r + 1 - r`` per item, the
others ``a_{T-1} r``; the sum is least where ``log r = -a_{T-1}``.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations
from typing import Any

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, TooLarge, UnknownName
from otspec.core.names import did_you_mean
from otspec.neighbours.parallel import Text

TASKS = ("copy", "replace_index", "replace_random", "insert_random", "remove_random", "shuffle")
MAX_OUTCOMES = 400_000


def list_task(name: str, n: int) -> Text:
    """Law of the answer of a task on the list ``0 .. n-1``; the new item is ``n``.

    Parameters
    ----------
    name : str
        One of `TASKS`.
    n : int
        Items, at least 2.

    Returns
    -------
    Text

    Raises
    ------
    UnknownName, BadArgument, TooLarge

    Examples
    --------
    >>> list_task("replace_random", 2).outcomes
    array([[2, 1],
           [0, 2]])
    """
    items = list(range(_checked(name, n)))
    if name == "shuffle" and math.factorial(n) > MAX_OUTCOMES:
        raise TooLarge(f"n: {n} items have {math.factorial(n):.3g} orders, more than {MAX_OUTCOMES}. "
                       f"Fix: the closed forms one_step and shuffle_schedule.", math.factorial(n))
    makers: dict[str, Callable[[], list[Any]]] = {
        "copy": lambda: [items],
        "replace_index": lambda: [[n, *items[1:]]],
        "replace_random": lambda: [[*items[:i], n, *items[i + 1 :]] for i in items],
        "insert_random": lambda: [[*items[:i], n, *items[i:]] for i in range(n + 1)],
        "remove_random": lambda: [[*items[:i], *items[i + 1 :]] for i in items],
        "shuffle": lambda: list(permutations(items)),
    }
    answers = makers[name]()
    return Text(np.array(answers), np.full(len(answers), 1.0 / len(answers)))


def one_step(name: str, n: int) -> float:
    """Floor of a task in nats when the whole answer is decoded at once, in closed form.

    Parameters
    ----------
    name, n
        As in `list_task`.

    Examples
    --------
    >>> one_step("copy", 5), round(one_step("shuffle", 2) / math.log(2), 12)
    (0.0, 1.0)
    """
    n = _checked(name, n)
    if name == "replace_random":
        return (n - 1) * math.log(n / (n - 1))
    if name == "insert_random":
        return sum(_entropy(1, i, n - i) for i in range(n + 1)) - math.log(n + 1)
    if name == "remove_random":
        return sum(_entropy(i, n - i) for i in range(1, n)) - math.log(n)
    if name == "shuffle":
        return n * math.log(n) - math.lgamma(n + 1)
    return 0.0


def shuffle_schedule(n: int, steps: int) -> tuple[float, list[int]]:
    """Lowest floor of a shuffle in so many steps, and the sizes of the steps, by dynamic programming.

    Parameters
    ----------
    n : int
        Items.
    steps : int
        At most n.

    Returns
    -------
    (float, list of int)
        Nats, and the number of items of every step.

    Examples
    --------
    >>> shuffle_schedule(6, 2)[1]
    [4, 2]
    """
    if check_positive("steps", steps) > check_positive("n", n):
        raise BadArgument(f"steps: {steps}, but the list has {n} items. Fix: at most one step per item.")
    # best[m]: lowest sum of s_t log m_t for m items left; sizes[m]: the first step that attains it
    logs = np.log(np.maximum(np.arange(n + 1), 1))
    best, firsts = np.arange(n + 1) * logs, []
    for done in range(1, steps):
        sizes, after = np.zeros(n + 1, dtype=np.int64), np.full(n + 1, np.inf)
        for m in range(done + 1, n + 1):
            ways = np.arange(1, m - done + 1) * logs[m] + best[m - 1 : done - 1 : -1]
            sizes[m] = 1 + np.argmin(ways)
            after[m] = ways[sizes[m] - 1]
        best = after
        firsts.append(sizes)
    shape, left = [], n
    for sizes in reversed(firsts):
        shape.append(int(sizes[left]))
        left -= shape[-1]
    return max(0.0, float(best[n]) - math.lgamma(n + 1)), [*shape, left]


def shuffle_rate(steps: int) -> float:
    """Limit of the lowest floor per item of a long list in so many steps, in nats.

    Examples
    --------
    >>> shuffle_rate(1), round(shuffle_rate(2), 6)
    (1.0, 0.632121)
    """
    rate = 1.0
    for _ in range(check_positive("steps", steps) - 1):
        rate = -math.expm1(-rate)
    return rate


def _checked(name: str, n: int) -> int:
    if name not in TASKS:
        raise UnknownName(f"name: {name!r} is none of {', '.join(map(repr, TASKS))}.{did_you_mean(name, TASKS)}")
    if check_positive("n", n) < 2:
        raise BadArgument("n: a list of 1 item has no order. Fix: n=2 or more.")
    return int(n)


def _entropy(*weights: float) -> float:
    """Entropy in nats of the law proportional to weights."""
    total = sum(weights)
    return -sum(w / total * math.log(w / total) for w in weights if w)
