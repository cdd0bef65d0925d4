"""The laminar rule: lossless by enumeration, its draws, its interval, and the mixture that contains its plan."""

import dataclasses

import numpy as np
import pytest

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.transport.bounds import acceptance_bound
from otspec.transport.drafters.laminar import laminar_plan
from otspec.verifiers import verifier
from otspec.verifiers.token.laminar import Laminar
from otspec.verifiers.token.priority import PriorityMixture
from tests.conftest import random_law

ENUMERATED = 1e-12  # at most 6^4 lists, each mass a few eps off
CROSSED = np.array([0.55, 0.15, 0.05, 0.15, 0.10]), np.array([[0, 1, 2, 5, 12], [12, 5, 2, 1, 0]]) / 20
BELOW = np.array([0.1, 0.5, 0.2, 0.1, 0.1]), np.array([[5, 12, 2, 1, 0], [0, 1, 2, 12, 5]]) / 20  # optimum 0.99


def emitted(rule, target, drafts):
    tokens, law = rule.scheme.lists(drafts)
    count = len(tokens)
    given = rule.conditional(np.broadcast_to(target, (count, target.size)),
                             np.broadcast_to(drafts, (count, *drafts.shape)), tokens)
    held = (tokens[:, :, None] == np.arange(target.size)).any(axis=1)
    return law @ given, float((law[:, None] * given * held).sum())


def instances(rng, number):
    for n in range(number):
        size, k = int(rng.integers(5, 7)), int(rng.integers(1, 5 if n % 5 == 0 else 4))
        kind = {"zeros": n % 3 == 1, "ties": n % 3 == 2}
        yield random_law(rng, size, **kind), np.array([random_law(rng, size, **kind) for _ in range(k)])


def test_nothing_is_lost_and_the_stated_acceptance_is_reached(rng):
    for target, drafts in instances(rng, 200):
        scheme = Independent(len(drafts))
        out, accepted = emitted(Laminar(scheme), target, drafts)
        assert np.abs(out - target).max() <= ENUMERATED
        bound = acceptance_bound(target, drafts, scheme, method="laminar")
        assert bound.lower - ENUMERATED <= accepted <= bound.upper + ENUMERATED


@pytest.mark.parametrize("bug", ["odds", "stop", "law"])
def test_a_wrong_plan_loses_the_target(rng, bug):
    class Broken(Laminar):
        def _find(self, target, draft):
            plan = laminar_plan(target, draft)
            wrong = {"odds": 1.0 - plan.odds, "stop": np.where(plan.parent >= 0, 0.5 * (plan.start + plan.stop), 1.0),
                     "law": draft.mean(axis=0)}
            return dataclasses.replace(plan, **{bug: wrong[bug]})

    seen = 0
    for target, drafts in instances(rng, 40):
        out, _ = emitted(Broken(Independent(len(drafts))), target, drafts)
        seen += np.abs(out - target).max() > 1e-4  # far above rounding
    assert seen >= 5


@pytest.mark.parametrize("instance", [CROSSED, BELOW], ids=["crossed", "below"])
@pytest.mark.parametrize("kind", [Laminar, PriorityMixture])
def test_draws_have_the_law_of_the_conditional(rng, kind, instance):
    n, (target, drafts) = 40_000, instance
    rule = kind(Independent(2))
    for row in ([1, 3], [4, 0], [2, 2], [3, 1], [0, 4]):
        if drafts[0, row[0]] * drafts[1, row[1]] == 0:
            with pytest.raises(BadArgument, match="probability 0"):
                rule.conditional(target, drafts, np.array(row))
            continue
        exact = rule.conditional(target, drafts, np.array(row))
        batch = np.tile(target, (n, 1)), np.broadcast_to(drafts, (n, 2, 5)), np.tile(row, (n, 1))
        seen = np.bincount(rule.draw(*batch, rng.random((n, 3))).token, minlength=5) / n
        error = np.sqrt(exact * np.maximum(1 - exact, 0) / n)
        assert np.all(np.abs(seen - exact) <= 5 * error + ENUMERATED)  # five standard errors, and rounding


