"""Couplings that need both laws: of two parties who talk, or of one who knows both.

They have no ``select(law, noise)``. A draw gives both tokens at once, and, where the parties are two, counts the bits
that they have exchanged. What such couplings reach is the measure of those without communication: their agreement may
be ``1 - TV``, which is the most that any pair of tokens with these laws can have.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

from otspec.core.coupling import Coupling, check_noise, exact_pair
from otspec.core.errors import BadArgument
from otspec.core.laws import namespace
from otspec.core.noise import Noise

Array = Any


class Coupled(NamedTuple):
    """Both tokens ``[*batch]``, and the bits ``[*batch]`` that were exchanged (None: one party knew both laws)."""

    target: Array
    draft: Array
    bits: Array | None


class JointCoupling(Coupling):
    """A coupling of two laws that are both at hand; subclasses write `_couple`."""

    @abstractmethod
    def _couple(self, target: Array, draft: Array, noise: Noise) -> Coupled:
        """One draw per entry of the noise, the laws float64, exact and as many as those entries."""

    def couple(self, target: Array, draft: Array, noise: Noise) -> Coupled:
        """Draw both tokens, once per entry of the noise.

        Parameters
        ----------
        target, draft : [*batch V]
        noise : Noise
            Its batch shape broadcasts against the laws'; no two rows may share seed and position.

        Returns
        -------
        Coupled
            The same tokens on every array library, but for ties within rounding.

        Raises
        ------
        BadArgument
            Rows that would read the same numbers, and so be copies of each other rather than draws.
        NotALaw, ShapeMismatch
        """
        target, draft = exact_pair(target, draft)
        batch = check_noise(target, noise)
        if not noise.distinct or math.prod(noise.batch) < math.prod(batch):
            raise BadArgument("noise: two rows share seed and position, so their draws would depend on each other. "
                              "Fix: one position per row, such as Noise(seed, numpy.arange(n)).")
        xp = namespace(target)
        target, draft = (xp.broadcast_to(law, (*batch, law.shape[-1])) for law in (target, draft))
        return self._couple(target, draft, noise.like(target))

    def _select(self, law: Array, noise: Noise) -> Array:
        raise BadArgument(f"{self!r} couples two laws that are both at hand, so one party cannot select alone. "
                          f"Fix: call couple, or take a coupling of otspec.list_couplings(kind='coupling').")

    def bits(self, target: Array, draft: Array) -> Array | None:
        """None, unless the coupling is a protocol."""
        exact_pair(target, draft)
        return None
