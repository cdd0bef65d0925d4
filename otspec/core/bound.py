"""Certificates of optimality: a cut above, a plan or a winner law below.

For any token set H, acceptance is at most ``1 + target(H) - Pr[every draft lies in H]``: a cut. Any plan, and any
winner law followed by single-draft rejection, attains its own acceptance. Where both meet, neither a solver's
word nor a tolerance is needed: the optimum is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from otspec.core.host import to_host
from otspec.core.showing import card, figure_of, public_names

Array = Any
SHARP = 1e-6  # ends that agree to the digits shown are one number


@dataclass(frozen=True)
class Cut:
    """An upper bound on acceptance: ``value = 1 + target(subset) - Pr[every draft lies in subset]``.

    Attributes
    ----------
    subset : [*batch V] bool
    value : [*batch]
    """

    subset: Array
    value: Array
    __dir__ = public_names

    def __repr__(self) -> str:
        """Value and members, of a batch its shape."""
        value = to_host(self.value)
        if value.ndim:
            return f"Cut(batch {value.shape} over {self.subset.shape[-1]} tokens)"
        return f"Cut({float(value):.6f}, {_members(self.subset)})"


@dataclass(frozen=True)
class TransportPlan:
    """A coupling of draft sets and emitted tokens for one context, from a linear programme.

    Attributes
    ----------
    target : [V]
    sets : [n k] int
        Token sets, padded with -1.
    set_law : [n]
    flow : [n k]
        Mass sent from each set to each of its members.
    """

    target: np.ndarray
    sets: np.ndarray
    set_law: np.ndarray
    flow: np.ndarray
    __dir__ = public_names

    def __repr__(self) -> str:
        """Size and acceptance."""
        return (f"TransportPlan({len(self.sets)} draft sets over {self.target.size} tokens, "
                f"acceptance {self.acceptance:.6f})")

    @property
    def acceptance(self) -> float:
        """Probability that the emitted token is a draft."""
        return float(self.flow.sum() + self._spill)

    @cached_property
    def matched(self) -> np.ndarray:
        """Mass of each token emitted through a flow, ``[V]``."""
        present = self.sets >= 0
        return np.bincount(self.sets[present], weights=self.flow[present], minlength=self.target.size)

    @cached_property
    def leftover(self) -> np.ndarray:
        """Law of the token emitted when no flow applies, ``[V]``."""
        rest = np.maximum(self.target - self.matched, 0.0)
        return rest / rest.sum() if rest.sum() > 0 else self.target

    @cached_property
    def unmatched(self) -> np.ndarray:
        """Mass of each set that no flow uses, ``[n]``."""
        return np.maximum(self.set_law - self.flow.sum(axis=1), 0.0)

    @property
    def _spill(self) -> float:
        # the leftover token may by chance be a member; at an optimum this is zero, before it it counts as accepted
        hit = np.where(self.sets >= 0, self.leftover[self.sets], 0.0).sum(axis=1)
        return float((self.unmatched * hit).sum())

    @property
    def target_marginal(self) -> np.ndarray:
        """Law of the emitted token under the plan, ``[V]``; equals ``target`` for a valid plan."""
        return self.matched + self.unmatched.sum() * self.leftover

    def violation(self) -> float:
        """Largest breach of a constraint: negative flow, or a marginal that misses its law."""
        worst = [
            float(np.max(-self.flow, initial=0.0)),
            float(np.abs(self.target_marginal - self.target).max()),
            float(np.abs(self.flow.sum(axis=1) + self.unmatched - self.set_law).max()),
            float(np.abs(self.flow[self.sets < 0]).max(initial=0.0)),
        ]
        return max(worst)

    def conditional(self, tokens: np.ndarray) -> np.ndarray:
        """Law of the emitted token given draft lists, ``[n k] -> [n V]``."""
        index = self._index(np.asarray(tokens))
        mass = self.set_law[index][:, None]
        # a set whose probability is too small for a float is never met: it emits what no flow has used
        never = mass <= 0
        mass = np.where(never, 1.0, mass)
        law = np.where(never, 1.0, self.unmatched[index][:, None] / mass) * self.leftover
        present = self.sets[index] >= 0
        rows = np.broadcast_to(np.arange(len(index))[:, None], present.shape)[present]
        np.add.at(law, (rows, self.sets[index][present]), (self.flow[index] / mass)[present])
        return law

    def _index(self, tokens: np.ndarray) -> np.ndarray:
        lookup = {frozenset(row[row >= 0].tolist()): i for i, row in enumerate(self.sets)}
        return np.array([lookup[frozenset(row[row >= 0].tolist())] for row in tokens], dtype=np.int64)


@dataclass(frozen=True)
class AcceptanceBound:
    """An interval for the optimal acceptance, with its evidence.

    Attributes
    ----------
    lower, upper : [*batch]
    cut : Cut
        Proves ``upper``.
    winner_law : [*batch V] or None
        Proves ``lower``: accept the winner with ``min(1, target / winner_law)``, else draw from the excess.
        For `Hybrid` drafts, the law of the winner among the sampled ones.
    plan : TransportPlan or None
        Proves ``lower`` where a linear programme was solved.
    """

    lower: Array
    upper: Array
    cut: Cut
    winner_law: Array | None = None
    plan: TransportPlan | None = None
    __dir__ = public_names

    @property
    def gap(self) -> Array:
        """``upper - lower``, ``[*batch]``."""
        return self.upper - self.lower

    def __str__(self) -> str:
        """Optimum or interval, gap and cut in one line; of a batch, the mean and the largest gap."""
        lower, upper = to_host(self.lower), to_host(self.upper)
        if upper.size == 0:
            return f"optimal acceptance of no contexts (batch {upper.shape})"
        gap = float((upper - lower).max())
        value = f"{upper.mean():.6f}" if gap <= SHARP else f"between {lower.mean():.6f} and {upper.mean():.6f}"
        if upper.ndim:
            return f"optimal acceptance {value} on average (batch {upper.shape}, largest gap {gap:.1e})"
        return f"optimal acceptance {value} (gap {gap:.1e}; cut of {_members(self.cut.subset)})"

    def __repr__(self) -> str:
        """Name of the class and what `str` says; the arrays are its attributes."""
        return f"AcceptanceBound({self})"

    def _repr_html_(self) -> str:
        """HTML for notebooks."""
        evidence = "a transport plan" if self.plan is not None else "a winner law"
        return card(type(self).__name__, {"result": self, "proved from above by": self.cut,
                                          "attained by": evidence})

    def plot(self, ax: Any = None) -> Any:
        """Draw the winner law and the cut; of a batch, how the optimum is spread over contexts.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure unless given.

        Returns
        -------
        matplotlib.axes.Axes
        """
        return figure_of(self, "bound", ax)


def _members(subset: Array) -> str:
    """Size and first members of a token set ``[V]``."""
    members = np.flatnonzero(to_host(subset))
    shown = ", ".join(map(str, members[:8])) + (", …" if members.size > 8 else "")
    return f"{members.size} tokens {{{shown}}}"
