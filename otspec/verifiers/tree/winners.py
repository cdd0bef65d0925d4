"""Winner among the drafts of one node: its law, and its chances given the drafts.

The convex-hull sampler (`otspec.transport.sampler.hull`) picks one of n drafts so that the pick has a given winner law
L. Three laws are offered: ``universal`` (best at every scale of the target, which is what a rule with weights needs),
``minimal`` (best at scale one) and ``vertex`` (always the draft of largest target/draft ratio).
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from otspec.core.errors import BadArgument
from otspec.core.names import did_you_mean

Array = Any
LAWS = ("universal", "minimal", "vertex")
CACHED = 512  # longest vocabulary of which prepared rows are kept: exact analysis asks for few rows, many times


class Played(NamedTuple):
    """What rows of laws and a number of drafts fix; curves ``[*batch V+1]`` in the order of target/draft."""

    law: Array  # [*batch V] by token
    rank: Array  # [*batch V] place of each token in that order
    draft: Array  # [*batch V] sorted
    x: Array
    winner: Array
    capacity: Array


def check_law(kind: str) -> str:
    """Return the name of a winner law.

    Raises
    ------
    BadArgument
    """
    if kind not in LAWS:
        raise BadArgument(f"law: {kind!r} is none of {', '.join(LAWS)}."
                          f"{did_you_mean(kind, LAWS)} Fix: name one of them.")
    return kind


def game(target: np.ndarray, draft: np.ndarray, draws: int, *, race: bool = False, kind: str = "universal") -> Played:
    """Prepare one row ``[V]`` of laws for ``draws`` drafts, independent or (``race``) without replacement."""
    if target.size > CACHED:
        return _prepare(target, draft, draws, race, kind)
    return _prepare_cached(target.tobytes(), draft.tobytes(), draws, race, kind)


@lru_cache(maxsize=4096)
def _prepare_cached(target: bytes, draft: bytes, draws: int, race: bool, kind: str) -> Played:
    return _prepare(np.frombuffer(target), np.frombuffer(draft), draws, race, kind)


def _prepare(target: Array, draft: Array, draws: int | Array, race: bool, kind: str, most: int | None = None) -> Played:
    from otspec.transport.winner.laws import cumulative
    from otspec.transport.winner.sorted_laws import sort_laws

    prepared = sort_laws(target, draft, draws, race=race, most=most)
    law = prepared.law(kind)
    law = law / array_namespace(law).sum(law, axis=-1, keepdims=True)
    return Played(prepared.by_token(law), prepared.rank, prepared.draft, cumulative(prepared.draft), cumulative(law),
                  prepared.capacity)


def odds(played: Played, tokens: np.ndarray, *, race: bool = False) -> np.ndarray:
    """Chance of each draft ``[n]`` to win, given all of them in drawing order; copies share theirs equally."""
    from otspec.transport.sampler.hull import winner_conditional_race, winner_conditional_replacement

    if len(tokens) == 1:
        return np.ones(1)
    ranks = played.rank[tokens]
    if race:
        return winner_conditional_race(played.draft, played.x, played.winner, played.capacity, ranks)
    return winner_conditional_replacement(played.x, played.winner, played.capacity, ranks)


def survivor_sets(played: Played, tokens: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Sets of independent drafts that the top cell of the hull may hold: chance, and mask ``[n]``."""
    from otspec.transport.sampler.hull import merge_tree

    ranks = played.rank[tokens]
    top = int(ranks.max())
    death = merge_tree(played.x, played.winner, played.capacity)
    joins = np.array([min(1.0, death[rank + 1 : top + 1].max(initial=0.0)) for rank in ranks])
    breaks = np.append(np.unique(joins), 1.0)
    return [(float(stop - start), joins <= start) for start, stop in pairwise(breaks)]


def top_cells(target: Array, draft: Array, tokens: Array, t: Array, *, kind: str = "universal") -> tuple[Array, Array]:
    """Drafts in the top cell ``[B n]`` and the winner law ``[B V]``, for independent drafts on any device.

    Parameters
    ----------
    target, draft : [B V]
    tokens : [B n] int
        -1 for a draft that is absent; one at least is present in each row.
    t : [B]
        Numbers in [0, 1).
    """
    from otspec.core.host import on_host
    from otspec.transport.sampler.hull import winning_cell
    from otspec.transport.winner.laws import remaining

    xp = array_namespace(target, draft)
    p, q = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    p, q = p / xp.sum(p, axis=-1)[:, None], q / xp.sum(q, axis=-1)[:, None]
    if on_host(target):
        p, q, tokens, t = (np.asarray(a) for a in (p, q, tokens, t))
    here = array_namespace(p)
    present = tokens >= 0
    played = _prepare(p, q, here.sum(here.astype(present, here.int64), axis=-1), False, kind, tokens.shape[1])
    ranks = here.take_along_axis(played.rank, here.where(present, tokens, here.zeros_like(tokens)), axis=-1)
    ranks = here.where(present, ranks, -here.ones_like(ranks))
    start, _ = winning_cell(played.x, played.winner, played.capacity, t, here.max(ranks, axis=-1),
                            above=remaining(played.draft))
    return xp.asarray(ranks >= start[:, None]), xp.asarray(played.law)
