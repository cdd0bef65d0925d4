"""Rules that solve a problem for each context: which rows share a solution, what it is about, what is refused."""

import numpy as np
import pytest
import torch

import otspec as ot
from otspec.core import host
from tests.conftest import random_law

RULES = [("importance", ot.WithReplacement(3)), ("global_resolution", ot.WithReplacement(3)),
         ("optimal", ot.WithReplacement(3)), ("lp", ot.WithReplacement(3)), ("lp", ot.WithoutReplacement(2)),
         ("optimal", ot.WithoutReplacement(2)), ("laminar", ot.Independent(2)), ("optimal", ot.Independent(2)),
         ("lp", ot.Independent(2)), ("importance", ot.Independent(2))]
DIFFERENT = [(name, scheme) for name, scheme in RULES if isinstance(scheme, ot.Independent)]
all_rules = pytest.mark.parametrize(("name", "scheme"), RULES, ids=[f"{name}-{scheme}" for name, scheme in RULES])


def laws(rng, scheme, *, size=4):
    shape = scheme.num_drafts if isinstance(scheme, ot.Independent) else 1
    draft = np.stack([random_law(rng, size) for _ in range(shape)])
    return random_law(rng, size), draft if isinstance(scheme, ot.Independent) else draft[0]


@all_rules
def test_rows_of_one_context_share_its_solution_wherever_they_lie(name, scheme, rng, monkeypatch):
    (target, draft), (other, another) = laws(rng, scheme), laws(rng, scheme)
    contexts = [(target, draft), (other, draft), (target, another), (target, draft), (target, draft), (other, draft)]
    lists = np.array([[0, 1, 2], [1, 0, 3], [2, 3, 1], [3, 1, 0], [1, 2, 3], [0, 3, 1]])[:, : scheme.num_drafts]
    rule, solved = ot.verifier(name, scheme), []
    monkeypatch.setattr(rule, "_solve", lambda *given, solve=rule._solve: (solved.append(given), solve(*given))[1])
    targets, drafts = (np.stack(part).reshape(2, 3, *part[0].shape) for part in zip(*contexts, strict=True))
    found = rule.conditional(targets, drafts, lists.reshape(2, 3, -1)).reshape(6, -1)
    assert len(solved) == 3
    for row, context, drafted in zip(found, contexts, lists, strict=True):
        np.testing.assert_array_equal(row, ot.verifier(name, scheme).conditional(*context, drafted))


@all_rules
def test_laws_are_normalised_before_they_are_solved_and_played(name, scheme, rng):
    (target, draft), tokens = laws(rng, scheme), np.arange(scheme.num_drafts)
    wanted = ot.verifier(name, scheme).conditional(target, draft, tokens)
    for stretch in (1 + 9e-7, 1 - 9e-7):  # sums that pass for one
        rule = ot.verifier(name, scheme)
        np.testing.assert_allclose(rule.conditional(target * stretch, draft * stretch, tokens), wanted, atol=1e-12)
        value, same = rule.acceptance(target * stretch, draft * stretch), rule.acceptance(target, draft)
        assert value is same is None or value == pytest.approx(float(same), abs=1e-12)


def test_a_joint_table_is_solved_once_whatever_is_passed_as_draft_law(rng, monkeypatch):
    target, rule, solved = random_law(rng, 3), ot.verifier("optimal", ot.Joint(np.full((3, 3), 1 / 9))), []
    monkeypatch.setattr(rule, "_find", lambda *given, find=rule._find: (solved.append(given), find(*given))[1])
    for draft in (None, random_law(rng, 3), random_law(rng, 3)):
        rule.conditional(target, draft, np.array([0, 1]))
    assert len(solved) == 1


