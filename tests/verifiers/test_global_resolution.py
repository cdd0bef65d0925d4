"""Global Resolution: the parts of the plan, its declared deviation, and when it refuses."""

import itertools

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, NotCertified, SchemeMismatch, TooLarge
from otspec.verifiers.token import global_resolution
from otspec.verifiers.token.global_resolution import GlobalResolution
from tests.conftest import random_law
from tests.contracts.token_cases import accepted, rows

ROUNDING = 1e-12  # at most 6^3 lists, each mass a few eps off


def played(rule, target, draft):
    tokens, law = rule.scheme.lists(draft)
    given = rule.conditional(*rows(target, draft, tokens))
    return law @ given, accepted(tokens, law, given)


def subsets(members):
    for size in range(len(members) + 1):
        yield from (list(chosen) for chosen in itertools.combinations(members, size))


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_deviation_is_what_it_says_and_within_the_published_bounds(tolerance, k, rng):
    for i in range(8):
        target, draft = (random_law(rng, 6, zeros=i % 3 == 1, ties=i % 3 == 2) for _ in range(2))
        rule = GlobalResolution(k, tolerance=tolerance)
        emitted, acceptance = played(rule, target, draft)
        plan = rule.solve(target, draft)
        assert np.abs(emitted - target).sum() == pytest.approx(plan.deviation, abs=ROUNDING)
        assert plan.deviation <= rule.max_deviation == pytest.approx(15 * tolerance)
        assert acceptance >= float(ot.optimal_acceptance(target, draft, k)) - 10 * tolerance
        assert plan.matched <= acceptance + ROUNDING


def test_masses_owed_are_met_by_the_outer_lists(rng):
    # every set of outer tokens receives at least the lists that hold no other outer token, all of them exactly
    for k in (1, 2, 3):
        target, draft = random_law(rng, 6), random_law(rng, 6)
        order, inside, owed = global_resolution._split(target, draft, k)
        q = draft[order]
        base = q[inside].sum()
        outer = np.flatnonzero(~inside).tolist()
        assert np.all(owed <= target[order] + ROUNDING)
        assert owed[outer].sum() == pytest.approx(1 - base**k, abs=ROUNDING)
        for chosen in subsets(outer):
            assert owed[chosen].sum() >= (base + q[chosen].sum()) ** k - base**k - ROUNDING


@pytest.mark.parametrize("tolerance", [0.3, 0.05, 1e-3])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_no_fewer_tokens_of_the_cut_would_do(k, tolerance, rng):
    for _ in range(10):
        target, draft = random_law(rng, 12), random_law(rng, 12, zeros=True)
        inside = rng.random(12) < 0.7
        tokens, free = GlobalResolution(k, tolerance=tolerance)._inner_tokens(target, draft, inside, k)
        assert free.tolist() == np.flatnonzero(inside & (target == 0)).tolist()
        lost = [max(target[inside].sum() - target[kept].sum(),
                    draft[inside].sum() ** k - (draft[kept].sum() + draft[free].sum()) ** k)
                for kept in (tokens, tokens[:-1])]  # of the target, and of the lists
        assert lost[0] <= tolerance + ROUNDING
        assert tokens.size == 0 or lost[1] > tolerance - ROUNDING


@pytest.mark.parametrize("k", [1, 2, 4])
def test_probabilities_of_draft_sets(k, rng):
    law = random_law(rng, 5)
    found = {frozenset(members.tolist()): mass for sets, weights in global_resolution._sets(law[:4], law[4], k)
             for members, mass in zip(sets.T, weights, strict=True)}
    counted = {}
    for drafts in itertools.product(range(5), repeat=k):
        key = frozenset(drafts) - {4}
        counted[key] = counted.get(key, 0.0) + float(np.prod(law[list(drafts)]))
    counted.pop(frozenset())
    assert found.keys() == counted.keys()
    assert all(found[key] == pytest.approx(mass, rel=1e-12) for key, mass in counted.items())  # sums of products


@pytest.mark.parametrize("floor", [0.0, 1.0])
def test_masses_sent_are_the_gradient(floor, rng):
    sets = global_resolution._sets(random_law(rng, 4), 0.2, 3)
    potential = rng.normal(size=4)
    _, sent = global_resolution._softmax(potential, sets, floor)
    for i, step in enumerate(1e-5 * np.eye(4)):
        above, below = (global_resolution._softmax(potential + sign * step, sets, floor)[0] for sign in (1, -1))
        assert (above - below) / 2e-5 == pytest.approx(sent[i], abs=1e-9)  # third derivative times the step squared


