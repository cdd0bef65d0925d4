"""Laws of a trace or of arrays, as rows in float64."""

from __future__ import annotations

from typing import Any

import numpy as np

from otspec.core.checks import as_law, as_laws
from otspec.core.errors import ShapeMismatch
from otspec.core.trace import Trace

Array = Any


def target_rows(source: Trace | Array) -> np.ndarray:
    """Target laws ``[n V]`` of a trace, or an array ``[*batch V]`` as rows.

    Raises
    ------
    NotALaw, ShapeMismatch
    """
    law = source.target if isinstance(source, Trace) else as_law("target", source)
    rows = np.asarray(law, dtype=np.float64).reshape(-1, np.shape(law)[-1])
    if len(rows) == 0:
        raise ShapeMismatch(f"target: shape {tuple(np.shape(law))} holds no law. Fix: at least one context.")
    return rows / rows.sum(axis=1, keepdims=True)


def pair_rows(source: Trace | tuple[Array, Array]) -> tuple[np.ndarray, np.ndarray]:
    """Target and draft laws ``[n V]`` each of a trace, or of two arrays ``[*batch V]``.

    Raises
    ------
    NotALaw, ShapeMismatch
    """
    if isinstance(source, Trace):
        return source.target, source.draft
    if not isinstance(source, tuple) or len(source) != 2:
        raise ShapeMismatch(f"source: {type(source).__name__} is no pair of laws. Fix: a Trace, or (target, draft).")
    _, target, draft = as_laws(target=source[0], draft=source[1])
    return target_rows(target), target_rows(draft)