@pytest.mark.parametrize("name", ["importance", "global_resolution", "optimal", "lp"])
def test_a_solution_is_for_a_number_of_drafts(name, rng, monkeypatch):
    target, draft = laws(rng, ot.WithReplacement(3))
    lists = np.array([[0, -1, 2], [-1, -1, -1], [2, 1, 1], [-1, 3, -1], [-1, 0, 2]])
    rule, counts = ot.verifier(name, 3), []
    monkeypatch.setattr(rule, "_solve", lambda *given, solve=rule._solve: (counts.append(given[2]), solve(*given))[1])
    found = rule.conditional(target, draft, lists)
    assert counts == [2, 3, 1]
    np.testing.assert_array_equal(found[0], found[4])
    np.testing.assert_array_equal(found[1], target)
    for row, drafted in zip(found, lists, strict=True):
        present = drafted[drafted >= 0]
        if present.size:
            np.testing.assert_array_equal(row, ot.verifier(name, present.size).conditional(target, draft, present))


@pytest.mark.parametrize("scheme", [ot.Greedy(2), ot.Greedy(3), ot.Hybrid(1, 3), ot.WithoutReplacement(3),
                                    ot.WithReplacement(3)], ids=str)
@pytest.mark.parametrize("kind", ["universal", "minimal"])
def test_a_solution_is_about_the_sampled_drafts(scheme, kind, rng):
    target, draft = laws(rng, scheme, size=6)
    game, law = ot.verifier("optimal", scheme, kind=kind).solve(target, draft)
    np.testing.assert_allclose(game.by_token(law), ot.winner_law(target, draft, scheme, kind=kind), atol=1e-15)


@pytest.mark.parametrize("name", ["lp", "optimal"])
def test_a_joint_table_is_solved_without_a_draft_law(name, rng):
    table = rng.dirichlet(np.ones(9)).reshape(3, 3)
    target, rule = random_law(rng, 3), ot.verifier(name, ot.Joint(table))
    solution = rule.solve(target, None)
    value = solution.acceptance if name == "lp" else solution.winner.acceptance
    assert value == pytest.approx(float(ot.optimal_acceptance(target, None, ot.Joint(table))), abs=1e-9)  # certified


@pytest.mark.parametrize(("name", "scheme"), [*DIFFERENT, ("lp", ot.Joint(np.full((4, 4), 1 / 16)))], ids=str)
def test_the_draft_of_every_drafter_is_needed(name, scheme, rng):
    target, draft = laws(rng, scheme)
    rule, lists = ot.verifier(name, scheme), np.array([[[0, 1], [2, 2]], [[1, -1], [0, 3]]])
    uniforms = rng.random((2, 2, rule.num_uniforms))
    for given in (lambda: rule.conditional(target, draft, lists), lambda: rule.draw(target, draft, lists, uniforms)):
        with pytest.raises(ot.BadArgument, match=r"tokens: draft 1 of list 2 is absent \(-1\), which .* never draws"):
            given()


@all_rules
def test_gradients_and_devices_are_refused_by_name(name, scheme, rng, monkeypatch):
    rule = ot.verifier(name, scheme)
    names = ["target", "draft", "tokens"]
    arrays = [torch.tensor(array) for array in (*laws(rng, scheme), list(range(scheme.num_drafts)))]
    for place, odd in enumerate(names[:2]):
        given = [array.clone().requires_grad_(number == place) if number < 2 else array
                 for number, array in enumerate(arrays)]
        with pytest.raises(ot.BadArgument, match=f"{odd}: the tensor requires gradients"):
            rule.conditional(*given)
        if name == "importance" and scheme.num_drafts == 2:
            with pytest.raises(ot.BadArgument, match=f"{odd}: the tensor requires gradients"):
                rule.acceptance(*given[:2])
    for odd, array in zip(names, arrays, strict=True):
        monkeypatch.setattr(host, "on_host", lambda one, there=array: one is not there)
        with pytest.raises(ot.BadArgument, match=f"{odd}: on cpu, but .* works on the CPU here"):
            rule.conditional(*arrays)