def test_a_draw_that_ignores_the_lives_of_the_cells_is_seen(rng):
    class Broken(Laminar):
        def _draw(self, target, draft, tokens, uniforms):
            return np.take_along_axis(tokens, tokens.argmax(axis=-1)[:, None], axis=-1)[:, 0]

    n, (target, drafts) = 4000, CROSSED
    rule, row = Broken(Independent(2)), np.array([1, 3])
    exact = rule.conditional(target, drafts, row)
    batch = np.tile(target, (n, 1)), np.broadcast_to(drafts, (n, 2, 5)), np.tile(row, (n, 1))
    seen = np.bincount(rule.draw(*batch, rng.random((n, 3))).token, minlength=5) / n
    assert (np.abs(seen - exact) > 5 * np.sqrt(exact * np.maximum(1 - exact, 0) / n)).any()


def test_the_optimal_rule_mixes_the_plan_with_orders_and_loses_nothing(rng):
    mixed = 0
    for target, drafts in [CROSSED, BELOW, *instances(rng, 60)]:
        rule = PriorityMixture(Independent(len(drafts)))
        out, accepted = emitted(rule, target, drafts)
        assert np.abs(out - target).max() <= ENUMERATED
        upper = float(acceptance_bound(target, drafts, rule.scheme).upper)
        assert accepted == pytest.approx(upper, abs=ENUMERATED)
        (plan,) = rule._solutions.values()
        mixed += plan.winner.first is not None and 0.01 < plan.winner.weights[-1] < 0.99
    assert mixed > 0  # or the mixture of both was never played


def test_leaving_the_first_plan_out_of_the_mixture_is_seen():
    target, drafts = BELOW
    rule = PriorityMixture(Independent(2))
    rule.acceptance(target, drafts)
    ((key, plan),) = rule._solutions.items()
    share = 1.0 - plan.winner.weights[-1]
    bare = dataclasses.replace(plan.winner, first=None, weights=plan.winner.weights[:-1] / share)
    rule._solutions[key] = plan._replace(winner=bare)
    out, _ = emitted(rule, target, drafts)
    assert np.abs(out - target).max() > 1e-3  # far above rounding


def test_two_thousand_tokens_and_four_drafters_draw_at_the_stated_rate(rng):
    logits = 3 * rng.normal(size=2048)
    laws = np.exp(np.stack([logits, *(logits + 2 * rng.normal(size=2048) for _ in range(2)), 0.2 * logits,
                            -0.5 * logits]))
    target, *drafts = laws / laws.sum(axis=1, keepdims=True)
    drafts, n, scheme = np.array(drafts), 2000, Independent(4)
    many = np.broadcast_to(drafts, (n, 4, 2048))
    tokens = scheme.sample(many, rng.random((n, 4)))
    verdict = Laminar(scheme).draw(np.broadcast_to(target, (n, 2048)), many, tokens, rng.random((n, 3)))
    bound = acceptance_bound(target, drafts, scheme, method="laminar")
    rate = (verdict.slot >= 0).mean()
    error = 5 * np.sqrt(rate * (1 - rate) / n)  # five standard errors
    assert bound.lower > 0.5
    assert bound.upper < 0.99
    assert float(bound.lower) - error <= rate <= float(bound.upper) + error


def test_only_independent_drafters_have_a_laminar_plan():
    law = np.full(3, 1 / 3)
    with pytest.raises(BadArgument, match=r"method: 'laminar' is for Independent drafters; got WithReplacement"):
        acceptance_bound(law, law, 2, method="laminar")
    with pytest.raises(BadArgument, match="method: 'sorted' is unknown"):
        acceptance_bound(law, law, 2, method="sorted")
    with pytest.raises(SchemeMismatch, match="Laminar is proved for Independent; got Joint"):
        verifier("laminar", Joint(np.full((3, 3), 1 / 9)))
    with pytest.raises(BadArgument, match="draft 1 of list 0 is absent"):
        verifier("laminar", Independent(2)).conditional(law, np.tile(law, (2, 1)), np.array([0, -1]))
