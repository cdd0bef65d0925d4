"""Couplings without communication: two parties, one shared noise, each with its own law.

A coupling is one function ``select(law, noise) -> token``. The target party calls it with the target law, the
drafter with the draft law; neither can see the other's. Each token has exactly its law, and the two agree with a
probability that only the coupling and the two laws determine.

Theorem [coupling]: no such coupling promises every pair more than ``(1 - TV) / (1 + TV)``, and none exceeds
``1 - TV`` on any pair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from otspec.core.checks import as_law, as_laws
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.core.laws import total
from otspec.core.noise import Noise

Array = Any
MAX_JOINT = 2**26


class Coupling(ABC):
    """A way to turn a law and shared noise into a token; subclasses write `_select`."""

    @abstractmethod
    def _select(self, law: Array, noise: Noise) -> Array:
        """Token ``[*batch]``, the law already checked and the noise on its library and device."""

    def select(self, law: Array, noise: Noise) -> Array:
        """Token of one party.

        Parameters
        ----------
        law : [*batch V]
            The party's own law.
        noise : Noise
            Its batch shape broadcasts against the law's: a scalar noise is shared by all rows.

        Returns
        -------
        [*batch] int64
            With law ``law`` over the noise; the same on every array library.

        Raises
        ------
        NotALaw, ShapeMismatch
        """
        law = as_law("law", law)
        try:
            np.broadcast_shapes(tuple(law.shape[:-1]), noise.batch)
        except ValueError:
            raise ShapeMismatch(
                f"law: batch shape {tuple(law.shape[:-1])} does not fit noise of batch shape {noise.batch}. "
                f"Fix: one position per row, or a scalar position.") from None
        return self._select(law, noise.like(law))

    def select_list(self, law: Array, noise: Noise, k: int) -> Array:
        """Tokens ``[*batch k]`` of a drafter that may send ``k`` of them; only list couplings define it."""
        raise BadArgument(
            f"{type(self).__name__} selects one token per position, not a list of {k}. "
            f"Fix: call select, or take a list coupling (otspec.list_couplings() says which).")

    def _agreed(self, target: Array, draft: Array) -> Array | None:
        """``Pr[both select j]`` ``[*batch V]`` for float64 laws that sum to one, or None where unknown."""
        return None

    def agreed_law(self, target: Array, draft: Array) -> Array | None:
        """Probability ``[*batch V]`` that both parties select each token; None where no exact form is known."""
        return self._agreed(*_exact_pair(target, draft))

    def agreement(self, target: Array, draft: Array) -> Array | None:
        """Exact probability ``[*batch]`` that the two tokens are equal; None where no exact form is known."""
        return self._agreement(*_exact_pair(target, draft))

    def _agreement(self, target: Array, draft: Array) -> Array | None:
        """Sum of `_agreed`; override where the sum is cheaper than its terms."""
        agreed = self._agreed(target, draft)
        return None if agreed is None else total(agreed)

    def _joint(self, target: Array, draft: Array) -> Array | None:
        """Joint law ``[*batch V V]`` for float64 laws that sum to one, or None where unknown."""
        return None

    def joint(self, target: Array, draft: Array) -> Array:
        """Exact joint law of (target token, draft token).

        Parameters
        ----------
        target, draft : [*batch V]

        Returns
        -------
        [*batch V V] float64
            Row: the target party's token; column: the drafter's. Its marginals are the two laws.

        Raises
        ------
        TooLarge
            More than 2**26 entries.
        BadArgument
            A coupling whose joint law has no exact form.
        """
        target, draft = _exact_pair(target, draft)
        size = float(np.prod(target.shape, dtype=np.float64)) * target.shape[-1]
        if size > MAX_JOINT:
            raise TooLarge(
                f"the joint law has {size:.3g} entries, more than {MAX_JOINT:.3g}. "
                f"Fix: use agreement or agreed_law, which need one row.", size)
        joint = self._joint(target, draft)
        if joint is None:
            raise BadArgument(f"{type(self).__name__} has no exact joint law. Fix: use sampled_agreement.")
        return joint

    def __repr__(self) -> str:
        """Class name."""
        return f"{type(self).__name__}()"


def _exact_pair(target: Array, draft: Array) -> tuple[Array, Array]:
    xp, target, draft = as_laws(target=target, draft=draft)
    target, draft = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    # laws may miss one by the tolerance of their dtype; marginals of a joint law must agree exactly
    return target / total(target)[..., None], draft / total(draft)[..., None]

