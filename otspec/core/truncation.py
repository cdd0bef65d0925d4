"""Top-k and top-p: which tokens stay, decided as if the whole law were sorted, without sorting it.

NumPy arrays and torch tensors on the CPU take compiled passes over each row (`otspec.core.largest_rows`). Elsewhere
only the head is ranked, and the host is asked once how long a head suffices. Lower id counts as larger on ties.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_numpy_namespace, is_torch_namespace

from otspec.core.checks import check_positive, check_top_p

Array = Any
THREAD = 2**18  # entries that repay the start of a thread
SHORT = 4  # a head of less than 1/4 of the vocabulary is ranked by itself, a longer one with the rest


def check_cut(top_k: Any, top_p: Any) -> tuple[int | None, float | None]:
    """Return the settings of a truncation as int and float; None where nothing is cut.

    Raises
    ------
    BadArgument
        ``top_k`` is no integer of at least 1, or ``top_p`` no number in (0, 1].
    """
    if top_k is not None:
        top_k = check_positive("top_k", top_k)
    if top_p is not None:
        top_p = check_top_p(top_p)
    return top_k, None if top_p == 1 else top_p


def top_mask(law: Array, count: int) -> Array:
    """Boolean mask ``[*batch V]`` of the ``count`` largest masses; lower id counts as larger, zeros never count."""
    xp = array_namespace(law)
    count = min(count, law.shape[-1])
    if is_numpy_namespace(xp):
        last = -np.partition(-law, count - 1, axis=-1)[..., count - 1 : count]
    else:
        last = _head(xp, law, count)[..., -1:]
    return _first(xp, law, last, count)


def keep_top(law: Array, top_k: int | None, top_p: float | None, *, ours: bool) -> Array:
    """Cut checked laws with checked settings; ``ours`` says that ``law`` may be overwritten.

    Parameters
    ----------
    law : [*batch V]
        float64 or float32; each row sums to one.
    top_k, top_p : from `check_cut`
        Keep the ``top_k`` largest, normalise, then the fewest largest whose sum reaches ``top_p``, and normalise.
    """
    if top_k is not None and top_k >= law.shape[-1]:
        top_k = None
    if top_k is None and top_p is None:
        return law
    xp = array_namespace(law)
    if is_numpy_namespace(xp):
        return _keep_in_rows(law, top_k, top_p, ours, threads=1)
    if is_torch_namespace(xp) and law.device.type == "cpu" and not law.requires_grad:
        return xp.asarray(_keep_in_rows(law.numpy(), top_k, top_p, ours, threads=xp.get_num_threads()))
    if top_k is not None:
        law = _only(xp, law, top_mask(law, top_k))
    return law if top_p is None else _only(xp, law, _nucleus(xp, law, top_p))


def _keep_in_rows(law: np.ndarray, top_k: int | None, top_p: float | None, ours: bool, threads: int) -> np.ndarray:
    # torch hands out arrays that are not aligned to 64 bytes, which costs nothing here; strides would
    law = np.ascontiguousarray(law) if ours and law.flags.writeable else np.array(law, order="C")
    rows = law.reshape(-1, law.shape[-1])
    if top_k is not None:
        _keep_in_threads(rows, top_k, 1.0, threads)
    if top_p is not None:
        for row in np.flatnonzero(_keep_in_threads(rows, 0, top_p, threads)):
            rows[row] = _only(np, rows[row], _nucleus(np, rows[row], top_p))
    return law


def _keep_in_threads(rows: np.ndarray, count: int, mass: float, threads: int) -> np.ndarray:
    """`keep_largest` on as many threads as the library of the laws uses for a softmax of this size."""
    from otspec.core.largest_rows import keep_largest

    threads = min(threads, len(rows), rows.size // THREAD)
    if threads < 2:
        return keep_largest(rows, count, mass)
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda part: keep_largest(part, count, mass), np.array_split(rows, threads))
        return np.concatenate(list(parts))


def _nucleus(xp: Any, law: Array, top_p: float) -> Array:
    """Mask of the fewest largest masses whose sum, taken largest first, reaches ``top_p``."""
    size = law.shape[-1]
    if is_torch_namespace(xp):
        mass = xp.sum(law, axis=-1, dtype=xp.float64)[..., None]
        # the tokens left out have less than mass - top_p together, so one of them is below this; against rounding, less
        within = law >= 0.999 * (mass - top_p) / size
        size = max(1, int(xp.max(xp.sum(xp.astype(within, xp.int64), axis=-1)))) if law.numel() else 1
    ranked = _head(xp, law, size)
    short = xp.cumulative_sum(xp.astype(ranked, xp.float64), axis=-1)[..., :-1] < top_p
    count = 1 + xp.sum(xp.astype(short, xp.int64), axis=-1)[..., None]
    return _first(xp, law, xp.take_along_axis(ranked, count - 1, axis=-1), count)


def _head(xp: Any, law: Array, size: int) -> Array:
    """Return the ``size`` largest masses in descending order, ``[*batch size]``."""
    if is_torch_namespace(xp) and size * SHORT <= law.shape[-1]:
        return law.topk(size, dim=-1).values
    return -xp.sort(-law, axis=-1)[..., :size]


def _first(xp: Any, law: Array, last: Array, count: Any) -> Array:
    """Mask of the ``count`` tokens of at least ``last`` mass that come first in rank; zeros never count."""
    above, level = law > last, law == last
    room = count - xp.sum(xp.astype(above, xp.int64), axis=-1)[..., None]
    return (above | (level & (xp.cumulative_sum(xp.astype(level, xp.int64), axis=-1) <= room))) & (law > 0)


def _only(xp: Any, law: Array, kept: Array) -> Array:
    law = xp.where(kept, law, xp.zeros_like(law))
    return law / xp.sum(law, axis=-1)[..., None]