def test_a_context_that_does_not_converge_raises(rng):
    target, draft = random_law(rng, 8), random_law(rng, 8)
    with pytest.raises(NotCertified, match="masses are off by") as unsolved:
        GlobalResolution(3, tolerance=1e-7, max_iterations=1).solve(target, draft)
    assert unsolved.value.gap > 3e-7
    with pytest.raises(NotCertified, match="more than top = 1"):
        GlobalResolution(2, top=1).solve(target, draft)
    with pytest.raises(NotCertified, match="more than top = 1"):
        ot.output_law(GlobalResolution(2, top=1), target, draft, 2)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_iterations_count_the_steps_of_both_minimisations(k, rng, monkeypatch):
    steps = []
    monkeypatch.setattr(global_resolution, "_softmax",
                        lambda *given, step=global_resolution._softmax: (steps.append(given[2]), step(*given))[1])
    for _ in range(5):
        steps.clear()
        plan = GlobalResolution(k, tolerance=1e-5).solve(random_law(rng, 6), random_law(rng, 6))
        assert plan.iterations == len(steps) > 0
        # lists inside and outside the cut are two problems, of which either may be absent
        assert {0.0: global_resolution.OUTER in plan.part, 1.0: global_resolution.INNER in plan.part} == {
            floor: floor in steps for floor in (0.0, 1.0)}


@pytest.mark.parametrize("k", [1, 2, 3])
def test_as_many_tokens_as_are_needed_are_enough(k, rng):
    for _ in range(5):
        target, draft = random_law(rng, 8), random_law(rng, 8)
        plan = GlobalResolution(k).solve(target, draft)
        most = max(int((plan.part == part).sum()) for part in (global_resolution.INNER, global_resolution.OUTER))
        same = GlobalResolution(k, top=most).solve(target, draft)
        for one, other in zip(same, plan, strict=True):
            np.testing.assert_array_equal(one, other)
        if most > 1:
            with pytest.raises(NotCertified, match=f"needs {most} tokens, more than top = {most - 1}") as refused:
                GlobalResolution(k, top=most - 1).solve(target, draft)
            assert refused.value.gap > 1e-3  # the mass that is left out, more than the tolerance


def test_as_many_sets_as_allowed_are_made(monkeypatch, rng):
    target, draft = random_law(rng, 8), random_law(rng, 8)
    plan = GlobalResolution(2, tolerance=1e-6).solve(target, draft)
    sizes = [int((plan.part == part).sum()) for part in (global_resolution.INNER, global_resolution.OUTER)]
    most = max(size + size * (size - 1) // 2 for size in sizes)
    monkeypatch.setattr(global_resolution, "MAX_SETS", most)
    np.testing.assert_array_equal(GlobalResolution(2, tolerance=1e-6).solve(target, draft).sent, plan.sent)
    monkeypatch.setattr(global_resolution, "MAX_SETS", most - 1)
    with pytest.raises(TooLarge, match=f"{max(sizes)} tokens and 2 drafts make .* draft sets") as refused:
        GlobalResolution(2, tolerance=1e-6).solve(target, draft)
    assert refused.value.estimate == most


def test_too_many_sets_are_refused_before_they_are_made():
    flat = np.full(2048, 1 / 2048)
    with pytest.raises(TooLarge, match="draft sets") as refused:
        GlobalResolution(8).solve(flat, flat)
    assert refused.value.estimate > 1e12


def test_drafting_from_the_likeliest_tokens_of_a_large_vocabulary(rng):
    target = rng.dirichlet(np.full(5000, 0.1))
    draft = ot.truncate(0.5 * target + 0.5 * rng.dirichlet(np.full(5000, 0.1)), top_k=10)
    plan = GlobalResolution(3).solve(target, draft)
    best = float(ot.optimal_acceptance(target, draft, 3))
    assert plan.deviation <= 0.015
    assert plan.matched >= best - 0.01
    assert np.all(plan.sent[draft == 0] == 0)


def test_a_tolerance_of_numpy_is_a_number():
    assert GlobalResolution(2, tolerance=np.float32(0.5)).tolerance == 0.5


def test_bad_arguments():
    assert GlobalResolution(2, tolerance=0.999, top=1, max_iterations=1).max_deviation == 15 * 0.999
    for tolerance in (0, 1, 2, -0.1, "small", True):
        with pytest.raises(BadArgument, match="tolerance"):
            GlobalResolution(2, tolerance=tolerance)
    with pytest.raises(BadArgument, match="top"):
        GlobalResolution(2, top=0)
    with pytest.raises(BadArgument, match="max_iterations"):
        GlobalResolution(2, max_iterations=0)
    with pytest.raises(SchemeMismatch, match="GlobalResolution is proved for WithReplacement"):
        GlobalResolution(ot.WithoutReplacement(2))
