"""The exact optimum and its certificate, from toy sizes to full vocabularies, for every draft scheme.

Upper end: the value of a cut, ``1 + target(H) - Q(H)`` with ``Q(H) = Pr[every draft lies in H]``. Lower end: a winner
law L, the law of one draft picked by some rule; accepting the winner with probability ``min(1, target / L)`` attains
``sum min(target, L)``. L is a winner law iff ``L(H) >= Q(H)`` for every H, and for draws with and without
replacement the tightest H is a prefix of the tokens sorted by L/draft, so the lower end is checked, not trusted:
whatever L may miss is taken off. The two ends meet at the optimum. [mdsd]

Laws within the tolerance of their dtype are renormalised in float64 first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from array_api_compat import array_namespace, is_numpy_array, is_torch_array

from otspec.core.bound import AcceptanceBound, Cut
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, NotCertified, ShapeMismatch
from otspec.core.laws import cumulative_sum
from otspec.core.problem import MembershipProblem
from otspec.core.schemes import DraftScheme, Hub, Hybrid, WithReplacement, as_scheme
from otspec.core.verifier import checked_pair
from otspec.transport.winner import (
    cumulative,
    minimal_law,
    prefix_optimum,
    ratio_order,
    replacement_increments,
    universal_law,
)

Array = Any
CERTIFIED_GAP = 1e-9
_SEARCHED = 0.1 * CERTIFIED_GAP  # where a search may stop


def optimal_acceptance(target: Array, draft: Array, scheme: DraftScheme | int) -> Array:
    """Largest probability with which any verifier can emit one of the drafts.

    Parameters
    ----------
    target : [*batch V]
        Law of the large model; V up to 262,144.
    draft : [*batch V]
        Law of the drafter (``[*batch k V]`` for `Independent`; None for `Joint`).
    scheme : DraftScheme or int
        An int k means k draws with replacement.

    Returns
    -------
    [*batch]
        In the array library of ``target``. For `Independent` and `Joint`, the upper end of a certified bound.

    Raises
    ------
    NotALaw, ShapeMismatch, BadArgument
    NotCertified
        The bound for `Independent` or `Joint` did not close to 1e-9.

    Notes
    -----
    Sorted prefixes for draws with replacement and for greedy drafts; a race integral without replacement; laminar
    plans and a weighted minimum-norm point for different drafters. [mdsd] [khisti]

    Examples
    --------
    >>> float(optimal_acceptance([1.0, 0.0], [0.5, 0.5], 2))
    0.75
    """
    scheme = as_scheme(scheme)
    target, draft = checked_pair(target, draft, scheme)
    if isinstance(scheme, WithReplacement):
        return _replacement_value(target, draft, scheme.k)
    target, draft, give_back = _as_numpy(target, draft)
    if isinstance(scheme, (Independent, Joint)):
        return give_back(_certified_upper(target, draft, scheme))
    return give_back(_prefix_value(target, draft, scheme))


def acceptance_bound(target: Array, draft: Array, scheme: DraftScheme | int, *,
                     method: Literal["optimal", "laminar"] = "optimal") -> AcceptanceBound:
    """Optimal acceptance between a winner law and a cut, both returned.

    Parameters
    ----------
    target, draft, scheme
        As in `optimal_acceptance`.
    method : {"optimal", "laminar"}
        ``laminar``, for `Independent` only: the plan of one sort and its cut, without the search that closes the gap.

    Returns
    -------
    AcceptanceBound
        ``lower``, ``upper``, ``gap`` of shape ``[*batch]``, with ``cut`` and ``winner_law``; ``plan`` is None.

    Raises
    ------
    BadArgument
        An unknown method, or ``laminar`` for another scheme.

    Examples
    --------
    >>> bound = acceptance_bound([1.0, 0.0], [0.5, 0.5], 2)
    >>> float(bound.upper), bound.cut.subset
    (0.75, array([False,  True]))
    """
    scheme = as_scheme(scheme)
    _check_method(method, scheme)
    target, draft = checked_pair(target, draft, scheme)
    target, draft, give_back = _as_numpy(target, draft)
    if isinstance(scheme, (Independent, Joint)):
        solve = _laminar_bound if method == "laminar" else _minimum_norm_bound
        return _by_rows(solve, target, draft, scheme, give_back)
    game = _sampled_game(target, draft, scheme)
    law = _winner_law(game, "universal")
    lower = np.minimum(game.target, law).sum(axis=-1) - _core_violation(law, game)
    value, size = prefix_optimum(game.target, cumulative(game.increments))
    ranked = (np.arange(law.shape[-1]) < size[..., None]) & ~game.empty[..., None]
    # all drafts lie in H only if the certain ones do
    subset = _unsort(ranked, game.order) | game.top
    upper = give_back(np.minimum(game.top_mass + np.where(game.empty, 0.0, value), 1.0))
    return AcceptanceBound(
        lower=give_back(game.top_mass + np.where(game.empty, 0.0, lower)),
        upper=upper,
        cut=Cut(give_back(subset), upper),
        winner_law=give_back(_unsort(law, game.order)),
    )


def optimal_plan(target: Array, draft: Array, scheme: DraftScheme | int, *,
                 method: Literal["highs", "cvxpy", "max_flow"] = "highs") -> AcceptanceBound:
    """Optimal transport plan of one context by a linear programme or a maximum flow, with its certificate.

    Parameters
    ----------
    target : [V]
    draft : [V]
    scheme : DraftScheme or int
    method : {"highs", "cvxpy", "max_flow"}
        The programme, its readable twin, and the same problem as a maximum flow (needs OR-tools).

    Returns
    -------
    AcceptanceBound
        With ``plan`` and ``cut``.

    Raises
    ------
    TooLarge
        Before anything is allocated, with the estimated number of variables.
    MissingExtra
        ``max_flow`` without OR-tools.

    Examples
    --------
    >>> optimal_plan([1.0, 0.0], [0.5, 0.5], 2).plan.acceptance
    0.75
    """
    problem = MembershipProblem(target, draft, as_scheme(scheme))
    if method == "highs":
        from otspec.transport.lp import solve_flow

        return solve_flow(problem)
    if method == "cvxpy":
        from otspec.transport.cvx import solve_flow_cvxpy

        return solve_flow_cvxpy(problem)
    if method == "max_flow":
        from otspec.transport.flow import solve_max_flow

        return solve_max_flow(problem)
    raise BadArgument(f"method: {method!r} is unknown. Fix: 'highs', 'cvxpy' or 'max_flow'.")


def winner_law(target: Array, draft: Array, scheme: DraftScheme | int, *,
               kind: Literal["universal", "minimal"] = "universal") -> Array:
    """Law of the draft that an optimal rule picks before it accepts or rejects.

    Parameters
    ----------
    target, draft, scheme
        As in `optimal_acceptance`.
    kind : {"universal", "minimal"}
        ``universal`` maximises ``sum min(L, s * target)`` for every scale s at once; ``minimal`` only at s = 1, by
        cumulative sums and maxima alone.

    Returns
    -------
    [*batch V]
        For `Hybrid` drafts the law of the winner among the *sampled* drafts, zero on the top tokens.

    Examples
    --------
    >>> winner_law([0.5, 0.5], [0.5, 0.5], 2)
    array([0.5, 0.5])
    """
    if kind not in ("universal", "minimal"):
        raise BadArgument(f"kind: {kind!r} is unknown. Fix: 'universal' or 'minimal'.")
    scheme = as_scheme(scheme)
    target, draft = checked_pair(target, draft, scheme)
    target, draft, give_back = _as_numpy(target, draft)
    if isinstance(scheme, (Independent, Joint)):
        return _by_rows(_minimum_norm_bound, target, draft, scheme, give_back).winner_law
    game = _sampled_game(target, draft, scheme)
    return give_back(_unsort(_winner_law(game, kind), game.order))


def _check_method(method: str, scheme: DraftScheme) -> None:
    if method not in ("optimal", "laminar"):
        raise BadArgument(f"method: {method!r} is unknown. Fix: 'optimal' or 'laminar'.")
    if method == "laminar" and not isinstance(scheme, Independent):
        raise BadArgument(f"method: 'laminar' is for Independent drafters; got {scheme}. Fix: method='optimal'.")


class _Game(NamedTuple):
    """The sampled part of a scheme in the order of target/draft: what the winner is picked from."""

    order: np.ndarray  # [*batch V]
    target: np.ndarray  # [*batch V], sorted, a full law; top tokens sit last, where the capacity is one
    draft: np.ndarray  # [*batch V], sorted law of the sampled drafts
    increments: np.ndarray  # [*batch V], of Pr[all sampled drafts lie in the prefix]
    draws: int
    replacement: bool
    top: np.ndarray  # [*batch V] bool, tokens drafted for certain
    top_mass: np.ndarray  # [*batch]
    empty: np.ndarray  # [*batch] bool, nothing is sampled


def _sampled_game(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> _Game:
    if isinstance(scheme, Hub):
        scheme = Hybrid(1, 2)  # as sets, the same drafts
    if isinstance(scheme, Hybrid):
        top, rest = scheme.split(draft)
        draws, replacement = scheme.num_sampled, False
    else:
        top, rest = np.zeros(draft.shape, dtype=bool), draft
        draws, replacement = scheme.num_drafts, True
    empty = ~(rest > 0).any(axis=-1)
    rest = np.where(empty[..., None], draft, rest)  # any law: the row's result is overwritten
    order = ratio_order(target, rest)
    sorted_draft = np.take_along_axis(rest, order, axis=-1)
    return _Game(order, np.take_along_axis(target, order, axis=-1), sorted_draft,
                 sampled_increments(sorted_draft, draws, replacement), draws, replacement, top,
                 np.where(top, target, 0.0).sum(axis=-1), empty)


def sampled_increments(sorted_draft: np.ndarray, draws: int, replacement: bool) -> np.ndarray:
    """Increments of ``Pr[all draws lie in the first j tokens]``, ``[*batch V]``."""
    if draws == 1:
        return sorted_draft
    if replacement:
        return replacement_increments(sorted_draft, draws)
    from otspec.transport.race import race_increments

    return race_increments(sorted_draft, draws)


def _winner_law(game: _Game, kind: str) -> np.ndarray:
    knots = cumulative(game.increments)
    if kind == "minimal":
        return minimal_law(game.target, knots)
    return universal_law(game.target, knots, increments=game.increments)


def _core_violation(law: np.ndarray, game: _Game) -> np.ndarray:
    """How far ``law`` misses the core, ``max_H Q(H) - law(H)``: zero for a winner law, rounding aside."""
    order = ratio_order(law, game.draft)
    ranked = np.take_along_axis(game.draft, order, axis=-1)
    capacity = cumulative(sampled_increments(ranked, game.draws, game.replacement))
    slack = cumulative(np.take_along_axis(law, order, axis=-1)) - capacity
    return np.maximum(-slack.min(axis=-1), 0.0)


def _unsort(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    out = np.empty_like(values)
    np.put_along_axis(out, order, values, axis=-1)
    return out


def _prefix_value(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> np.ndarray:
    if isinstance(scheme, Hub):
        scheme = Hybrid(1, 2)
    if isinstance(scheme, Hybrid) and scheme.num_sampled == 1:
        top, rest = scheme.split(draft)  # one random draft: its own law is the winner law, nothing to sort
        return np.minimum(np.where(top, target, np.minimum(target, rest)).sum(axis=-1), 1.0)
    game = _sampled_game(target, draft, scheme)
    value, _ = prefix_optimum(game.target, cumulative(game.increments))
    return np.minimum(game.top_mass + np.where(game.empty, 0.0, value), 1.0)


def _replacement_value(target: Array, draft: Array, k: int) -> Array:
    """Bucketed prefixes in NumPy, sorted prefixes on any other array library and device; both renormalise."""
    xp = array_namespace(target, draft)
    target, draft = xp.broadcast_arrays(xp.astype(target, xp.float64), xp.astype(draft, xp.float64))
    if is_numpy_array(target):
        from otspec.transport.prefix import replacement_optimum

        return replacement_optimum(target, draft, k)
    ratio = xp.where(draft > 0, target / xp.where(draft > 0, draft, xp.ones_like(draft)), xp.inf)
    order = xp.argsort(ratio, axis=-1)
    gap_target = cumulative_sum(xp.take_along_axis(target, order, axis=-1))
    gap_draft = cumulative_sum(xp.take_along_axis(draft, order, axis=-1))
    gap = gap_target / gap_target[..., -1:] - (gap_draft / gap_draft[..., -1:]) ** k
    return 1.0 + xp.minimum(xp.min(gap, axis=-1), xp.zeros_like(gap[..., 0]))


def _as_numpy(target: Array, draft: Array) -> tuple[np.ndarray, np.ndarray, Callable[[np.ndarray], Array]]:
    """Float64 NumPy views of CPU arrays, and the way back to the caller's library."""
    xp = array_namespace(target, draft)
    if is_torch_array(target) and target.device.type != "cpu":
        raise BadArgument(
            f"target: on {target.device}, where only draws with replacement are solved. "
            f"Fix: pass .cpu() tensors for the other draft schemes.")
    if is_numpy_array(target):
        def give_back(value: np.ndarray) -> Array:
            return value
    else:
        def give_back(value: np.ndarray) -> Array:
            return xp.asarray(np.ascontiguousarray(value))
    target, draft = np.asarray(target, dtype=np.float64), np.asarray(draft, dtype=np.float64)
    if draft.ndim == target.ndim and draft.shape != target.shape:
        target, draft = np.broadcast_arrays(target, draft)
    elif draft.ndim < target.ndim:
        draft = np.broadcast_to(draft, target.shape)
    return (target / target.sum(axis=-1, keepdims=True), draft / draft.sum(axis=-1, keepdims=True), give_back)


