"""The transport problem of one context: target law, draft law, scheme; cost 1 where the token is not a draft."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.checks import check_no_grad
from otspec.core.errors import ShapeMismatch
from otspec.core.schemes import DraftScheme, as_scheme
from otspec.core.verifier import checked_pair


@dataclass(frozen=True)
class MembershipProblem:
    """Couple the drafts with one target token so that the token is a draft as often as possible.

    Parameters
    ----------
    target : [V]
    draft : [V]
        ``[k V]`` for `Independent`; None for `Joint`.
    scheme : DraftScheme or int

    Examples
    --------
    >>> MembershipProblem([0.5, 0.5], [1.0, 0.0], 2).sets[0]
    array([[-1,  0]])
    """

    target: Any
    draft: Any
    scheme: DraftScheme

    def __post_init__(self) -> None:
        scheme = as_scheme(self.scheme)
        target, draft = checked_pair(self.target, self.draft, scheme)
        check_no_grad(target=target, draft=draft)
        if target.ndim != 1:  # both have the batch axes of the two
            raise ShapeMismatch(
                f"target: shape {tuple(target.shape)} is a batch; a MembershipProblem is one context. "
                f"Fix: pass one row, or use optimal_acceptance, which is batched.")
        for name, value in (("target", target), ("draft", draft)):
            array = np.asarray(value, dtype=np.float64)
            # laws may miss one by the tolerance of their dtype; a plan needs marginals that agree exactly
            object.__setattr__(self, name, array / array.sum(axis=-1, keepdims=True))
        object.__setattr__(self, "scheme", scheme)

    @cached_property
    def lists(self) -> tuple[np.ndarray, np.ndarray]:
        """Draft lists ``[n k]`` and their law ``[n]``."""
        return self.scheme.lists(self.draft)

    @cached_property
    def sets(self) -> tuple[np.ndarray, np.ndarray]:
        """Draft sets ``[n k]`` and their law ``[n]``."""
        return self.scheme.sets(self.draft)

    @property
    def size(self) -> float:
        """Number of draft lists."""
        return self.scheme.count_lists(self.draft)
