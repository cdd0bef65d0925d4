"""The mixture of priority orders: exact for different drafters, joint tables and capacity oracles."""

import itertools

import numpy as np
import pytest
import torch

from otspec.core.drafters import Independent, Joint
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.transport.bounds import acceptance_bound
from otspec.transport.drafters.laminar_mixture import laminar_mixture
from otspec.verifiers import verifier
from otspec.verifiers.token.priority import Mixture, PriorityMixture
from tests.conftest import random_law

RNG = np.random.default_rng(31)
EXACT = 1e-12  # a few hundred lists of a few tokens, each mass some eps off


def every_list(size, k):
    return np.array(list(itertools.product(range(size), repeat=k)))


def emitted_and_accepted(rule, target, draft, tokens, law):
    given = rule.conditional(np.tile(target, (len(tokens), 1)), _tiled(draft, len(tokens)), tokens)
    assert given.min() >= 0
    assert np.abs(given.sum(axis=1) - 1).max() <= EXACT
    held = (tokens[:, :, None] == np.arange(target.size)).any(axis=1)
    return law @ given, float((law[:, None] * given * held).sum())


def _tiled(draft, count):
    return None if draft is None else np.broadcast_to(draft, (count, *draft.shape))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_different_drafters_lose_nothing_and_accept_the_optimum(k):
    for size in (4, 5):
        target, drafts = RNG.dirichlet(np.ones(size)), RNG.dirichlet(np.full(size, 0.5), k)
        scheme = Independent(k)
        tokens, law = scheme.lists(drafts)
        rule = verifier("optimal", scheme)
        assert isinstance(rule, PriorityMixture)
        out, accepted = emitted_and_accepted(rule, target, drafts, tokens, law)
        assert np.abs(out - target).max() <= EXACT
        assert accepted == pytest.approx(float(acceptance_bound(target, drafts, scheme).upper), abs=EXACT)
        assert float(rule.acceptance(target, drafts)) == pytest.approx(accepted, abs=EXACT)


def test_a_joint_table_with_correlated_drafts():
    table = RNG.dirichlet(np.full(64, 0.2)).reshape(4, 4, 4)
    target = np.array([0.5, 0.3, 0.2, 0.0])
    scheme = Joint(table)
    tokens, law = scheme.lists(None)
    out, accepted = emitted_and_accepted(verifier("optimal", scheme), target, None, tokens, law)
    assert np.abs(out - target).max() <= EXACT
    subsets = list(itertools.product([False, True], repeat=4))
    best = min(1 + target[list(h)].sum() - table[np.ix_(*[np.flatnonzero(h)] * 3)].sum() for h in subsets)
    assert accepted == pytest.approx(best, abs=EXACT)


def test_a_capacity_oracle_plays_like_its_table():
    drafts = RNG.dirichlet(np.ones(4), 2)
    target = RNG.dirichlet(np.ones(4))
    scheme = Joint(capacity=lambda subset: float(np.prod(drafts[:, subset].sum(axis=1))), k=2, size=4)
    tokens = every_list(4, 2)
    law = drafts[0][tokens[:, 0]] * drafts[1][tokens[:, 1]]
    rule = verifier("optimal", scheme)
    out, accepted = emitted_and_accepted(rule, target, None, tokens, law)
    assert np.abs(out - target).max() <= EXACT
    assert accepted == pytest.approx(float(acceptance_bound(target, drafts, Independent(2)).upper), abs=EXACT)
    verdict = rule.draw(np.tile(target, (16, 1)), None, tokens, RNG.random((16, 3)))
    assert verdict.token.shape == (16,)


def test_draw_has_the_law_of_the_conditional():
    target, drafts = RNG.dirichlet(np.ones(6)), RNG.dirichlet(np.ones(6), 3)
    rule = PriorityMixture(Independent(3))
    n, tokens = 40_000, np.array([[0, 3, 5], [2, 2, 1], [4, 4, 4]])
    for row in tokens:
        exact = rule.conditional(target, drafts, row)
        batch = np.tile(target, (n, 1)), np.broadcast_to(drafts, (n, 3, 6)), np.tile(row, (n, 1))
        seen = np.bincount(rule.draw(*batch, RNG.random((n, 3))).token, minlength=6) / n
        assert np.all(np.abs(seen - exact) <= 5 * np.sqrt(exact * (1 - exact) / n))  # five standard errors


