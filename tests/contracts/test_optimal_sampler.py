"""The convex-hull sampler on hundreds of random instances, by enumeration, and at a real vocabulary, by sampling.

`conditional` walks every interval of T and every branch of the continued race; summing it over every list gives the
output law and the acceptance without any sampling.
"""

import array_api_strict
import numpy as np
import pytest
import torch

import otspec as ot
from otspec.analysis.exact import member_mass
from otspec.transport.programme.cut import minimum_cut
from tests.conftest import random_law
from tests.oracles.waiting import NoWaiting

# lists of 6 tokens and 4 drafts are many, so most instances are smaller; 540 in all
SIZES = [(3, 2, 70), (4, 2, 60), (4, 3, 50), (5, 2, 40), (5, 3, 25), (6, 2, 15), (5, 4, 6), (6, 4, 4)]
assert 2 * sum(count for *_, count in SIZES) == 540


def instances(rng, size, count):
    """Random pairs: a third with zeros and ties, a third peaked, a third with a dominant draft token."""
    for i in range(count):
        target, draft = (random_law(rng, size, zeros=i % 3 == 0, ties=i % 3 == 0) for _ in range(2))
        if i % 3 == 2:
            draft = ot.normalize(np.where(np.arange(size) == rng.integers(size), 1.0, 1e-6 * draft))
        yield target, draft


@pytest.mark.parametrize("make", [ot.WithReplacement, ot.WithoutReplacement])
@pytest.mark.parametrize(("size", "k", "count"), SIZES)
def test_enumeration_gives_the_optimum_and_the_target_law(make, size, k, count, rng):
    scheme = make(k)
    rule = ot.verifier("optimal", scheme)
    for target, draft in instances(rng, size, count):
        lists, law = scheme.lists(draft)
        kernel = rule.conditional(target, draft, lists)
        assert np.abs(law @ kernel - target).max() <= 1e-12
        accepted = float(law @ member_mass(kernel, lists))
        optimum = float(minimum_cut(ot.MembershipProblem(target, draft, scheme)).value)
        assert abs(accepted - optimum) <= 1e-12


@pytest.mark.parametrize("scheme", [ot.WithReplacement(3), ot.WithoutReplacement(3), ot.Greedy(3), ot.Hybrid(1, 3)],
                         ids=str)
def test_the_minimal_law_is_played_as_exactly(scheme, rng):
    rule = ot.verifier("optimal", scheme, kind="minimal")
    for target, draft in instances(rng, 5, 12):
        lists, law = scheme.lists(draft)
        kernel = rule.conditional(target, draft, lists)
        assert np.abs(law @ kernel - target).max() <= 1e-12
        optimum = float(minimum_cut(ot.MembershipProblem(target, draft, scheme)).value)
        assert abs(float(law @ member_mass(kernel, lists)) - optimum) <= 1e-12


WHOLE_ARRAY = [ot.WithReplacement(4), ot.Greedy(3), ot.WithoutReplacement(2), ot.WithoutReplacement(4),
               ot.WithoutReplacement(8), ot.Hybrid(2, 5)]


def drawn(rule, target, draft, rng):
    """Arguments of a draw, a list of drafts for each context."""
    tokens = rule.scheme.sample(draft, rng.random((len(draft), rule.scheme.num_uniforms)))
    return target, draft, tokens, rng.random((len(draft), rule.num_uniforms))


@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", WHOLE_ARRAY, ids=str)
def test_compiled_and_whole_array_draws_emit_the_same_tokens(scheme, kind, rng):
    size, n = 60, 400  # 4,800 rows over the cases
    # the minimal law depends on the order of ties, which libraries are free to choose: none for it
    zeros = kind == "universal"
    target, draft = (np.stack([random_law(rng, size, zeros=zeros) for _ in range(n)]) for _ in range(2))
    rule = ot.verifier("optimal", scheme, kind=kind)
    arrays = drawn(rule, target, draft, rng)
    compiled = rule._draw_on_host(*arrays)
    rounds = rule._draw_in_rounds(*(torch.from_numpy(a) for a in arrays)).numpy()
    np.testing.assert_array_equal(rounds, compiled)
    few = [array_api_strict.asarray(a[:8]) for a in arrays]
    np.testing.assert_array_equal(np.asarray(rule._draw_in_rounds(*few)), compiled[:8])


@pytest.mark.parametrize("scheme", [ot.WithReplacement(3), ot.WithoutReplacement(3), ot.Hybrid(1, 4)], ids=str)
def test_whole_array_draws_on_short_peaked_and_dominated_laws(scheme, rng):
    """Supports below k, one dominant token, forty decades: where a difference of sums would lose every digit."""
    size, n = 12, 400
    target = rng.dirichlet(np.ones(size), n)
    draft = rng.dirichlet(np.ones(size), n)
    draft[::4, 2:] = 0.0
    draft[1::4] = np.where(np.arange(size) == 5, 1.0, 1e-12 * draft[1::4])
    draft[2::4] = 10.0 ** -rng.uniform(0, 40, draft[2::4].shape)
    draft = ot.normalize(draft)
    rule = ot.verifier("optimal", scheme)
    arrays = drawn(rule, target, draft, rng)
    rounds = rule._draw_in_rounds(*(torch.from_numpy(a) for a in arrays)).numpy()
    np.testing.assert_array_equal(rounds, rule._draw_on_host(*arrays))


@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", WHOLE_ARRAY, ids=str)
def test_no_step_of_a_whole_array_draw_waits_for_the_device(scheme, kind, rng):
    target, draft = (np.stack([random_law(rng, 50) for _ in range(6)]) for _ in range(2))
    rule = ot.verifier("optimal", scheme, kind=kind)
    arrays = [torch.from_numpy(a) for a in drawn(rule, target, draft, rng)]
    with NoWaiting():
        rule._draw_in_rounds(*arrays)


