"""Single-draft rejection, the step that the rules of this room are built from.

A token drawn from a *proposal* law is kept with probability ``min(1, target / proposal)``; otherwise the *excess*
law, proportional to ``(target - proposal)+``, is drawn. The emitted token then has law ``target``, and the proposal
is kept with probability ``sum min(target, proposal)``, the most that any coupling allows. [leviathan2023]
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

from otspec.core.laws import at, normalized_or, one_hot, positive_part

Array = Any


def keep_probability(target_mass: Array, proposal_mass: Array) -> Array:
    """``min(1, target_mass / proposal_mass)`` elementwise; 0 where nothing was proposed.

    Examples
    --------
    >>> import numpy as np
    >>> keep_probability(np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.2, 0.0]))
    array([0.5, 1. , 0. ])
    """
    xp = array_namespace(target_mass, proposal_mass)
    return xp.where(proposal_mass > 0, winner_kept(target_mass, proposal_mass), xp.zeros_like(proposal_mass))


def winner_kept(target_mass: Array, law_mass: Array) -> Array:
    """``min(1, target_mass / law_mass)`` elementwise; 1 for a winner of law 0, which is too rare to be noticed.

    Examples
    --------
    >>> import numpy as np
    >>> winner_kept(np.array([0.1, 0.3, 0.5]), np.array([0.2, 0.2, 0.0]))
    array([0.5, 1. , 1. ])
    """
    xp = array_namespace(target_mass, law_mass)
    one = xp.ones_like(law_mass)
    smaller = target_mass < law_mass
    # dividing only where the quotient is below one: a subnormal denominator would overflow elsewhere
    return xp.where(smaller, target_mass / xp.where(smaller, law_mass, one), one)


def excess_law(target: Array, proposal: Array) -> Array:
    """Law proportional to ``(target - proposal)+``, ``[*batch V]``; ``target`` where there is no excess."""
    return normalized_or(positive_part(target - proposal), target)


def rejection_law(target: Array, proposal: Array, token: Array) -> Array:
    """Law of the emitted token when ``token``, drawn from ``proposal``, is put to rejection.

    Parameters
    ----------
    target, proposal : [*batch V]
    token : [*batch] int
        -1 where nothing was drawn; the emitted token then simply has law ``target``.

    Returns
    -------
    [*batch V]

    Examples
    --------
    >>> import numpy as np
    >>> rejection_law(np.array([0.25, 0.75]), np.array([0.5, 0.5]), np.array(0))
    array([0.5, 0.5])
    """
    xp = array_namespace(target, proposal, token)
    slot = token[..., None]
    keep = keep_probability(at(target, slot), at(proposal, slot))
    kept = keep * one_hot(token, target.shape[-1], target.dtype)
    return xp.where(slot >= 0, kept + (1 - keep) * excess_law(target, proposal), target)
