"""The frontier from three sides: a linear programme, the certificate, and the rule that attains it."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement
from otspec.lossy_rules.frontier import Frontier
from tests.contracts.token_cases import INSTANCES, SCHEMES
from tests.oracles.lossy import frontier

EXACT = 1e-12  # sums of at most 5^3 products of masses
SOLVED = 2e-9  # the programme's and the minimum-norm search's own tolerance
BUDGETS = (0.0, 0.02, 0.1, 0.4, 1.0)
PLAYED = [key for key in SCHEMES if isinstance(SCHEMES[key], Frontier.schemes)]


def laws_for(scheme, name):
    target, draft = INSTANCES[name]
    if isinstance(scheme, ot.Joint):
        return target, None
    if scheme.draft_axes:
        return target, np.stack([np.roll(draft, shift) for shift in range(scheme.num_drafts)])
    return target, draft


def list_law(scheme, draft):
    tokens, law = scheme.lists(draft)
    found = {}
    for row, weight in zip(tokens.tolist(), law, strict=True):
        xs = tuple(x for x in row if x >= 0)
        found[xs] = found.get(xs, 0.0) + weight
    return found


@pytest.mark.parametrize("key", SCHEMES)
def test_the_bound_is_the_programmes_optimum_for_every_scheme(key):
    scheme = SCHEMES[key]
    for name in INSTANCES:
        target, draft = laws_for(scheme, name)
        for budget in BUDGETS:
            bound = ot.lossy_bound(target, draft, scheme, budget)
            best = frontier(target, list_law(scheme, draft), budget)
            assert bound.lower == pytest.approx(best, abs=SOLVED), (name, budget)
            assert bound.upper == pytest.approx(best, abs=SOLVED), (name, budget)
            assert bound.lower <= bound.upper + EXACT
            assert bound.price <= budget
            assert ot.total_variation(bound.output_law, target) == pytest.approx(float(bound.price), abs=EXACT)


@pytest.mark.parametrize("key", PLAYED)
def test_the_rule_attains_it(key):
    scheme = SCHEMES[key]
    for name in INSTANCES:
        target, draft = laws_for(scheme, name)
        bound = ot.lossy_bound(target, draft, scheme, 0.1)
        rule = ot.lossy("frontier", scheme, budget=0.1)
        emitted = ot.output_law(rule, target, draft, scheme)
        np.testing.assert_allclose(emitted, bound.output_law, atol=1e-10)
        np.testing.assert_allclose(rule.output(target, draft), bound.output_law, atol=EXACT)
        assert 0.5 * np.abs(emitted - target).sum() <= 0.1 + 1e-10
        assert float(ot.acceptance(rule, target, draft, scheme)) == pytest.approx(float(bound.upper), abs=SOLVED)


def test_a_budget_spent_twice_is_caught_by_the_price():
    class Overspent(Frontier):
        def _output(self, target, draft):
            law = super()._output(target, draft)
            return target + 2 * (law - target)

    target, draft = INSTANCES["golden_H"]
    rule = Overspent(2, budget=0.02)
    assert 0.5 * np.abs(ot.output_law(rule, target, draft, 2) - target).sum() > 0.03
    assert 0.5 * np.abs(ot.output_law(Frontier(2, budget=0.02), target, draft, 2) - target).sum() <= 0.02 + EXACT


def test_batches_rows_and_large_vocabularies():
    rng = np.random.default_rng(3)
    target, draft = rng.dirichlet(np.full(3000, 0.1), size=(2, 3)), rng.dirichlet(np.full(3000, 0.1), size=(2, 3))
    bound = ot.lossy_bound(target, draft, WithoutReplacement(3), 0.05)
    assert bound.lower.shape == bound.upper.shape == bound.price.shape == (2, 3)
    assert bound.output_law.shape == target.shape
    alone = ot.lossy_bound(target[1, 2], draft[1, 2], WithoutReplacement(3), 0.05)
    assert float(alone.upper) == pytest.approx(float(bound.upper[1, 2]), abs=EXACT)
    assert float(np.max(np.asarray(bound.gap))) <= 1e-9
    assert "lossy (TV <= 0.05)" in str(bound)


def test_survivors_of_a_list_keep_the_budget():
    """Of three drafts of which two are left, the emitted law is that of the rule for two."""
    target, draft = INSTANCES["golden_H"]
    rule = Frontier(3, budget=0.1)
    tokens, law = WithReplacement(2).lists(draft)
    tokens = np.concatenate([tokens, np.full((len(tokens), 1), -1)], axis=1)
    emitted = law @ rule.conditional(target, draft, tokens)
    np.testing.assert_allclose(emitted, Frontier(2, budget=0.1).output(target, draft), atol=EXACT)
    none = rule.conditional(target, draft, np.array([-1, -1, -1]))
    np.testing.assert_allclose(none, target, atol=EXACT)


def test_hybrid_drafts_pay_on_the_top_tokens():
    target, draft = INSTANCES["golden_H"]
    for scheme in (Greedy(3), Hybrid(1, 3)):
        bound = ot.lossy_bound(target, draft, scheme, 0.01)
        strict = float(ot.optimal_acceptance(target, draft, scheme))
        assert float(bound.lower) == pytest.approx(min(1.0, strict + 0.01), abs=EXACT)
    assert float(ot.lossy_bound(target, draft, Hub(), 0.01).lower) == pytest.approx(
        float(ot.lossy_bound(target, draft, Greedy(2), 0.01).lower), abs=EXACT)


@pytest.mark.parametrize("budget", [-0.1, 1.5, float("nan"), "0.1", None, True])
def test_budgets_that_are_none(budget):
    with pytest.raises(ot.BadArgument, match="budget"):
        ot.lossy_bound([0.5, 0.5], [1.0, 0.0], 1, budget)
    with pytest.raises(ot.BadArgument, match="budget"):
        ot.lossy("frontier", 1, budget=budget)
