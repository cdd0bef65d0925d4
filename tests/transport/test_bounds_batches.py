"""Bounds of batches in every array library, context by context against the best of all cuts."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.bound import AcceptanceBound, Cut
from otspec.transport import bounds
from otspec.transport.programme.cut import cut_of, minimum_cut
from tests.conftest import random_law

SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(3), ot.WithoutReplacement(1), ot.WithoutReplacement(3),
           ot.Greedy(2), ot.Greedy(3), ot.Hybrid(1, 3), ot.Hybrid(2, 4), ot.Hub(), ot.Independent(1),
           ot.Independent(2), ot.Joint(np.array([[0.1, 0.2, 0.0, 0.0], [0.0, 0.3, 0.1, 0.0],
                                                 [0.1, 0.0, 0.0, 0.1], [0.0, 0.1, 0.0, 0.0]]))]
EXACT = 1e-14  # a dozen roundings of numbers up to 1
CERTIFIED = 1e-9  # what a search may leave open


def contexts(scheme, rng, size=4):
    """Laws ``[2 3 V]`` with zeros, ties, equal laws, and draft laws of one token and of two."""
    target, draft = (np.array([[random_law(rng, size, zeros=j == 0, ties=j == 1) for j in range(3)] for _ in range(2)])
                     for _ in range(2))
    draft[0, 2], draft[1, 2] = np.eye(size)[1], target[1, 2]
    draft[1, 0] = [0.25, 0.0, 0.75, 0.0]
    if isinstance(scheme, ot.Independent):
        return target, np.stack([draft, rng.permutation(draft, axis=-1)][: scheme.k], axis=-2)
    return target, None if isinstance(scheme, ot.Joint) else draft


def problem(target, draft, scheme, i):
    return ot.MembershipProblem(target[i], None if draft is None else draft[i], scheme)


@pytest.mark.parametrize("scheme", SCHEMES, ids=lambda scheme: str(scheme)[:24])
def test_every_context_has_the_best_of_all_cuts(scheme, convert, rng):
    target, draft = contexts(scheme, rng)
    given = convert(target), None if draft is None else convert(draft), scheme
    exact = np.array([[float(minimum_cut(problem(target, draft, scheme, (i, j))).value) for j in range(3)]
                      for i in range(2)])
    bound, value = ot.acceptance_bound(*given), ot.optimal_acceptance(*given)
    law = ot.winner_law(*given)
    assert {type(x) for x in (bound.lower, bound.upper, bound.cut.subset, bound.cut.value, bound.winner_law, value,
                              law)} == {type(given[0])}
    assert bound.plan is None
    close = CERTIFIED if isinstance(scheme, ot.Independent | ot.Joint) else EXACT
    for found in (bound.lower, bound.upper, bound.cut.value, value):
        np.testing.assert_allclose(np.asarray(found), exact, atol=close)
    np.testing.assert_array_equal(np.asarray(law), np.asarray(bound.winner_law))
    assert law.shape == target.shape
    subset = np.asarray(bound.cut.subset)
    for i in np.ndindex(2, 3):
        assert float(cut_of(problem(target, draft, scheme, i), subset[i]).value) == pytest.approx(exact[i], abs=close)


@pytest.mark.parametrize("scheme", SCHEMES[:-1], ids=str)
def test_laws_that_miss_one_by_the_rounding_of_their_dtype_are_normalised(scheme, rng):
    target, draft = contexts(scheme, rng)
    target, draft = (target * (1 + 4e-7)).astype(np.float32), (draft * (1 - 4e-7)).astype(np.float32)
    exact = [float(minimum_cut(problem(target, draft, scheme, i)).value) for i in np.ndindex(2, 3)]
    bound = ot.acceptance_bound(target, draft, scheme)
    close = CERTIFIED if isinstance(scheme, ot.Independent) else 1e-13
    for found in (bound.lower, bound.upper, ot.optimal_acceptance(target, draft, scheme)):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.ravel(), exact, atol=close)
    there = ot.optimal_acceptance(torch.from_numpy(target), torch.from_numpy(draft), scheme)
    assert there.dtype == torch.float64
    np.testing.assert_allclose(there.numpy().ravel(), exact, atol=close)


@pytest.mark.parametrize("scheme", [one for one in SCHEMES if not isinstance(one, ot.Independent | ot.Joint)], ids=str)
def test_whole_arrays_keep_their_batch(scheme, rng):
    """The form for a device, here on the CPU, with two batch axes."""
    given = contexts(scheme, rng)
    bound = ot.acceptance_bound(*given, scheme)
    there = [torch.from_numpy(law) for law in given]
    lower, upper, subset, law = (found.numpy() for found in bounds._both_ends(*there, scheme))
    for found, want in ((lower, bound.lower), (upper, bound.upper), (bounds._prefix_value(*there, scheme), bound.upper),
                        (bounds._prefix_value(*given, scheme), bound.upper)):
        np.testing.assert_allclose(np.asarray(found), want, atol=EXACT)
    assert (np.asarray(bounds._prefix_value(*given, scheme)) <= 1).all()
    np.testing.assert_allclose(np.where(given[0] > 0, law - bound.winner_law, 0), 0, atol=EXACT)
    for i in np.ndindex(2, 3):
        cut = cut_of(problem(*given, scheme, i), subset[i])
        assert float(cut.value) == pytest.approx(upper[i], abs=EXACT)


def test_one_target_law_meets_the_laws_of_several_sets_of_drafters(rng):
    target, drafts = random_law(rng, 4), rng.dirichlet(np.ones(4), (2, 3, 2))
    scheme = ot.Independent(2)
    for method in ("optimal", "laminar"):
        bound = ot.acceptance_bound(target, drafts, scheme, method=method)
        assert bound.lower.shape == bound.upper.shape == (2, 3)
        assert bound.cut.subset.shape == bound.winner_law.shape == (2, 3, 4)
        for i in np.ndindex(2, 3):
            alone = ot.acceptance_bound(target, drafts[i], scheme, method=method)
            assert (bound.lower[i], bound.upper[i]) == (alone.lower, alone.upper)
            np.testing.assert_array_equal(bound.winner_law[i], alone.winner_law)
            np.testing.assert_array_equal(bound.cut.subset[i], alone.cut.subset)
            exact = float(minimum_cut(ot.MembershipProblem(target, drafts[i], scheme)).value)
            assert alone.lower <= exact + EXACT
            assert exact <= alone.upper + EXACT


def test_no_context_at_all_has_no_bound():
    for scheme, shape in ((ot.WithReplacement(2), (0, 3)), (ot.WithoutReplacement(2), (0, 3)),
                          (ot.Independent(2), (0, 2, 3))):
        assert ot.optimal_acceptance(np.ones((0, 3)), np.ones(shape), scheme).shape == (0,)
        assert ot.acceptance_bound(np.ones((0, 3)), np.ones(shape), scheme).winner_law.shape == (0, 3)


@pytest.mark.parametrize("scheme", [ot.Greedy(3), ot.Hybrid(1, 3), ot.WithoutReplacement(2), ot.WithReplacement(3)],
                         ids=str)
def test_equal_laws_are_accepted_for_certain_and_never_more(scheme, rng):
    laws = rng.dirichlet(np.full(7, 0.5), 500)
    for law in (laws, laws * (1 + 1e-12)):
        for found in (ot.optimal_acceptance(law, law, scheme), bounds._prefix_value(law, law, scheme),
                      ot.acceptance_bound(law, law, scheme).upper):
            assert found == pytest.approx(np.ones(500), abs=EXACT)
            assert found.max() <= 1.0


@pytest.mark.parametrize(("call", "complaint"), [
    (lambda p: ot.acceptance_bound(p, p, 2, method="optmal"),
     "method: 'optmal' is unknown.* 'optimal'.* Fix: 'optimal' or 'laminar'"),
    (lambda p: ot.acceptance_bound(p, p, 2, method="laminar"), r"'laminar' is for .*; got WithReplacement\(k=2\)"),
    (lambda p: ot.winner_law(p, p, 2, kind="minimum"), "kind: 'minimum' is unknown.*Fix: 'universal' or 'minimal'"),
    (lambda p: ot.optimal_plan(p, p, 2, method="higs"), "method: 'higs' is unknown.*'highs'.*'cvxpy' or 'max_flow'"),
])
def test_unknown_ways_are_named_with_the_known_ones(call, complaint):
    with pytest.raises(ot.BadArgument, match=complaint):
        call(np.full(2, 0.5))


def test_a_bound_that_does_not_close_is_no_value(monkeypatch):
    ends = iter([0.0, 3e-9, 2e-9, 1e-9, 0.0])

    def solve(target, draft, scheme):
        upper = np.float64(next(ends))
        return AcceptanceBound(np.float64(0), upper, Cut(np.zeros(2, dtype=bool), upper), winner_law=target)

    monkeypatch.setattr(bounds, "_minimum_norm_bound", solve)
    target, drafts = np.full((3, 2), 0.5), np.full((3, 1, 2), 0.5)
    with pytest.raises(ot.NotCertified, match=r"Independent\(k=1\) is open by 3.00e-09, more than 1e-09") as caught:
        ot.optimal_acceptance(target, drafts, ot.Independent(1))
    assert caught.value.gap == 3e-9
    assert ot.optimal_acceptance(target[:2], drafts[:2], ot.Independent(1)).tolist() == [1e-9, 0.0]


def test_what_a_winner_law_misses_is_taken_off(monkeypatch):
    """A law that always picks the target's favourite, which two drafts hold three times in four."""
    monkeypatch.setattr(bounds.SortedLaws, "law", lambda laws: laws.target)
    bound = ot.acceptance_bound(np.array([1.0, 0.0]), np.array([0.5, 0.5]), 2)
    assert (float(bound.lower), float(bound.upper)) == (0.75, 0.75)


