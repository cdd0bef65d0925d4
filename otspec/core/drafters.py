"""Draft schemes that a single draft law does not describe: different drafters, and any joint law of the drafts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from array_api_compat import array_namespace

from otspec.core.checks import as_law, check_positive, number_array
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.core.laws import draw
from otspec.core.schemes import DraftScheme, _as_float

Array = Any


@dataclass(frozen=True)
class Independent(DraftScheme):
    """One draw from each of ``k`` different drafters; the draft argument is ``[*batch k V]``."""

    k: int
    draft_axes = 1
    distinct = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "k", check_positive("k", self.k))

    @property
    def num_drafts(self) -> int:
        """Number of drafters."""
        return self.k

    def check(self, draft: Array) -> Array:
        """Check ``[*batch k V]``."""
        draft = super().check(draft)
        if draft.ndim < 2 or draft.shape[-2] != self.k:
            raise ShapeMismatch(
                f"draft: shape {tuple(draft.shape)} does not end in [{self.k} V]. "
                f"Fix: stack the {self.k} drafters' laws on the axis before the vocabulary.")
        return draft

    def count_lists(self, draft: Array) -> float:
        """Product of the drafters' supports."""
        return _as_float(math.prod(np.count_nonzero(draft, axis=-1).tolist()))

    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        supports = [np.flatnonzero(row) for row in draft]
        grid = np.meshgrid(*supports, indexing="ij")
        tokens = np.stack([axis.ravel() for axis in grid], axis=-1)
        return tokens, draft[np.arange(self.k), tokens].prod(axis=-1)

    def _sample(self, draft: Array, uniforms: Array) -> Array:
        return draw(draft, uniforms)


@dataclass(frozen=True, eq=False)
class Joint(DraftScheme):
    """Any joint law of the drafts: a table of list probabilities, or a capacity oracle.

    Parameters
    ----------
    table : array ``[V] * k``, optional
        Probability of every list. The draft argument of other calls is then ignored and may be None.
    capacity : callable, optional
        ``capacity(subset [V] bool) -> Pr[all drafts lie in subset]``, for laws too large to tabulate.
    k, size : int
        Number of drafts and of tokens, with ``capacity`` only.
    """

    distinct = False
    table: Any = field(default=None, repr=False)
    capacity: Callable[[np.ndarray], float] | None = None
    k: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        if (self.table is None) == (self.capacity is None):
            raise BadArgument("Joint: give either a table or a capacity oracle. Fix: Joint(table) or "
                              "Joint(capacity=f, k=2, size=V).")
        if self.table is None:
            if not callable(self.capacity):
                raise BadArgument(f"capacity: {self.capacity!r} cannot be called. Fix: give a function of a subset "
                                  f"[V] bool.")
            object.__setattr__(self, "k", check_positive("k", self.k))
            object.__setattr__(self, "size", check_positive("size", self.size))
            return
        table = number_array("table", self.table)
        if table.dtype.kind in "iub" or table.dtype.itemsize > 8:
            table = number_array("table", table.tolist())  # float16 and what is no number are refused by name below
        elif table.dtype.kind == "f" and table.dtype != np.float16:
            table = table.astype(np.float64)
        if table.ndim == 0 or len(set(table.shape)) != 1:
            raise ShapeMismatch(f"table: shape {table.shape} is not [V] * k. Fix: one axis of length V per draft.")
        as_law("table", table.reshape(-1))
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "k", table.ndim)
        object.__setattr__(self, "size", table.shape[0])

    @property
    def num_drafts(self) -> int:
        """Number of drafts."""
        return cast(int, self.k)

    @property
    def num_uniforms(self) -> int:
        """One: lists are drawn from the table by quantile."""
        return 1

    def vocabulary(self, draft: Array) -> int:
        """Size of the table's axes."""
        return cast(int, self.size)

    def check(self, draft: Array) -> Array:
        """Return the table's own law of the first draft where no draft is given."""
        if draft is None:
            draft = self._table().reshape(self.vocabulary(None), -1).sum(axis=1) if self.capacity is None else \
                np.full(self.vocabulary(None), 1.0 / self.vocabulary(None))
        draft = super().check(draft)
        if draft.shape[-1] != self.size:
            raise ShapeMismatch(f"draft: {draft.shape[-1]} tokens, but the joint law has {self.size}. Fix: draft=None.")
        return draft

    def check_drawn(self, draft: Array, tokens: Array) -> None:
        """Nothing: a draft law is not what lists are drawn from, and a capacity oracle cannot tell."""

    def _table(self) -> np.ndarray:
        if self.table is None:
            raise TooLarge(f"{self.k} drafts on {self.size} tokens are known by a capacity oracle only, which "
                           f"lists no drafts. Fix: use optimal_acceptance, or give the table.", math.inf)
        return self.table

    def count_lists(self, draft: Array) -> float:
        """Lists of positive probability."""
        return float(np.count_nonzero(self._table()))

    def _lists(self, draft: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        tokens = np.argwhere(self._table() > 0)
        return tokens, self._table()[tuple(tokens.T)]

    def _sample(self, draft: Array, uniforms: Array) -> Array:
        xp = array_namespace(uniforms)
        law = xp.asarray(self._table().reshape(-1), device=uniforms.device)
        flat = draw(xp.broadcast_to(law, (*uniforms.shape[:-1], law.shape[0])), uniforms[..., 0])
        size = self.vocabulary(None)
        digits = [(flat // size**power) % size for power in reversed(range(self.num_drafts))]
        return xp.stack(digits, axis=-1)
