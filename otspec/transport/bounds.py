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
from otspec.core.checks import check_no_grad
from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, NotCertified
from otspec.core.host import on_host
from otspec.core.names import did_you_mean
from otspec.core.problem import MembershipProblem
from otspec.core.schemes import DraftScheme, Hybrid, WithReplacement, as_scheme, same_sets
from otspec.core.verifier import checked_pair
from otspec.transport.winner.laws import cumulative, prefix_optimum, ratio_order
from otspec.transport.winner.sorted_laws import SortedLaws, sampled_increments, sort_laws

Array = Any
CERTIFIED_GAP = 1e-9
METHODS, KINDS, WAYS = ("highs", "cvxpy", "max_flow"), ("universal", "minimal"), ("optimal", "laminar")
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
    target, draft, give_back = _prepared(target, draft, scheme)
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
    target, draft, give_back = _prepared(target, draft, scheme)
    if isinstance(scheme, (Independent, Joint)):
        solve = _laminar_bound if method == "laminar" else _minimum_norm_bound
        return _by_rows(solve, target, draft, scheme, give_back)
    lower, upper, subset, law = map(give_back, _both_ends(target, draft, scheme))
    return AcceptanceBound(lower=lower, upper=upper, cut=Cut(subset, upper), winner_law=law)


def _both_ends(target: Array, draft: Array, scheme: DraftScheme) -> tuple[Array, Array, Array, Array]:
    """Lower and upper end ``[*batch]``, subset of the cut and winner law ``[*batch V]``."""
    xp = array_namespace(target, draft)
    sampled = _sampled(target, draft, scheme)
    laws, law = sampled.laws, sampled.laws.law()
    lower = xp.sum(xp.minimum(laws.target, law), axis=-1) - _core_violation(law, sampled)
    value, size = prefix_optimum(laws.target, laws.capacity)
    # all drafts lie in H only if the certain ones do
    subset = ((laws.rank < size[..., None]) & ~sampled.empty[..., None]) | sampled.top
    lower, value = (xp.where(sampled.empty, xp.zeros_like(end), end) for end in (lower, value))
    upper = sampled.top_mass + value
    return (sampled.top_mass + lower, xp.where(upper < 1.0, upper, xp.ones_like(upper)), subset, laws.by_token(law))


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
        from otspec.transport.programme.lp import solve_flow

        return solve_flow(problem)
    if method == "cvxpy":
        from otspec.transport.programme.cvx import solve_flow_cvxpy

        return solve_flow_cvxpy(problem)
    if method == "max_flow":
        from otspec.transport.programme.flow import solve_max_flow

        return solve_max_flow(problem)
    raise BadArgument(f"method: {method!r} is unknown."
                      f"{did_you_mean(method, METHODS)} Fix: 'highs', 'cvxpy' or 'max_flow'.")


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
    if kind not in KINDS:
        raise BadArgument(f"kind: {kind!r} is unknown.{did_you_mean(kind, KINDS)} Fix: 'universal' or 'minimal'.")
    scheme = as_scheme(scheme)
    target, draft = checked_pair(target, draft, scheme)
    target, draft, give_back = _prepared(target, draft, scheme)
    if isinstance(scheme, (Independent, Joint)):
        return _by_rows(_minimum_norm_bound, target, draft, scheme, give_back).winner_law
    laws = _sampled(target, draft, scheme).laws
    return give_back(laws.by_token(laws.law(kind)))


def _check_method(method: str, scheme: DraftScheme) -> None:
    if method not in WAYS:
        raise BadArgument(f"method: {method!r} is unknown.{did_you_mean(method, WAYS)} Fix: 'optimal' or 'laminar'.")
    if method == "laminar" and not isinstance(scheme, Independent):
        raise BadArgument(f"method: 'laminar' is for Independent drafters; got {scheme}. Fix: method='optimal'.")


class _Sampled(NamedTuple):
    """The sampled part of a scheme, and what is drafted for certain; top tokens sit last, where the capacity is one."""

    laws: SortedLaws
    draws: int
    race: bool
    top: Array  # [*batch V] bool, tokens drafted for certain
    top_mass: Array  # [*batch]
    empty: Array  # [*batch] bool, nothing is sampled


def _sampled(target: Array, draft: Array, scheme: DraftScheme) -> _Sampled:
    xp = array_namespace(target, draft)
    scheme = same_sets(scheme)
    race = isinstance(scheme, Hybrid)
    draws = scheme.num_sampled if isinstance(scheme, Hybrid) else scheme.num_drafts
    top, rest = scheme.split(draft) if isinstance(scheme, Hybrid) else (xp.zeros_like(draft, dtype=xp.bool), draft)
    empty = ~xp.any(rest > 0, axis=-1)
    rest = xp.where(empty[..., None], draft, rest)  # any law: the row's result is overwritten
    top_mass = xp.sum(xp.where(top, target, xp.zeros_like(target)), axis=-1)
    return _Sampled(sort_laws(target, rest, draws, race=race), draws, race, top, top_mass, empty)


