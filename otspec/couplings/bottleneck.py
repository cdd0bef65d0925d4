"""Minimum-entropy coupling with a bottleneck: an output of a given law is made from a short description. [mec-b].

A source ``X`` with law p is encoded as ``T = f(X)`` with ``H(T) <= rate``; an output ``Y`` with law q is decoded from
T alone. Wanted is the largest ``I(X; Y)``. Because f is deterministic, ``I(X; T) = H(T)``, and because Y sees T only,
``I(X; Y) = I(T; Y) = H(T) + H(Y) - H(T, Y)``: the encoder is a partition of the tokens with entropy as large as the
rate allows, the decoder a coupling of the laws of T and Y with the least entropy.

*Greedy encoder*: merge the two smallest masses again and again; of all pairs these lose least of ``I(X; T)``,
``(a + b) h(a / (a + b))``. *Exact encoder*: all partitions of a small support. Of the descriptions within the rate, the
one that leaves most information after decoding is taken. Between the rates of two partitions nothing deterministic is
gained, so the curve of information over rate is a staircase.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from otspec.core.checks import as_law, check_number
from otspec.core.coupling import exact_pair
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.core.host import to_host
from otspec.core.names import did_you_mean
from otspec.core.table import Table
from otspec.couplings.entropy import Cells, MinimumEntropy, entropy

Array = Any
ENCODERS = ("greedy", "exact")
LARGEST_SUPPORT = 7  # 877 partitions, each decoded
ROUNDING = 1e-12  # of an entropy that should equal the rate


@dataclass(frozen=True)
class Bottleneck:
    """A description of a source, and an output made from it.

    Attributes
    ----------
    code : [V] int64
        Part of every source token; -1 for tokens without mass.
    code_law : [parts]
    output : Cells
        Joint law of the output's token (``target``) and the part (``draft``).
    rate, information : float
        ``H(T) = I(X; T)`` and ``I(X; Y)``, in bits.
    """

    code: np.ndarray
    code_law: np.ndarray
    output: Cells
    rate: float
    information: float


def entropy_bottleneck(source: Array, output: Array, rate: float, *, encoder: str = "greedy") -> Bottleneck:
    """Describe a source within a rate, and couple an output to the description with the least entropy.

    Parameters
    ----------
    source, output : [V]
        Laws p of the source and q of the output.
    rate : float
        Largest entropy of the description, in bits; 0 allows none, infinity all.
    encoder : {"greedy", "exact"}

    Returns
    -------
    Bottleneck

    Raises
    ------
    BadArgument
        A negative rate, an unknown encoder.
    TooLarge
        ``"exact"`` beyond 7 tokens with mass.

    Examples
    --------
    >>> found = entropy_bottleneck([0.5, 0.25, 0.25], [0.5, 0.5, 0.0], 1.0)
    >>> found.code.tolist(), found.rate, found.information
    ([0, 1, 1], 1.0, 1.0)
    """
    law, law_of_output = _laws(source, output)
    allowed = check_number("rate", rate, "give a number of bits, at least 0")
    if not allowed >= 0:
        raise BadArgument(f"rate: {rate} is {'negative' if rate < 0 else 'no number'}. Fix: give a number of bits, 0 "
                          f"or more.")
    made = [_decoded(law, law_of_output, code) for found, code in _stages(law, encoder) if found <= allowed + ROUNDING]
    most = max(one.information for one in made)
    return min((one for one in made if one.information >= most - ROUNDING), key=lambda one: one.rate)


def staircase(source: Array, output: Array, *, encoder: str = "greedy") -> Table:
    """Rate and information of every description that is worth its rate, by increasing rate.

    Returns
    -------
    Table
        Columns ``parts``, ``rate`` (``H(T)``) and ``information`` (``I(X; Y)``), in bits.

    Examples
    --------
    >>> staircase([0.5, 0.25, 0.25], [0.5, 0.5, 0.0]).column("rate")
    [0.0, 1.0]
    """
    law, law_of_output = _laws(source, output)
    made = [_decoded(law, law_of_output, code) for _, code in _stages(law, encoder)]
    rows: list[dict[str, Any]] = []
    for one in sorted(made, key=lambda one: (one.rate, -one.information)):
        if not rows or one.information > rows[-1]["information"] + ROUNDING:
            rows.append({"parts": one.code_law.size, "rate": one.rate, "information": one.information})
    return Table(rows)


def _stages(law: np.ndarray, encoder: str) -> Iterator[tuple[float, np.ndarray]]:
    """Entropy and code of every description that an encoder looks at."""
    if encoder not in ENCODERS:
        raise BadArgument(f"encoder: {encoder!r} is none of {', '.join(map(repr, ENCODERS))}."
                          f"{did_you_mean(encoder, ENCODERS)}")
    return _merged(law) if encoder == "greedy" else _partitions(law)


def _laws(source: Array, output: Array) -> tuple[np.ndarray, np.ndarray]:
    source, output = as_law("source", source), as_law("output", output)
    if source.shape[-1] != output.shape[-1]:
        raise ShapeMismatch(f"vocabularies differ: source has {source.shape[-1]} tokens, output {output.shape[-1]}. "
                            f"Fix: both laws must live on one vocabulary.")
    laws = exact_pair(source, output)
    if laws[0].ndim != 1:
        raise BadArgument(f"source: shape {tuple(laws[0].shape)} is a batch. Fix: one pair of laws at a time.")
    source, output = (to_host(law, np.float64) for law in laws)
    return source, output


def _decoded(law: np.ndarray, output: np.ndarray, code: np.ndarray) -> Bottleneck:
    code_law = np.bincount(code[code >= 0], law[code >= 0])
    size = max(code_law.size, output.size)
    padded = [np.pad(one, (0, size - one.size)) for one in (output, code_law)]
    cells = MinimumEntropy().cells(*padded)
    rate = entropy(code_law)
    return Bottleneck(code, code_law, cells, rate, max(0.0, rate + entropy(output) - cells.entropy))


def _merged(law: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Entropy and code of every stage of merging the two smallest masses."""
    code = np.full(law.size, -1, dtype=np.int64)
    support = np.flatnonzero(law)
    code[support] = np.arange(support.size)
    heap = [(float(law[token]), part) for part, token in enumerate(support)]
    heapq.heapify(heap)
    found = entropy(law)
    yield found, code.copy()
    while len(heap) > 1:
        (small, part), (large, into) = heapq.heappop(heap), heapq.heappop(heap)
        code[code == part] = into
        found = max(0.0, found - (small + large) * _binary(small / (small + large)))
        heapq.heappush(heap, (small + large, into))
        yield (found if len(heap) > 1 else 0.0), _renumbered(code)


def _partitions(law: np.ndarray) -> Iterator[tuple[float, np.ndarray]]:
    """Entropy and code of every partition of the support."""
    support = np.flatnonzero(law)
    if support.size > LARGEST_SUPPORT:
        raise TooLarge(f"partitions of {support.size} tokens are too many; {LARGEST_SUPPORT} are the most. "
                       f"Fix: encoder='greedy'.", support.size)

    def grow(parts: list[int], most: int) -> Iterator[list[int]]:
        if len(parts) == support.size:
            yield parts
            return
        for part in range(most + 1):
            yield from grow([*parts, part], max(most, part + 1))

    for parts in grow([], 0):
        code = np.full(law.size, -1, dtype=np.int64)
        code[support] = parts
        yield entropy(np.bincount(parts, law[support])), code


def _renumbered(code: np.ndarray) -> np.ndarray:
    """Parts numbered without gaps, in the order of their labels."""
    _, parts = np.unique(code, return_inverse=True)
    return parts.ravel() - (1 if (code < 0).any() else 0)


def _binary(share: float) -> float:
    """Entropy of a coin, in bits."""
    return -sum(x * math.log2(x) for x in (share, 1 - share) if x > 0)