def _by_rows(solve: Callable[..., AcceptanceBound], target: np.ndarray, draft: np.ndarray, scheme: DraftScheme,
             give_back: Callable[[np.ndarray], Array]) -> AcceptanceBound:
    """Solve context by context and stack the certificates."""
    batch, size = target.shape[:-1], target.shape[-1]
    tail = draft.shape[draft.ndim - 1 - scheme.draft_axes:]
    try:
        draft = np.broadcast_to(draft, (*batch, *tail))
    except ValueError:
        raise ShapeMismatch(f"draft: batch shape of {draft.shape} does not fit target {target.shape}. "
                            f"Fix: give both the same leading axes.") from None
    rows = [solve(t, d, scheme) for t, d in zip(target.reshape(-1, size), draft.reshape(-1, *tail), strict=True)]

    def stack(values: list[Any], *shape: int) -> Array:
        return give_back(np.asarray(values).reshape((*batch, *shape)))

    upper = stack([row.upper for row in rows])
    return AcceptanceBound(lower=stack([row.lower for row in rows]), upper=upper,
                           cut=Cut(stack([row.cut.subset for row in rows], size), upper),
                           winner_law=stack([row.winner_law for row in rows], size))


def _minimum_norm_bound(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> AcceptanceBound:
    from otspec.transport.capacities import capacity_along, first_plan
    from otspec.transport.minimum_norm import minimum_norm_law

    first = first_plan(scheme, target, draft, _SEARCHED)
    return _as_bound(minimum_norm_law(target, capacity_along(scheme, draft), first=first, tol=_SEARCHED))


def _laminar_bound(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> AcceptanceBound:
    from otspec.transport.laminar import laminar_plan

    return _as_bound(laminar_plan(target, draft))


def _as_bound(found: Any) -> AcceptanceBound:
    upper = np.float64(min(found.value_upper, 1.0))
    return AcceptanceBound(lower=np.float64(found.value_lower), upper=upper,
                           cut=Cut(found.subset, upper), winner_law=found.law)


def _certified_upper(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> np.ndarray:
    bound = _by_rows(_minimum_norm_bound, target, draft, scheme, lambda value: value)
    worst = float(np.max(bound.gap))
    if worst > CERTIFIED_GAP:
        raise NotCertified(
            f"the bound for {scheme} is open by {worst:.2e}, more than {CERTIFIED_GAP:.0e}. "
            f"Fix: acceptance_bound returns both ends, with the gap.", worst)
    return bound.upper
