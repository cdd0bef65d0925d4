"""The exponential race with k sheets of clocks: k drafts, and no communication. [gls].

Clocks ``S_i^l``, one for each token i and sheet l, are shared. The drafter sends ``x^l = argmin_i S_i^l / q_i`` for
each sheet, k i.i.d. draws from its law q; the target party takes ``y = argmin_i min_l S_i^l / p_i``, which has law p.

Theorem (exact agreement). Let y = j, its clock on sheet l' ring at time t (``k t`` is a standard exponential, whatever
j), and ``c_j = sum_i (q_i p_j / q_j - p_i)+``. Given t, sheet l' matches with probability ``e^{-c_j t}``, and every
other sheet, independently, with

    g_j(t) = q_j sum_{m >= j} (e^{-c_m t} - e^{-c_{m+1} t}) / Q_m,

tokens in the order of ``p / q``, ``Q_m`` the draft mass up to m: all clocks are late by an exponential of their own, so
the race on a sheet is one of exponentials that start one after the other. Hence

    Pr[y in list, y = j] = p_j E [1 - (1 - e^{-c_j t}) (1 - g_j(t))^(k - 1)],

one integral over t. If only a of the k sheets are drafted, l' is among them with probability ``a / k``, and the power
is ``a - 1`` or a. Counting the match of sheet l' alone gives the lower bound ``sum_j p_j k / (k + c_j)`` of [gls].
"""

from __future__ import annotations

from typing import Any

from otspec.core.checks import check_positive
from otspec.core.coupling import Coupling, exact_pair
from otspec.core.laws import namespace, positive_part, total
from otspec.core.noise import Noise
from otspec.core.schemes import WithReplacement
from otspec.couplings.gumbel import Race, fastest, sorted_race
from otspec.couplings.quadrature import exponential_nodes
from otspec.transport.bounds import optimal_acceptance

Array = Any
# a ratio beyond which a token is as good as never drafted
NEVER = 1e300


class ListGumbel(Coupling):
    """Race with ``num_drafts`` sheets of shared clocks, a draft from each. [gls].

    Parameters
    ----------
    num_drafts : int
        Sheets k. The target's tokens depend on it, and on nothing else of the drafter.

    Raises
    ------
    BadArgument

    Examples
    --------
    >>> round(float(ListGumbel(2).agreement([0.5, 0.5], [0.5, 0.5])), 12)
    1.0
    """

    list_scheme = WithReplacement

    def __init__(self, num_drafts: int = 4) -> None:
        self._count = check_positive("num_drafts", num_drafts)

    @property
    def num_drafts(self) -> int:
        """Sheets."""
        return self._count

    @property
    def most_drafts(self) -> int:
        """Sheets."""
        return self._count

    def _select(self, law: Array, noise: Noise) -> Array:
        return fastest(law, noise, 1, self._count)[..., 0]

    def _select_list(self, law: Array, noise: Noise, k: int) -> Array:
        xp = namespace(law)
        return xp.stack([self._select_on_path(law, noise, sheet) for sheet in range(k)], axis=-1)

    def _select_on_path(self, law: Array, noise: Noise, path: int) -> Array:
        return fastest(law, noise, 1, first=path)[..., 0]

    def _agreed(self, target: Array, draft: Array) -> Array:
        return self._among(target, draft, self._count)

    def list_agreement(self, target: Array, draft: Array, k: int) -> Array:
        """Exact probability ``[*batch]`` that the target's token is among the drafts of ``k`` of the sheets."""
        target, draft = exact_pair(target, draft)
        return total(self._among(target, draft, self.check_drafts(k)))

    def bound(self, target: Array, draft: Array) -> Array:
        """Lower bound ``[*batch]`` of the agreement, the list matching lemma. [gls]."""
        return self._bounds(*exact_pair(target, draft))[0]

    def _bounds(self, target: Array, draft: Array) -> tuple[Array, Array]:
        race = sorted_race(target, draft)
        lower = total(race.target * (self._count / (self._count + _lateness(race))))
        return lower, optimal_acceptance(target, draft, WithReplacement(self._count))

    def _among(self, target: Array, draft: Array, drafted: int) -> Array:
        """``Pr[y = j, and j is among the drafts of the first sheets]`` ``[*batch V]``."""
        xp = namespace(target)
        race = sorted_race(target, draft)
        late = _lateness(race)
        mass = race.below + race.draft
        # tokens of neither law come first; nothing is drafted up to them
        share = xp.where(mass > 1 / NEVER, 1 / xp.where(mass > 1 / NEVER, mass, xp.ones_like(mass)), 0.0)
        share = xp.astype(share, xp.float64)
        found, part = xp.zeros_like(mass), drafted / self._count
        for time, weight in zip(*(nodes.tolist() for nodes in exponential_nodes()), strict=True):
            winner = xp.exp(late * (-time / self._count))
            falls = winner - xp.concat([winner[..., 1:], xp.zeros_like(winner[..., :1])], axis=-1)
            other = xp.flip(xp.cumulative_sum(xp.flip(falls * share, axis=-1), axis=-1), axis=-1)
            missed = positive_part(1 - race.draft * other)
            hit = 1 - missed ** (drafted - 1) * (part * (1 - winner) + (1 - part) * missed)
            found = found + weight * hit
        return xp.take_along_axis(race.target * found, race.rank(), axis=-1)

    def __repr__(self) -> str:
        """Class and parameter."""
        return f"ListGumbel(num_drafts={self._count})"


def _lateness(race: Race) -> Array:
    """``c_j`` in the order of the race, as a sum of terms that are not negative."""
    xp = namespace(race.target)
    drafted = race.draft > race.target / NEVER
    ratio = race.target / xp.where(drafted, race.draft, xp.ones_like(race.draft))
    ratio = xp.where(drafted, ratio, xp.where(race.target > 0, NEVER, 0.0))
    rises = positive_part(ratio[..., 1:] - ratio[..., :-1]) * race.below[..., 1:]
    return xp.concat([xp.zeros_like(ratio[..., :1]), xp.cumulative_sum(rises, axis=-1)], axis=-1)

