"""Seconds of the parts of a decoding round, measured with the decoder itself, round by round.

A batch of texts is decoded with all its texts alive; the first rounds, which fill caches and compile, are not counted.
All batch sizes and draft lengths are measured by turns, several times over, so that a machine that is busy for a while
is so for all of them, and the medians over rounds are what `TimeModel.fit` reads.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_positive, seed_after
from otspec.core.errors import BadArgument
from otspec.core.progress import progress_bar
from otspec.core.table import Table
from otspec.decode.arguments import as_token_lists, check_seed, check_warp
from otspec.decode.ledger import Ledger
from otspec.decode.loop import _Batch
from otspec.decode.method import method
from otspec.decode.model_laws import ModelLaws
from otspec.decode.room import Room, check_room
from otspec.decode.stopwatch import Stopwatch

WARM = 2  # rounds that are not counted


class Round(NamedTuple):
    """Seconds of a round's parts, the tokens that it emitted for all texts, and those that stood before it."""

    draft: float
    target: float
    round: float
    tokens: int
    context: int

    @property
    def seconds(self) -> float:
        """Of the whole round."""
        return self.draft + self.target + self.round


def timed_rounds(pair: Any, prompts: Iterable[Any], *, batch_size: int, draft_length: int, verifier: Any = "block",
                 rounds: int = 12, temperature: float = 1.0, seed: int = 0,
                 clock: Callable[[], float] = time.perf_counter) -> list[Round]:
    """Decode rounds of a batch that stays full, and time each.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
        Repeated until there are ``batch_size``.
    batch_size : int
    draft_length : int
        0 samples from the target alone.
    verifier : str or verifier
        For one path.
    rounds : int
    temperature : float
    seed : int
    clock : callable
        ``time.process_time`` counts what this process computes while others keep the machine busy; with one thread
        and a free core it is the wall time.

    Returns
    -------
    list of Round

    Raises
    ------
    BadArgument, TooLarge, SchemeMismatch
    """
    texts = as_token_lists(pair, prompts)
    size, count = check_positive("batch_size", batch_size), check_positive("rounds", rounds)
    drafts, judge = method(verifier if draft_length else None, 1, draft_length)
    most = (WARM + count) * (draft_length + 1) + 1
    texts = [texts[i % len(texts)] for i in range(size)]
    longest = max(map(len, texts)) + most
    check_room(pair, drafts, longest)
    room = Room.of(pair, drafts, longest)
    room.batch(size, size)
    timed = []
    with progress_bar(1, "tokens", False) as bar, _inference():
        ledger = Ledger(size, most, frozenset(), bar)
        warp = check_warp(temperature, None, None)
        batch = _Batch(pair, drafts, judge, texts, ledger, [ModelLaws(which, warp) for which in ("target", "draft")],
                       (check_seed(seed), 0), size, room, False, Stopwatch(pair.device, clock))
        batch._admit(list(range(size)))
        for number in range(WARM + count):
            before = sum(map(len, batch.texts))
            batch.clock = Stopwatch(pair.device, clock)
            batch._leave(batch._round())
            split = batch.clock.split()
            if number >= WARM:
                timed.append(Round(split["draft"], split["target"], split["rule"] + split["bookkeeping"],
                                   sum(map(len, batch.texts)) - before, before))
    return timed


def measure_steps(pair: Any, prompts: Iterable[Any], *, batch_sizes: Sequence[int] = (1, 4, 16, 48),
                  draft_lengths: Sequence[int] = (0, 2, 6), verifier: Any = "block", rounds: int = 8, repeats: int = 3,
                  seed: int = 0, clock: Callable[[], float] = time.perf_counter, progress: bool = False) -> Table:
    """Median seconds of draft steps, target calls and what surrounds them, at several sizes.

    Parameters
    ----------
    pair : Pair
    prompts : iterable of str or of token lists
        Of the length of the texts to be decoded: caches cost time, too.
    batch_sizes, draft_lengths : sequence of int
        At least two different batch sizes, and one length above 0; best such that what is to be predicted lies
        between them.
    verifier : str or verifier
    rounds, repeats : int
        Rounds per visit, and visits of every size.
    seed : int
    clock : callable
        See `timed_rounds`.
    progress : bool

    Returns
    -------
    Table
        Columns ``part`` ("draft": one step, "target": one call, "round": all else), ``batch_size, draft_length``,
        ``tokens`` (that the step handled), ``context`` (tokens of all texts before it),
        ``seconds`` (median), ``least`` and ``rounds``; for `TimeModel.fit`.

    Raises
    ------
    BadArgument, TooLarge, SchemeMismatch
    """
    texts = as_token_lists(pair, prompts)
    if len(set(batch_sizes)) < 2 or max(draft_lengths, default=0) < 1:
        raise BadArgument(f"batch_sizes, draft_lengths: {tuple(batch_sizes)} and {tuple(draft_lengths)}. Fix: at least "
                          f"two batch sizes and one length above 0, such as (1, 8, 32) and (0, 4).")
    sizes = [(batch, length) for batch in batch_sizes for length in draft_lengths]
    found: dict[tuple[int, int], list[Round]] = defaultdict(list)
    with progress_bar(check_positive("repeats", repeats) * len(sizes), "sizes", progress) as bar:
        for visit in range(repeats):
            for batch, length in sizes:
                found[batch, length] += timed_rounds(pair, texts, batch_size=batch, draft_length=length,
                                                     verifier=verifier, rounds=rounds, clock=clock,
                                                     seed=seed_after(seed, visit))
                bar.update(1)
    return Table([row for size, timed in found.items() for row in step_rows(*size, timed)],
                 {"target": pair.target_name, "draft": pair.draft_name, "device": str(pair.device),
                  "repeats": repeats, "rounds": rounds, "seed": seed})


def step_rows(batch: int, length: int, timed: Sequence[Round]) -> Iterator[dict[str, Any]]:
    """Rows of `measure_steps` of one batch size and one draft length."""
    scored = batch * (length + 1)
    parts = {"draft": (batch, length), "target": (scored, 1), "round": (scored, 1)}
    for part, (tokens, steps) in parts.items():
        if steps:
            seconds = np.array([getattr(one, part) for one in timed]) / steps
            yield {"part": part, "batch_size": batch, "draft_length": length, "tokens": tokens,
                   "context": float(np.mean([one.context for one in timed])),
                   "seconds": float(np.median(seconds)), "least": float(seconds.min()), "rounds": len(timed)}


@contextmanager
def _inference() -> Iterator[None]:
    import torch

    with torch.inference_mode():
        yield


__all__ = ["Round", "measure_steps", "step_rows", "timed_rounds"]