def test_the_plan_of_one_sort_leaves_a_gap_that_the_search_closes():
    laws = np.random.default_rng(1).dirichlet(np.full(5, 0.2), (80, 5))
    sorted_once, searched = (ot.acceptance_bound(laws[:, 0], laws[:, 1:], ot.Independent(4), method=method)
                             for method in ("laminar", "optimal"))
    assert searched.gap.max() <= CERTIFIED
    assert sorted_once.gap.max() > 1e-6
    assert (sorted_once.lower <= searched.upper + EXACT).all()
    assert (sorted_once.upper >= searched.lower - EXACT).all()


def test_laws_on_a_device_stay_there():
    """A tensor without data stands for one on a device."""
    laws = torch.ones((2, 4), dtype=torch.float32, device="meta")
    target, draft, give_back = bounds._prepared(laws, laws, ot.WithReplacement(2))
    assert (target.device, draft.device, target.dtype) == (laws.device, laws.device, torch.float64)
    assert give_back(target) is target
    for scheme in (ot.Independent(1), ot.Joint(np.full((4, 4), 1 / 16))):
        with pytest.raises(ot.BadArgument, match=r"target: on meta, where .* Fix: pass .cpu\(\) tensors"):
            bounds._prepared(laws, laws[:, None], scheme)


def test_an_upper_end_above_one_by_rounding_is_one():
    found = SimpleNamespace(value_lower=1.0, value_upper=1 + 2.0**-52, subset=np.ones(2, dtype=bool), law=None)
    bound = bounds._as_bound(found)
    assert float(bound.upper) == float(bound.cut.value) == 1.0
