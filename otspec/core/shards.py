"""What the files of a trace hold: which arrays, of shapes that belong together, and which words beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from otspec.core.errors import BadFile
from otspec.core.shortened import IDS, NAMES, problem_of


def count_contexts(shard: Mapping[str, np.ndarray]) -> int:
    """Return the number of contexts."""
    return len(next(iter(shard.values())))


def check_shard(shard: Mapping[str, np.ndarray], first: Mapping[str, np.ndarray], source: str,
                provenance: Mapping[str, Any]) -> None:
    """Compare one shard's arrays with what a trace holds and with the first shard."""
    shapes = {name: array.shape for name, array in shard.items()}
    kinds = ({"target", "draft"}, {"target_rows", "draft_rows", "tokens"}, NAMES)
    problem = None
    if set(shapes) - {"contexts"} not in kinds:
        problem = f"arrays {sorted(shapes)}, expected target and draft"
    elif len({shape[0] for shape in shapes.values()}) != 1 or count_contexts(shard) == 0:
        problem = f"arrays of different or no length: {shapes}"
    elif {name: (a.dtype, a.shape[1:]) for name, a in shard.items()} != \
            {name: (a.dtype, a.shape[1:]) for name, a in first.items()}:
        problem = f"shards that differ in shape or dtype: {shapes}"
    elif f"target{IDS}" in shapes:
        problem = problem_of(shard, provenance)
    elif "target" in shapes and not (len(shapes["target"]) == 2 and shapes["target"] == shapes["draft"]):
        problem = f"laws that are not [n V]: {shapes}"
    elif "tokens" in shapes:
        size, length = shapes["tokens"]
        vocabulary = shapes["target_rows"][-1]
        if (shapes["target_rows"], shapes["draft_rows"]) != ((size, length + 1, vocabulary),
                                                             (size, length, vocabulary)):
            problem = f"rows that are not [n L+1 V], [n L V], [n L]: {shapes}"
    if problem:
        raise BadFile(f"{source}: {problem}. Fix: record it again, or use Trace.from_laws.")


def check_header(found: Any, kinds: Mapping[str, type]) -> None:
    """Raise a ValueError where the JSON beside the arrays lacks something, or holds something else."""
    for key, kind in kinds.items():
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            raise ValueError(f"no {kind.__name__} {key!r}")
    if not all(map(_is_step, found.get("transforms", ()))):
        raise ValueError(f"unknown transforms {found['transforms']}")


def _is_step(step: Any) -> bool:
    """Whether a transform that a file names is one of those that a `Trace` makes."""
    return isinstance(step, dict) and (set(step) == {"temperature"} or set(step) == {"top_k", "top_p"})
