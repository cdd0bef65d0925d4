"""Streams of drafted paths: K independent paths after every context, with the laws of both models along them.

The paths are i.i.d. draws from the draft model given the context. Whatever a rule may do with them is thereby a
number that can be computed offline, and all rules can be compared on the same drafts. A batch is given away before
the next one is made, so the memory needed does not grow with the number of contexts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from otspec.core.checks import check_positive
from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.progress import progress_bar
from otspec.core.trace import Trace
from otspec.decode.arguments import as_token_lists, check_seed, check_warp
from otspec.decode.drafters.paths import Paths
from otspec.decode.room import check_room
from otspec.decode.streams import streams
from otspec.recording.along import laws_along

ENTRIES = 1 << 22  # of a batch's laws by default: 32 MB of float64


class PathBatch(NamedTuple):
    """Paths of a batch: ``target_rows [n K L+1 V]``, ``draft_rows [n K L V]`` float64, ``tokens [n K L]`` int64."""

    target_rows: np.ndarray
    draft_rows: np.ndarray
    tokens: np.ndarray


def record_paths(pair: Any, prompts: Trace | Iterable[Any], *, num_paths: int, draft_length: int,
                 temperature: float = 1.0, contexts: int | None = None, seed: int = 0, sets: int = 1,
                 batch_size: int | None = None, progress: bool = False) -> Iterator[PathBatch]:
    """Draw K independent paths after every context and yield the laws along them, batch by batch.

    Parameters
    ----------
    pair : Pair
    prompts : Trace, or iterable of str or of token lists
        Of a trace, the recorded contexts.
    num_paths, draft_length : int
        K paths of L tokens.
    temperature : float
        Of both models.
    contexts : int, optional
        Use so many of the contexts, evenly spaced; default all.
    seed : int
        Each context has its own stream, whatever the batches.
    sets : int
        Independent sets of K paths per context.
    batch_size : int, optional
        Contexts per model call; by default as many as keep their laws within 32 MB.
    progress : bool
        Show a progress bar on a terminal.

    Yields
    ------
    PathBatch
        ``n`` is contexts times ``sets``; the sets of one context stand together.

    Raises
    ------
    BadArgument, NotALaw
        Before any model runs, bad arguments; logits that define no law.
    """
    texts = as_token_lists(pair, prompts.prompts if isinstance(prompts, Trace) else prompts)
    if contexts is not None:
        texts = spread(texts, check_positive("contexts", contexts))
    paths, length = check_positive("num_paths", num_paths), check_positive("draft_length", draft_length)
    repeats, warp, seed = check_positive("sets", sets), check_warp(temperature, None, None), check_seed(seed)
    longest = max(map(len, texts))
    check_room(pair, Paths(paths, length), longest + length)
    size = max(1, ENTRIES // ((2 * length + 1) * paths * repeats * pair.vocab_size)) if batch_size is None else \
        check_positive("batch_size", batch_size)
    return _batches(pair, texts, (paths, length, repeats), warp, seed, size, progress)


def spread(texts: list[Any], count: int) -> list[Any]:
    """``count`` of the texts, evenly spaced.

    Raises
    ------
    BadArgument
        More than there are.
    """
    if count > len(texts):
        raise BadArgument(f"contexts: {count} asked for, {len(texts)} given. Fix: at most {len(texts)}.")
    return [texts[i] for i in np.linspace(0, len(texts) - 1, count).round().astype(int)]


def _batches(pair: Any, texts: list[list[int]], shape: tuple[int, int, int], warp: dict[str, Any], seed: int,
             size: int, progress: bool) -> Iterator[PathBatch]:
    with progress_bar(len(texts), "contexts", progress) as bar:
        for start in range(0, len(texts), size):
            part = texts[start : start + size]
            yield _batch(pair, part, start, shape, warp, seed, max(map(len, texts)) + shape[1])
            bar.update(len(part))


def _batch(pair: Any, texts: list[list[int]], first: int, shape: tuple[int, int, int], warp: dict[str, Any],
           seed: int, longest: int) -> PathBatch:
    paths, length, sets = shape
    drawn = [stream.random(paths * sets * length) for stream in streams(seed, first, len(texts))]
    # a text's numbers lie depth by depth, all its paths side by side
    numbers = np.stack(drawn).reshape(len(texts), length, sets, paths).transpose(0, 2, 1, 3)
    rows = laws_along(pair, texts, Paths(paths, length), warp, numbers.reshape(len(texts) * sets, length * paths),
                      longest, sets)
    return PathBatch(*(array.cpu().numpy() for array in rows))


def shorter(batch: PathBatch, num_paths: int, draft_length: int) -> PathBatch:
    """Paths ``1 .. K`` cut to their first L tokens: again i.i.d. draws, so rules for fewer see the same drafts.

    Raises
    ------
    ShapeMismatch
        More or longer paths than there are.
    """
    _, most, longest = batch.tokens.shape
    if not 0 < num_paths <= most or not 0 < draft_length <= longest:
        raise ShapeMismatch(f"num_paths, draft_length: {num_paths} x {draft_length} of {most} paths of {longest} "
                            f"tokens. Fix: record at least as many and as long.")
    return PathBatch(batch.target_rows[:, :num_paths, : draft_length + 1],
                     batch.draft_rows[:, :num_paths, :draft_length], batch.tokens[:, :num_paths, :draft_length])
