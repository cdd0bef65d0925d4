"""Couplings without communication: two parties, one shared noise, each with its own law.

A coupling is one function ``select(law, noise) -> token``. The target party calls it with the target law, the
drafter with the draft law; neither can see the other's. Each token has exactly its law, and the two agree with a
probability that only the coupling and the two laws determine. Some couplings let the drafter send a list of ``k``
tokens; what counts then is that the target's token is among them. Couplings of two laws that are both at hand, or of
parties who talk, are in `otspec.core.joint_coupling`.

Theorem [coupling]: no such coupling promises every pair more than ``(1 - TV) / (1 + TV)``, and none exceeds
``1 - TV`` on any pair.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from array_api_compat import is_torch_array

from otspec.core.checks import as_law, as_laws, check_positive
from otspec.core.errors import BadArgument, ShapeMismatch, TooLarge
from otspec.core.laws import namespace, total
from otspec.core.noise import Noise
from otspec.core.schemes import DraftScheme

Array = Any
MAX_JOINT = 2**26


class Coupling(ABC):
    """A way to turn a law and shared noise into a token; subclasses write `_select`.

    Attributes
    ----------
    list_scheme : type of DraftScheme or None
        What the tokens of `select_list` are to each other; None where there are no lists.
    """

    list_scheme: ClassVar[type[DraftScheme] | None] = None

    @property
    def num_drafts(self) -> int:
        """Tokens that the drafter sends where nothing else is said; `agreement` is about those."""
        return 1

    @property
    def most_drafts(self) -> int | None:
        """Longest list; None where the vocabulary alone limits it."""
        return 1 if self.list_scheme is None else None

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
        check_noise(law, noise)
        return as_views(self._select, law, noise)

    def select_list(self, law: Array, noise: Noise, k: int) -> Array:
        """Tokens of a drafter that may send ``k`` of them; only list couplings define it.

        Parameters
        ----------
        law : [*batch V]
        noise : Noise
        k : int

        Returns
        -------
        [*batch k] int64
            -1 where the law supports fewer than k tokens and the list holds no token twice.

        Raises
        ------
        BadArgument
            No list coupling, ``k < 1``, or more drafts than the coupling or the vocabulary has.
        """
        law = as_law("law", law)
        check_noise(law, noise)
        self.check_drafts(k, law.shape[-1])
        return as_views(self._select_list, law, noise, k)

    def _select_list(self, law: Array, noise: Noise, k: int) -> Array:
        """`select_list`, everything checked."""
        return self._select(law, noise)[..., None]

    def _select_on_path(self, law: Array, noise: Noise, path: int) -> Array:
        """Token ``[*batch]`` that continues the draft in place ``path`` of a list at a later position."""
        return self._select(law, noise)

    def check_drafts(self, k: int, vocabulary: int | None = None) -> int:
        """Return the length of a list, or say why there is no list so long.

        Raises
        ------
        BadArgument
        """
        if check_positive("k", k) == 1:
            return 1
        if self.list_scheme is None:
            raise BadArgument(
                f"k: {type(self).__name__} selects one token per position, not a list of {k}. "
                f"Fix: k=1, or a list coupling such as 'gumbel' or 'list_gumbel'.")
        if self.most_drafts is not None and k > self.most_drafts:
            raise BadArgument(f"k: {k} drafts are more than the {self.most_drafts} of {self!r}. "
                              f"Fix: a smaller k, or otspec.coupling('list_gumbel', num_drafts={k}).")
        if self.most_drafts is None and vocabulary is not None and k > vocabulary:
            raise BadArgument(f"k: {k} different drafts from a vocabulary of {vocabulary}. Fix: k <= {vocabulary}.")
        return k

    def list_agreement(self, target: Array, draft: Array, k: int) -> Array | None:
        """Exact probability ``[*batch]`` that the target's token is among ``k`` drafts; None where none is known."""
        target, draft = exact_pair(target, draft)
        self.check_drafts(k, target.shape[-1])
        return self._agreement(target, draft) if k == 1 else self._list_agreement(target, draft, k)

    def _list_agreement(self, target: Array, draft: Array, k: int) -> Array | None:
        """`list_agreement` for ``k >= 2``, or None where unknown."""
        return None

    def bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        """What the agreement is promised to be, and what no coupling of its kind can exceed, ``[*batch]`` each.

        Examples
        --------
        >>> tuple(map(float, ot.coupling("gumbel").bounds([0.5, 0.5], [0.5, 0.5])))
        (1.0, 1.0)
        """
        return self._bounds(*exact_pair(target, draft))

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        shared = total(namespace(target).minimum(target, draft))
        return shared / (2 - shared), shared

    def bits(self, target: Array, draft: Array) -> Array | None:
        """Expected number of bits ``[*batch]`` that the parties exchange; None where they must know both laws."""
        target, _ = exact_pair(target, draft)
        return 0.0 * total(target)

    def _agreed(self, target: Array, draft: Array) -> Array | None:
        """``Pr[both select j]`` ``[*batch V]`` for float64 laws that sum to one, or None where unknown."""
        return None

    def agreed_law(self, target: Array, draft: Array) -> Array | None:
        """Probability ``[*batch V]`` that both parties select each token; None where no exact form is known."""
        return self._agreed(*exact_pair(target, draft))

    def agreement(self, target: Array, draft: Array) -> Array | None:
        """Exact probability ``[*batch]`` that the two tokens are equal; None where no exact form is known."""
        return self._agreement(*exact_pair(target, draft))

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
        target, draft = exact_pair(target, draft)
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


def check_noise(law: Array, noise: Noise) -> tuple[int, ...]:
    """Batch shape of a law ``[*batch V]`` read with a noise.

    Raises
    ------
    ShapeMismatch
    """
    try:
        return np.broadcast_shapes(tuple(law.shape[:-1]), noise.batch)
    except ValueError:
        raise ShapeMismatch(
            f"law: batch shape {tuple(law.shape[:-1])} does not fit noise of batch shape {noise.batch}. "
            f"Fix: one position per row, or a scalar position.") from None


def as_views(select: Callable[..., Array], law: Array, noise: Noise, *given: Any) -> Array:
    """Call a selection; tensors on the CPU are handed over as NumPy views, which are selected from row by row."""
    if not is_torch_array(law) or law.device.type != "cpu":
        return select(law, noise.like(law), *given)
    view = law.detach().numpy()
    return namespace(law).asarray(select(view, noise.like(view), *given))


def exact_pair(target: Array, draft: Array) -> tuple[Array, Array]:
    """Both laws checked, in float64, with sums of one."""
    xp, target, draft = as_laws(target=target, draft=draft)
    target, draft = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    # laws may miss one by the tolerance of their dtype; marginals of a joint law must agree exactly
    return target / total(target)[..., None], draft / total(draft)[..., None]