def test_a_lost_order_is_drawn_on_the_cpu_only(rng):
    rule = ot.verifier("optimal", ot.WithoutReplacement(2), ordered=False)
    arrays = drawn(rule, *(np.stack([random_law(rng, 5)] * 2) for _ in range(2)), rng)
    with pytest.raises(ot.BadArgument, match="Fix: keep the order"):
        rule._draw_in_rounds(*(torch.from_numpy(a) for a in arrays))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", WHOLE_ARRAY, ids=str)
def test_cuda_draws_emit_the_same_tokens_and_never_wait(scheme, kind, rng):
    target, draft = (np.stack([random_law(rng, 200) for _ in range(300)]) for _ in range(2))
    rule = ot.verifier("optimal", scheme, kind=kind)
    arrays = drawn(rule, target, draft, rng)
    there = [torch.from_numpy(a).cuda() for a in arrays]
    rule._draw(*there)  # libraries are loaded on the first call
    torch.cuda.set_sync_debug_mode("error")
    try:
        tokens = rule._draw(*there)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    np.testing.assert_array_equal(tokens.cpu().numpy(), rule._draw_on_host(*arrays))


def test_a_rule_that_picks_the_highest_draft_is_seen(rng):
    """The planted bug: the winner is always the draft of largest target/draft, while L is still believed."""
    target, draft = random_law(rng, 5), random_law(rng, 5)
    scheme = ot.WithReplacement(2)
    lists, law = scheme.lists(draft)
    winner = ot.winner_law(target, draft, scheme)
    best = np.take_along_axis(lists, np.argmax((target / draft)[lists], axis=1)[:, None], axis=1)[:, 0]
    keep = np.minimum(1.0, target[best] / winner[best])
    kernel = (1 - keep)[:, None] * ot.residual(target, winner) + keep[:, None] * np.eye(5)[best]
    assert np.abs(law @ kernel - target).sum() / 2 > 1e-3


@pytest.mark.parametrize(("scheme", "n"), [(ot.WithReplacement(8), 900), (ot.WithoutReplacement(4), 450)], ids=str)
def test_monte_carlo_at_a_real_vocabulary(scheme, n, rng):
    size = 32_000
    scores = -1.1 * np.log1p(np.arange(size))
    target, draft = (ot.normalize(np.exp(scores + rng.normal(size=size))) for _ in range(2))
    rule = ot.verifier("optimal", scheme)
    tokens = np.stack([scheme.sample(draft, rng.random(scheme.num_uniforms)) for _ in range(n)])
    verdict = rule.draw(target, draft, tokens, rng.random((n, rule.num_uniforms)))
    assert ot.Estimate.from_samples(verdict.slot >= 0).covers(float(ot.optimal_acceptance(target, draft, scheme)))
    # token bins of a few percent each, so that every count is large
    bins = (np.cumsum(target) * 25).astype(int).clip(max=24)
    expected = n * np.bincount(bins, weights=target, minlength=25)
    counts = np.bincount(bins[verdict.token], minlength=25)
    kept = expected > 5
    chi = float(((counts - expected)[kept] ** 2 / expected[kept]).sum())
    assert chi < kept.sum() + 5 * np.sqrt(2 * kept.sum())  # five standard deviations of a chi-square
    # planted bug: emitting the drafts themselves fails the same test
    wrong = np.bincount(bins[tokens[:, 0]], minlength=25)
    assert float(((wrong - expected)[kept] ** 2 / expected[kept]).sum()) > kept.sum() + 5 * np.sqrt(2 * kept.sum())


@pytest.mark.parametrize("kind", ["universal", "minimal"])
@pytest.mark.parametrize("scheme", [ot.WithReplacement(64), ot.WithoutReplacement(16), ot.Hybrid(4, 8)], ids=str)
def test_winner_laws_at_the_largest_size(scheme, kind):
    """V = 262,144 with peaked laws, zeros, and masses below 1e-30: certified, and a law."""
    rng = np.random.default_rng(5)
    size = 262_144
    target, draft = (ot.normalize(np.exp(12 * rng.normal(size=size)) * (rng.random(size) > 0.1)) for _ in range(2))
    assert draft[draft > 0].min() < 1e-30
    law = ot.winner_law(target, draft, scheme, kind=kind)
    assert law.min() >= 0
    assert law.sum() == pytest.approx(1.0, abs=64 * np.finfo(float).eps * size)
    top = scheme.split(draft)[0] if isinstance(scheme, ot.Hybrid) else np.zeros(size, dtype=bool)
    value = target[top].sum() + np.minimum(target, law).sum()
    assert value == pytest.approx(float(ot.optimal_acceptance(target, draft, scheme)),
                                  abs=64 * np.finfo(float).eps * size)


def test_universal_laws_serve_every_scale(rng):
    """At every scale s <= 1 the universal law attains min over H of s target(H) + 1 - Q(H)."""
    for _ in range(20):
        target, draft = random_law(rng, 6, zeros=True), random_law(rng, 6)
        for scheme in (ot.WithReplacement(3), ot.WithoutReplacement(3)):
            law = ot.winner_law(target, draft, scheme)
            sets, mass = scheme.sets(draft)
            for s in (0.2, 0.5, 0.8, 1.0):
                best = min(s * target[subset].sum() + 1 - mass[np.where(sets >= 0, subset[sets], True).all(1)].sum()
                           for subset in ((np.arange(64)[:, None] >> np.arange(6)) & 1 == 1))
                # the full set stands for s itself, which bounds the scaled target's whole mass
                assert np.minimum(law, s * target).sum() == pytest.approx(min(best, s), abs=1e-13)