def _core_violation(law: Array, sampled: _Sampled) -> Array:
    """How far ``law`` misses the core, ``max_H Q(H) - law(H)``: zero for a winner law, rounding aside."""
    xp = array_namespace(law)
    order = ratio_order(law, sampled.laws.draft)
    ranked = xp.take_along_axis(sampled.laws.draft, order, axis=-1)
    capacity = cumulative(sampled_increments(ranked, sampled.draws, race=sampled.race))
    return xp.max(capacity - cumulative(xp.take_along_axis(law, order, axis=-1)), axis=-1)


def _prefix_value(target: Array, draft: Array, scheme: DraftScheme) -> Array:
    xp = array_namespace(target, draft)
    scheme = same_sets(scheme)
    if isinstance(scheme, Hybrid) and scheme.num_sampled == 1:
        top, rest = scheme.split(draft)  # one random draft: its own law is the winner law, nothing to sort
        value = xp.sum(xp.where(top, target, xp.minimum(target, rest)), axis=-1)
    else:
        sampled = _sampled(target, draft, scheme)
        value, _ = prefix_optimum(sampled.laws.target, sampled.laws.capacity)
        value = sampled.top_mass + xp.where(sampled.empty, xp.zeros_like(value), value)
    return xp.where(value < 1.0, value, xp.ones_like(value))


def _replacement_value(target: Array, draft: Array, k: int) -> Array:
    """Bucketed prefixes in NumPy, sorted prefixes on any other array library and device; both renormalise."""
    xp = array_namespace(target, draft)
    target, draft = xp.astype(target, xp.float64), xp.astype(draft, xp.float64)
    if is_numpy_array(target):
        from otspec.transport.winner.prefix import replacement_optimum

        return replacement_optimum(target, draft, k)
    order = ratio_order(target, draft)
    target, draft = (xp.take_along_axis(law, order, axis=-1) for law in (target, draft))
    return prefix_optimum(target, cumulative(draft) ** k)[0]


def _prepared(target: Array, draft: Array, scheme: DraftScheme) -> tuple[Array, Array, Callable[[Array], Array]]:
    """Normalised float64 laws, as NumPy views where they lie on the CPU, and the way back to the caller's library."""
    xp = array_namespace(target, draft)
    if is_torch_array(target) and not on_host(target):
        if isinstance(scheme, (Independent, Joint)):
            raise BadArgument(f"target: on {target.device}, where the minimum-norm point of {scheme} is not solved. "
                              f"Fix: pass .cpu() tensors.")
        return *_normalised(xp.astype(target, xp.float64), xp.astype(draft, xp.float64)), lambda value: value
    check_no_grad(target=target, draft=draft)
    in_library = not is_numpy_array(target)
    target, draft = np.asarray(target, dtype=np.float64), np.asarray(draft, dtype=np.float64)

    def give_back(value: np.ndarray) -> Array:
        # ascontiguousarray makes one axis of none
        return xp.asarray(np.ascontiguousarray(value).reshape(np.shape(value))) if in_library else value

    return *_normalised(target, draft), give_back


def _normalised(*laws: Array) -> tuple[Array, ...]:
    return tuple(law / array_namespace(law).sum(law, axis=-1, keepdims=True) for law in laws)


def _by_rows(solve: Callable[..., AcceptanceBound], target: np.ndarray, draft: np.ndarray, scheme: DraftScheme,
             give_back: Callable[[np.ndarray], Array]) -> AcceptanceBound:
    """Solve context by context and stack the certificates."""
    batch, size = target.shape[:-1], target.shape[-1]
    tail = draft.shape[target.ndim - 1 :]
    rows = [solve(t, d, scheme) for t, d in zip(target.reshape(-1, size), draft.reshape(-1, *tail), strict=True)]

    def stack(values: list[Any], *shape: int) -> Array:
        return give_back(np.asarray(values).reshape((*batch, *shape)))

    upper = stack([row.upper for row in rows])
    return AcceptanceBound(lower=stack([row.lower for row in rows]), upper=upper,
                           cut=Cut(stack([row.cut.subset for row in rows], size), upper),
                           winner_law=stack([row.winner_law for row in rows], size))


def _minimum_norm_bound(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> AcceptanceBound:
    from otspec.transport.drafters.capacities import capacity_along, first_plan
    from otspec.transport.drafters.minimum_norm import minimum_norm_law

    first = first_plan(scheme, target, draft, _SEARCHED)
    return _as_bound(minimum_norm_law(target, capacity_along(scheme, draft), first=first, tol=_SEARCHED))


def _laminar_bound(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> AcceptanceBound:
    from otspec.transport.drafters.laminar import laminar_plan

    return _as_bound(laminar_plan(target, draft))


def _as_bound(found: Any) -> AcceptanceBound:
    upper = np.float64(min(found.value_upper, 1.0))
    return AcceptanceBound(lower=np.float64(found.value_lower), upper=upper,
                           cut=Cut(found.subset, upper), winner_law=found.law)


def _certified_upper(target: np.ndarray, draft: np.ndarray, scheme: DraftScheme) -> np.ndarray:
    bound = _by_rows(_minimum_norm_bound, target, draft, scheme, lambda value: value)
    worst = float(np.max(bound.gap, initial=0.0))
    if worst > CERTIFIED_GAP:
        raise NotCertified(
            f"the bound for {scheme} is open by {worst:.2e}, more than {CERTIFIED_GAP:.0e}. "
            f"Fix: acceptance_bound returns both ends, with the gap.", worst)
    return bound.upper
