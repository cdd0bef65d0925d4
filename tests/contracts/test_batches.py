"""A batch is a loop over its contexts, whichever of the two laws is given once for all; a batch may be empty."""

import array_api_strict
import numpy as np
import pytest
import torch

import otspec as ot
from tests.conftest import random_law

SIZE = 5
SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(2), ot.WithoutReplacement(2), ot.WithoutReplacement(3),
           ot.Greedy(2), ot.Hybrid(1, 3), ot.Hub(), ot.Independent(1), ot.Independent(2), ot.Independent(3),
           ot.Joint(np.random.default_rng(5).dirichlet(np.ones(SIZE * SIZE)).reshape(SIZE, SIZE))]
# one law for all, one for each, two axes, as many contexts as there are drafters, and none
RULE_BATCHES = [((2,), ()), ((), (2,)), ((2, 1), (1, 2)), ((0,), ())]
BATCHES = [*RULE_BATCHES, ((), ()), ((3,), ()), ((), (3,)), ((2,), (1,)), ((3,), (2, 1)), ((2, 2), (2, 2)),
           ((), (0,)), ((2, 0), (2, 1))]
SAME = 1e-12  # a few hundred roundings; the searches of both sides are the same


def laws(rng, scheme, batch, drafts):
    tail = (scheme.num_drafts,) if isinstance(scheme, ot.Independent) else ()
    target, draft = (np.array([random_law(rng, SIZE) for _ in range(int(np.prod(shape)))]).reshape((*shape, SIZE))
                     for shape in (batch, (*drafts, *tail)))
    return target, draft


def one_by_one(scheme, target, draft):
    axes = draft.ndim - 1 - scheme.draft_axes
    batch = np.broadcast_shapes(target.shape[:-1], draft.shape[:axes])
    target = np.broadcast_to(target, (*batch, SIZE))
    draft = np.broadcast_to(draft, (*batch, *draft.shape[axes:]))
    return batch, [(target[index], draft[index]) for index in np.ndindex(batch)]


def assert_a_loop(function, scheme, target, draft, *size):
    batch, contexts = one_by_one(scheme, target, draft)
    found = np.asarray(function(target, draft, scheme))
    assert found.shape == (*batch, *size)
    wanted = np.array([function(*context, scheme) for context in contexts]).reshape((*batch, *size))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=SAME)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize(("batch", "drafts"), BATCHES, ids=str)
def test_optima_bounds_and_winners_of_a_batch(scheme, batch, drafts, rng):
    target, draft = laws(rng, scheme, batch, drafts)
    assert_a_loop(ot.optimal_acceptance, scheme, target, draft)
    for end in ("lower", "upper"):
        assert_a_loop(lambda *given, end=end: getattr(ot.acceptance_bound(*given), end), scheme, target, draft)
    assert_a_loop(lambda *given: ot.acceptance_bound(*given).winner_law, scheme, target, draft, SIZE)
    assert_a_loop(lambda *given: ot.acceptance_bound(*given).cut.subset, scheme, target, draft, SIZE)
    for kind in ("universal", "minimal"):
        assert_a_loop(lambda *given, kind=kind: ot.winner_law(*given, kind=kind), scheme, target, draft, SIZE)
    if isinstance(scheme, ot.Independent):
        assert_a_loop(lambda *given: ot.acceptance_bound(*given, method="laminar").lower, scheme, target, draft)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize(("batch", "drafts"), RULE_BATCHES, ids=str)
def test_rules_on_a_batch(scheme, batch, drafts, rng):
    target, draft = laws(rng, scheme, batch, drafts)
    whole, contexts = one_by_one(scheme, target, draft)
    coins = rng.random((*whole, scheme.num_uniforms))
    tokens = scheme.sample(draft, coins)
    assert tokens.shape == (*whole, scheme.num_drafts)
    for name in ot.list_verifiers(scheme, kind="token"):
        rule = ot.verifier(name, scheme)
        assert_a_loop(lambda *given, rule=rule: ot.acceptance(rule, *given), scheme, target, draft)
        assert_a_loop(lambda *given, rule=rule: ot.output_law(rule, *given), scheme, target, draft, SIZE)
        uniforms = rng.random((*whole, rule.num_uniforms))
        drawn = rule.draw(target, draft, tokens, uniforms)
        single = [rule.draw(*laws, drafted, numbers).token for laws, drafted, numbers in zip(
            contexts, tokens.reshape(-1, scheme.num_drafts), uniforms.reshape(-1, rule.num_uniforms), strict=True)]
        np.testing.assert_array_equal(drawn.token, np.array(single, dtype=np.int64).reshape(whole))
        assert drawn.slot.shape == whole


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if not isinstance(scheme, ot.Joint)], ids=str)
def test_the_programme_agrees_with_the_batch(scheme, rng):
    target, draft = laws(rng, scheme, (3,), ())
    wanted = [ot.optimal_plan(one, draft, scheme).plan.acceptance for one in target]
    # certified to 1e-9 for different drafters, and the solver's feasibility
    np.testing.assert_allclose(ot.optimal_acceptance(target, draft, scheme), wanted, rtol=0, atol=2e-9)


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_results_come_in_the_library_and_dtype_of_the_target(scheme, dtype, rng):
    target, draft = (torch.asarray(law, dtype=dtype) for law in laws(rng, scheme, (2,), ()))
    for name in ot.list_verifiers(scheme, kind="token"):
        for result, shape in ((ot.acceptance(name, target, draft, scheme), (2,)),
                              (ot.output_law(name, target, draft, scheme), (2, SIZE))):
            assert isinstance(result, torch.Tensor)
            assert (result.dtype, tuple(result.shape)) == (dtype, shape)


@pytest.mark.parametrize("scheme", [ot.WithReplacement(1), ot.WithReplacement(3), ot.WithoutReplacement(2),
                                    ot.WithoutReplacement(4), ot.Hybrid(1, 3)], ids=str)
@pytest.mark.parametrize("kind", ["universal", "minimal"])
def test_an_empty_batch_of_any_library_has_an_empty_answer(scheme, kind):
    law = array_api_strict.zeros((0, SIZE))
    rule = ot.verifier("optimal", scheme, kind=kind)
    tokens, coins = (array_api_strict.zeros((0, number), dtype=dtype) for number, dtype in
                     ((scheme.num_drafts, array_api_strict.int64), (rule.num_uniforms, array_api_strict.float64)))
    assert rule.acceptance(law, law).shape == (0,)
    assert rule.draw(law, law, tokens, coins).token.shape == (0,)
