import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core.problem import MembershipProblem
from otspec.transport import bounds
from otspec.transport.programme.cut import minimum_cut
from otspec.transport.programme.lp import check_size, count_arcs
from tests.conftest import random_law
from tests.oracles import drafting, golden, optimum
from tests.oracles.waiting import NoWaiting

SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(2), ot.WithReplacement(3), ot.WithoutReplacement(2),
           ot.WithoutReplacement(3), ot.Greedy(2), ot.Greedy(3), ot.Hybrid(1, 3), ot.Hub()]
SIX_DIGITS = 5e-7  # the golden table is printed to six digits


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("kind", ["plain", "zeros", "equal", "disjoint", "one-hot draft"])
def test_the_optimum_is_certified_from_both_sides(scheme, kind, rng):
    for _ in range(12):
        size = int(rng.integers(4, 7))
        target, draft = (random_law(rng, size, zeros=kind == "zeros") for _ in range(2))
        if kind == "equal":
            draft = target
        if kind == "disjoint":
            draft = ot.normalize(np.where(np.arange(size) < size // 2, draft, 0.0))
            target = ot.normalize(np.where(np.arange(size) < size // 2, 0.0, target))
        if kind == "one-hot draft":
            draft = np.eye(size)[rng.integers(size)]
        problem = ot.MembershipProblem(target, draft, scheme)
        plan = ot.optimal_plan(target, draft, scheme)
        bound = ot.acceptance_bound(target, draft, scheme)
        exact = float(minimum_cut(problem).value)
        tolerance = 64 * np.finfo(float).eps * size  # exact routes
        for value in (plan.lower, plan.upper, plan.plan.acceptance, bound.lower, bound.upper,
                      ot.optimal_acceptance(target, draft, scheme)):
            assert abs(float(value) - exact) <= tolerance
        assert plan.plan.violation() <= tolerance
        assert abs(problem.target[bound.cut.subset].sum() + 1
                   - _containment(problem, bound.cut.subset) - exact) <= tolerance


def _containment(problem, subset):
    sets, law = problem.sets
    return law[np.where(sets >= 0, subset[sets], True).all(axis=1)].sum()


@pytest.mark.parametrize(("name", "k"), list(golden.GOLDEN), ids=str)
def test_golden_optima(name, k):
    target, draft = (np.array(law, dtype=float) for law in golden.INSTANCES[name])
    row = golden.GOLDEN[name, k]
    for column, scheme in (("opt_iid", ot.WithReplacement(k)), ("opt_wor", ot.WithoutReplacement(k)),
                           ("greedy", ot.Greedy(k))):
        assert float(ot.optimal_acceptance(target, draft, scheme)) == pytest.approx(row[column], abs=SIX_DIGITS)


def test_the_set_programme_equals_the_full_programme_on_lists(rng):
    for scheme, lists in ((ot.WithReplacement(2), lambda q: drafting.iid(q, 2)),
                          (ot.WithoutReplacement(2), lambda q: drafting.without_replacement(q, 2))):
        # equality constraints need masses above the solver's own feasibility tolerance of 1e-7
        target, draft = (ot.normalize(random_law(rng, 4) + 0.05) for _ in range(2))
        full = optimum.full_lp(target.tolist(), lists(draft.tolist()))
        assert float(ot.optimal_plan(target, draft, scheme).lower) == pytest.approx(full, abs=1e-9)  # solver's digits


def test_both_statements_of_the_programme_agree(rng):
    target, draft = random_law(rng, 6), random_law(rng, 6)
    one, two = (ot.optimal_plan(target, draft, 2, method=method) for method in ("highs", "cvxpy"))
    assert abs(one.lower - two.lower) < 1e-12
    assert abs(one.upper - two.upper) < 1e-12
    with pytest.raises(ot.BadArgument, match="'simplex'"):
        ot.optimal_plan(target, draft, 2, method="simplex")


def test_a_plan_emits_the_target_law(rng):
    target, draft = random_law(rng, 5, zeros=True), random_law(rng, 5)
    problem = ot.MembershipProblem(target, draft, 3)
    plan = ot.optimal_plan(target, draft, 3).plan
    lists, law = problem.lists
    np.testing.assert_allclose(law @ plan.conditional(lists), target, atol=1e-14)


def test_different_drafters_are_certified(rng):
    for _ in range(6):
        target, drafts = random_law(rng, 5), np.stack([random_law(rng, 5) for _ in range(2)])
        exact = float(minimum_cut(ot.MembershipProblem(target, drafts, ot.Independent(2))).value)
        bound = ot.acceptance_bound(target, drafts, ot.Independent(2))
        assert bound.lower <= exact + 1e-12 <= bound.upper + 2e-12
        assert float(bound.gap) <= 1e-9
        assert abs(float(ot.optimal_acceptance(target, drafts, ot.Independent(2))) - exact) <= 1e-9


def test_joint_tables_and_oracles_agree(rng):
    target = random_law(rng, 4)
    table = rng.dirichlet(np.full(16, 0.5)).reshape(4, 4)
    scheme = ot.Joint(table)

    def inside(subset):
        return float(table[np.ix_(subset, subset)].sum())

    exact = float(minimum_cut(ot.MembershipProblem(target, None, scheme)).value)
    assert abs(float(ot.optimal_acceptance(target, None, scheme)) - exact) <= 1e-9
    oracle = ot.Joint(capacity=inside, k=2, size=4)
    assert abs(float(ot.optimal_acceptance(target, None, oracle)) - exact) <= 1e-9
    with pytest.raises(ot.BadArgument, match="grows from 0"):
        ot.optimal_acceptance(target, None, ot.Joint(capacity=lambda subset: 0.5, k=2, size=4))


@pytest.mark.parametrize(("capacity", "complaint"), [
    (lambda subset: np.nan if subset.sum() == 2 else subset.mean(), "returned nan for a subset of 2 tokens"),
    (lambda subset: None, "returned None for a subset of 0 tokens, which is no finite number"),
    (lambda subset: subset / 4, r"returned array\(\[0., 0., 0., 0.\]\)"),
    (lambda subset: 2 * subset.mean(), "runs from 0 to 2 with"),
    (lambda subset: [0, 0.8, 0.6, 0.4, 1][subset.sum()], "with smallest step -0.2"),
    (lambda subset: np.sqrt(subset.mean()), "0.707106781 for a subset of 2 .* 0.292893219 only, so it is not supermod"),
    (lambda subset: (subset.fill(True), 1.0)[1], "runs from 1 to 1"),
])
@pytest.mark.parametrize("solve", [ot.optimal_acceptance, ot.acceptance_bound,
                                   lambda *given: ot.verifier("optimal", given[2]).acceptance(*given[:2])])
def test_a_wrong_capacity_oracle_is_refused(capacity, complaint, solve):
    with pytest.raises(ot.BadArgument, match=f"^capacity: .*{complaint}"):
        solve(np.array([0.4, 0.3, 0.2, 0.1]), None, ot.Joint(capacity=capacity, k=2, size=4))


def test_right_capacities_pass_the_checks_of_wrong_ones(rng):
    for k in (1, 2, 4):
        drafts, target = rng.dirichlet(np.full(8, 0.3), k), rng.dirichlet(np.ones(8))
        drafts[0, :4] = 0.0
        drafts[0] /= drafts[0].sum()
        scheme = ot.Joint(capacity=lambda subset, d=drafts: d[:, subset].sum(axis=1).prod(), k=k, size=8)
        found, want = (ot.acceptance_bound(target, *given).upper
                       for given in ((None, scheme), (drafts, ot.Independent(k))))
        assert found == pytest.approx(want, abs=1e-12)  # sums of eight numbers


def test_a_joint_law_without_a_draft_argument_follows_the_target():
    table, target = np.array([[0.1, 0.2], [0.3, 0.4]]), np.array([0.5, 0.5])
    value = ot.acceptance_bound(target, None, ot.Joint(table)).upper
    single = ot.acceptance_bound(target.astype(np.float32), None, ot.Joint(table)).upper
    assert single == pytest.approx(value, abs=1e-7)  # a target of 24 bits
    other = ot.acceptance_bound(torch.tensor(target), None, ot.Joint(table)).upper
    assert isinstance(other, torch.Tensor)
    assert float(other) == value


def test_other_bad_schemes_of_drafts_are_named():
    law = np.full(2, 0.5)
    with pytest.raises(ot.BadArgument, match=r"capacity: 0.5 cannot be called"):
        ot.Joint(capacity=0.5, k=2, size=4)
    for k, size in ((0, 4), (2, 0)):
        with pytest.raises(ot.BadArgument, match="0 is smaller than 1"):
            ot.Joint(capacity=lambda subset: 1.0, k=k, size=size)
    with pytest.raises(ot.BadArgument, match=r"draws 3 drafts from a vocabulary of 2"):
        ot.acceptance_bound(law, law, ot.WithoutReplacement(3))
    # drafts that need not be distinct may outnumber the tokens: one token is missing with chance 1/8
    target = np.array([1.0, 0.0])
    for draft, scheme in ((None, ot.Joint(np.full((2, 2, 2), 0.125))), (np.tile(law, (3, 1)), ot.Independent(3))):
        assert float(ot.acceptance_bound(target, draft, scheme).upper) == pytest.approx(0.875, abs=1e-12)
    with pytest.raises(ot.NotALaw, match="table: dtype float16 is refused"):
        ot.Joint(np.full((2, 2), 0.25, dtype=np.float16))
    with pytest.raises(ot.NotALaw, match="draft: dtype float16 is refused"):
        ot.acceptance_bound(law, np.full((2, 2), 0.5, dtype=np.float16), ot.Independent(2))
    with pytest.raises(ot.ShapeMismatch, match="dtypes differ: target float64, draft float32"):
        ot.acceptance_bound(law, np.full((2, 2), 0.5, dtype=np.float32), ot.Independent(2))
    rule = ot.verifier("laminar", ot.Independent(2))
    with pytest.raises(ot.ShapeMismatch, match="libraries differ: tokens is numpy, target is torch"):
        rule.conditional(torch.tensor(law), torch.full((2, 2), 0.5, dtype=torch.float64), np.array([0, 1]))
    with pytest.raises(ot.ShapeMismatch, match="libraries differ: uniforms is numpy, target is torch"):
        rule.draw(torch.tensor(law), torch.full((2, 2), 0.5, dtype=torch.float64), torch.tensor([0, 1]), np.zeros(3))


@pytest.mark.parametrize("scheme", [ot.WithReplacement(4), ot.WithoutReplacement(4), ot.Greedy(3)], ids=str)
def test_batches_libraries_and_dtypes_give_the_rows(scheme, convert, rng):
    target, draft = (np.stack([random_law(rng, 50) for _ in range(6)]).reshape(2, 3, 50) for _ in range(2))
    rows = np.array([[float(ot.optimal_acceptance(target[i, j], draft[i, j], scheme)) for j in range(3)]
                     for i in range(2)])
    np.testing.assert_allclose(np.asarray(ot.optimal_acceptance(convert(target), convert(draft), scheme)), rows,
                               atol=64 * np.finfo(float).eps * 50)
    single = ot.optimal_acceptance(convert(target.astype(np.float32)), convert(draft.astype(np.float32)), scheme)
    np.testing.assert_allclose(np.asarray(single), rows, atol=50 * np.finfo(np.float32).eps)
    bound = ot.acceptance_bound(convert(target), convert(draft), scheme)
    assert np.abs(np.asarray(bound.gap)).max() <= 64 * np.finfo(float).eps * 50
    assert bound.cut.subset.shape == (2, 3, 50)


@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_winner_laws_attain_the_optimum_and_lie_in_the_core(kind, scheme, rng):
    for _ in range(5):
        target, draft = random_law(rng, 5, zeros=True), random_law(rng, 5)
        law = ot.winner_law(target, draft, scheme, kind=kind)
        top = np.zeros(5, dtype=bool)
        if isinstance(scheme, (ot.Greedy, ot.Hybrid)):
            top = scheme.split(draft)[0]
        elif isinstance(scheme, ot.Hub):
            top = ot.Greedy(2).split(draft)[0]
        assert law[top].sum() == 0
        value = target[top].sum() + np.minimum(target, law).sum()
        assert value == pytest.approx(float(ot.optimal_acceptance(target, draft, scheme)), abs=1e-13)  # V * eps
        if not top.any():
            problem = ot.MembershipProblem(target, draft, scheme)
            for code in range(32):
                subset = (code >> np.arange(5)) & 1 == 1
                assert law[subset].sum() >= _containment(problem, subset) - 1e-13


def test_a_law_outside_the_core_is_not_believed():
    target, draft = np.array([1.0, 0.0]), np.array([0.5, 0.5])
    sampled = bounds._sampled(target, draft, ot.WithReplacement(2))
    wish = np.take(target, sampled.laws.order)  # always win with the target's favourite: no rule can
    assert bounds._core_violation(wish, sampled) == pytest.approx(0.25)


def test_large_vocabularies_are_certified(rng):
    size = 20_000
    target, draft = rng.dirichlet(np.full(size, 0.05), size=2)
    draft = 0.5 * draft + 0.5 * target
    for scheme in (ot.WithReplacement(8), ot.WithoutReplacement(4), ot.Greedy(4)):
        bound = ot.acceptance_bound(target, draft, scheme)
        assert abs(float(bound.gap)) <= max(1e-9, 64 * np.finfo(float).eps * size)
        assert abs(float(ot.optimal_acceptance(target, draft, scheme)) - float(bound.upper)) <= 1e-12


def test_what_does_not_fit_is_refused_with_its_size():
    law = np.full(4000, 1 / 4000)
    with pytest.raises(ot.TooLarge, match="optimal_acceptance") as caught:
        ot.optimal_plan(law, law, 2)
    assert caught.value.estimate > 1e7
    small = MembershipProblem(law[:9] * 4000 / 9, law[:9] * 4000 / 9, ot.WithReplacement(2))
    check_size(small, count_arcs(small))
    with pytest.raises(ot.TooLarge, match="variables, more than 5e") as caught:
        check_size(small, 5)
    assert caught.value.estimate == count_arcs(small)
    with pytest.raises(ot.ShapeMismatch, match="one context"):
        ot.optimal_plan(np.full((2, 2), 0.5), np.full((2, 2), 0.5), 2)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_no_optimum_is_above_one(scheme, rng):
    laws = rng.dirichlet(np.full(7, 0.5), 500)
    assert float(np.max(ot.optimal_acceptance(laws, laws, scheme))) <= 1.0


def test_absent_draws_mean_fewer_drafts():
    target, draft = np.array([0.2, 0.3, 0.5]), np.array([0.5, 0.5, 0.0])
    full = ot.optimal_acceptance(target, draft, ot.WithoutReplacement(3))
    assert float(full) == pytest.approx(float(ot.optimal_acceptance(target, draft, ot.WithoutReplacement(2))))
    assert float(full) == pytest.approx(0.5)
    assert float(ot.optimal_acceptance(target, draft, ot.Greedy(3))) == pytest.approx(0.5)


def test_torch_results_stay_torch():
    law = torch.full((3, 4), 0.25, dtype=torch.float64)
    for scheme in (2, ot.WithoutReplacement(2)):
        assert isinstance(ot.optimal_acceptance(law, law, scheme), torch.Tensor)
        assert isinstance(ot.acceptance_bound(law, law, scheme).winner_law, torch.Tensor)
    with pytest.raises(ot.NotALaw, match="half-precision"):
        ot.optimal_acceptance(law.to(torch.bfloat16), law.to(torch.bfloat16), 2)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_whole_arrays_give_the_same_certificate_without_waiting(scheme, rng):
    """What runs on a device, here on the CPU: the same ends, cut and winner laws as the compiled form."""
    target, draft = (np.stack([random_law(rng, 40, zeros=i % 2 == 0) for i in range(8)]) for _ in range(2))
    draft[-2:] = np.eye(40)[:2]
    there = torch.from_numpy(target), torch.from_numpy(draft), scheme
    with NoWaiting():
        found = *bounds._both_ends(*there), bounds._prefix_value(*there)
        minimal = bounds._sampled(*there)
        minimal = minimal.laws.by_token(minimal.laws.law("minimal"))
    bound = ot.acceptance_bound(target, draft, scheme)
    tolerance = 64 * np.finfo(float).eps * 40  # exact routes
    lower, upper, subset, law, value = (got.numpy() for got in found)
    for got, want in ((lower, bound.lower), (upper, bound.upper), (value, bound.upper)):
        assert np.abs(got - want).max() <= tolerance
    # tokens that the target never emits are tied: which of them wins depends on their order
    assert np.abs(law - bound.winner_law)[target > 0].max() <= tolerance
    # the cut may differ between ties, its value may not
    for row in range(8):
        problem = ot.MembershipProblem(target[row], draft[row], scheme)
        if scheme.num_drafts < 3:
            value = 1 + problem.target[subset[row]].sum() - _containment(problem, subset[row])
            assert value == pytest.approx(float(bound.upper[row]), abs=tolerance)
    emitted = np.minimum(target, minimal.numpy()).sum(axis=-1)
    assert emitted == pytest.approx(np.minimum(target, bound.winner_law).sum(axis=-1), abs=tolerance)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_cuda_tensors_stay_on_their_device(scheme, rng):
    target, draft = (np.stack([random_law(rng, 300) for _ in range(8)]) for _ in range(2))
    there = torch.from_numpy(target).cuda(), torch.from_numpy(draft).cuda(), scheme
    bound, want = ot.acceptance_bound(*there), ot.acceptance_bound(target, draft, scheme)
    tolerance = 64 * np.finfo(float).eps * 300  # exact routes
    for got, expected in ((bound.lower, want.lower), (bound.upper, want.upper), (bound.winner_law, want.winner_law),
                          (ot.winner_law(*there), want.winner_law), (ot.optimal_acceptance(*there), want.upper)):
        assert got.is_cuda
        assert np.abs(got.cpu().numpy() - expected).max() <= tolerance
    with pytest.raises(ot.BadArgument, match=r"\.cpu\(\)"):
        ot.optimal_acceptance(there[0], torch.stack([there[1]] * 2, dim=1), ot.Independent(2))


@pytest.mark.parametrize("scheme", [ot.WithReplacement(2), ot.WithoutReplacement(2)], ids=str)
def test_one_target_law_serves_several_draft_laws(scheme):
    target, drafts = np.array([0.5, 0.3, 0.2]), np.array([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    bound = ot.acceptance_bound(target, drafts, scheme)
    alone = [ot.acceptance_bound(target, draft, scheme) for draft in drafts]
    assert bound.upper.tolist() == [float(one.upper) for one in alone]
    np.testing.assert_allclose(bound.winner_law, [one.winner_law for one in alone], atol=1e-15)