@pytest.mark.parametrize("planned", [False, True])
def test_one_uniform_picks_each_draft_as_often_as_it_wins(planned, rng):
    drafts, n = np.stack([random_law(rng, 5), random_law(rng, 5), random_law(rng, 5)]), 1000
    first = laminar_mixture(random_law(rng, 5), drafts) if planned else None
    rank = np.stack([rng.permutation(5) for _ in range(2)])
    weights = np.array([0.25, 0.3, 0.45] if planned else [0.4, 0.6])
    mixture = Mixture(np.full(5, 0.2), 0.5, rank, weights, first)
    lists = every_list(5, 3)
    lists = lists[drafts[np.arange(3), lists].prod(axis=-1) > 0]
    grid = np.repeat((np.arange(n) + 0.5) / n, len(lists))
    slots = mixture.pick(np.tile(lists, (n, 1)), grid).reshape(n, -1)
    often = (slots[..., None] == np.arange(3)).mean(axis=0)
    # an end of every order's and every slot's interval lies between two points of the grid
    assert np.abs(often - mixture.conditional(lists)).max() <= 5 / n
    assert mixture.pick(lists[:0], grid[:0]).shape == (0,)


def test_mixed_contexts_share_one_batch():
    targets, drafts = RNG.dirichlet(np.ones(5), (2, 3)), RNG.dirichlet(np.ones(5), (2, 3, 2))
    tokens = RNG.integers(0, 5, (2, 3, 2))
    rule = PriorityMixture(Independent(2))
    given = rule.conditional(targets, drafts, tokens)
    for index in np.ndindex(2, 3):
        assert np.array_equal(given[index], rule.conditional(targets[index], drafts[index], tokens[index]))
    assert rule.acceptance(targets, drafts).shape == (2, 3)
    same = rule.conditional(*(torch.tensor(array) for array in (targets, drafts, tokens)))
    assert np.abs(same.numpy() - given).max() == 0


def test_losslessness_does_not_wait_for_the_optimum(monkeypatch):
    from otspec.transport.drafters import minimum_norm
    from otspec.verifiers.token import priority

    def hasty(target, capacity, *, first, tol):
        return minimum_norm.minimum_norm_law(target, capacity, tol=tol, max_iterations=1)

    monkeypatch.setattr(priority, "minimum_norm_law", hasty)
    target, drafts = RNG.dirichlet(np.ones(5)), RNG.dirichlet(np.ones(5), 3)
    tokens, law = Independent(3).lists(drafts)
    out, accepted = emitted_and_accepted(PriorityMixture(Independent(3)), target, drafts, tokens, law)
    assert np.abs(out - target).max() <= EXACT
    assert accepted <= float(acceptance_bound(target, drafts, Independent(3)).upper) + EXACT


def test_a_vocabulary_of_two_thousand():
    logits = 2 * RNG.normal(size=2048)
    laws = np.exp(np.stack([logits, logits + RNG.normal(size=2048), 0.5 * logits]))
    target, *drafts = laws / laws.sum(axis=1, keepdims=True)
    drafts, n = np.array(drafts), 3000
    rule = PriorityMixture(Independent(2))
    tokens = Independent(2).sample(np.broadcast_to(drafts, (n, 2, 2048)), RNG.random((n, 2)))
    verdict = rule.draw(np.broadcast_to(target, (n, 2048)), np.broadcast_to(drafts, (n, 2, 2048)), tokens,
                        RNG.random((n, 3)))
    value = float(rule.acceptance(target, drafts))
    assert value == pytest.approx(float(acceptance_bound(target, drafts, Independent(2)).upper), abs=1e-9)  # certified
    assert abs((verdict.slot >= 0).mean() - value) <= 5 * np.sqrt(value * (1 - value) / n)  # five standard errors


def test_absent_drafts_and_other_schemes_are_refused():
    rule = PriorityMixture(Independent(2))
    with pytest.raises(BadArgument, match="draft 1 of list 0 is absent"):
        rule.conditional(np.full(3, 1 / 3), np.full((2, 3), 1 / 3), np.array([0, -1]))
    with pytest.raises(SchemeMismatch, match="PriorityMixture is proved for Independent, Joint"):
        PriorityMixture(2)


def test_beyond_the_plans_that_are_kept_the_oldest_is_forgotten(monkeypatch, rng):
    monkeypatch.setattr(PriorityMixture, "kept", 2)
    rule = PriorityMixture(Independent(2))
    contexts = [(random_law(rng, 4), np.stack([random_law(rng, 4), random_law(rng, 4)])) for _ in range(3)]
    tokens = np.array([0, 1])
    first = [rule.conditional(*context, tokens) for context in contexts]
    assert [key[1] for key in rule._solutions] == [target.tobytes() for target, _ in contexts[1:]]
    again = [rule.conditional(*context, tokens) for context in contexts]
    np.testing.assert_allclose(again, first, atol=1e-12)
