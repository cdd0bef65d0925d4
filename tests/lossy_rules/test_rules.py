"""Contracts of every lossy rule: its stated law, price and acceptance are those of its conditional law, enumerated."""

import array_api_strict
import numpy as np
import pytest
import torch

import otspec as ot
from otspec.lossy_rules.cactus import Cactus
from tests.contracts.token_cases import INSTANCES
from tests.oracles import lossy as oracle

EXACT = 1e-12  # sums of at most 5^3 products of masses
# one dominant token: the excess of a refusal is a difference of masses near 1, and is divided by
CANCELLED = 1e-9
PARAMETERS = {"frontier": {"budget": 0.07}, "ensemble": {"weight": 0.8}, "typical": {"threshold": 0.25, "alpha": 0.6},
              "top_k": {"count": 2, "delta": 0.3}, "cactus": {"delta": 0.05}}
CASES = [(name, k) for name in PARAMETERS for k in (1, 2, 3) if name in ot.list_lossy(k)]
SLOW = {"ensemble": oracle.ensemble, "typical": oracle.typical, "top_k": oracle.top_k, "cactus": oracle.cactus}


def made(name, k):
    return ot.lossy(name, k, **PARAMETERS[name])


def test_every_line_of_the_registry_is_tested_here():
    assert set(PARAMETERS) == set(ot.list_lossy())


@pytest.mark.parametrize(("name", "k"), CASES)
@pytest.mark.parametrize("instance", INSTANCES)
def test_stated_law_price_and_acceptance(name, k, instance):
    target, draft = INSTANCES[instance]
    rule, scheme = made(name, k), ot.WithReplacement(k)
    tokens, law = scheme.lists(draft)
    given = rule.conditional(target, draft, tokens)
    np.testing.assert_allclose(given.sum(axis=-1), 1.0, atol=EXACT)
    assert given.min() >= 0
    emitted = law @ given
    np.testing.assert_allclose(rule.output(target, draft), emitted, atol=CANCELLED)
    assert float(rule.price(target, draft)) == pytest.approx(0.5 * np.abs(emitted - target).sum(), abs=CANCELLED)
    accepted = sum(weight * row[sorted(set(xs))].sum() for xs, weight, row in zip(tokens.tolist(), law, given,
                                                                                  strict=True))
    assert float(rule.acceptance(target, draft)) == pytest.approx(accepted, abs=CANCELLED)
    # no rule passes the frontier at its own price
    best = float(ot.optimal_acceptance(target, draft, k)) + 0.5 * np.abs(emitted - target).sum()
    assert accepted <= min(1.0, best) + EXACT
    assert 2 * float(rule.price(target, draft)) <= rule.max_deviation + CANCELLED


@pytest.mark.parametrize(("name", "k"), [(name, k) for name, k in CASES if name in SLOW and
                                         (k == 1 or name not in ("ensemble", "cactus"))])
def test_the_slow_twin_gives_the_same_law(name, k):
    rule = made(name, k)
    for target, draft in INSTANCES.values():
        tokens, _ = ot.WithReplacement(k).lists(draft)
        slow = [SLOW[name](target.tolist(), draft.tolist(), xs, **PARAMETERS[name]) for xs in tokens.tolist()]
        np.testing.assert_allclose(rule.conditional(target, draft, tokens), slow, atol=CANCELLED)


def test_transformers_own_function_has_the_ensembles_law():
    """Mean of the library's draws against the exact law: 6,000 draws at a fixed seed, within 5 standard errors."""
    generation = pytest.importorskip("transformers.generation.utils")
    target, draft = INSTANCES["golden_H"]
    rng = np.random.default_rng(0)
    logits = [torch.log(torch.from_numpy(law))[None, None] for law in (draft, target)]
    seen, kept, n = np.zeros(5), 0, 6_000
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(1)
        for x in rng.choice(5, size=n, p=draft):
            ids = torch.tensor([[int(x)]])
            out, matches = generation._speculative_sampling(ids, logits[0], 1, torch.cat([logits[1]] * 2, dim=1), 0.8)
            seen[int(out[0, 0])] += 1
            kept += int(matches)
    rule = made("ensemble", 1)
    law, chance = rule.output(target, draft), float(rule.acceptance(target, draft))
    assert (np.abs(seen / n - law) <= 5 * np.sqrt(law * (1 - law) / n)).all()
    assert abs(kept / n - chance) <= 5 * np.sqrt(chance * (1 - chance) / n)
    assert (np.abs(seen / n - target) > 5 * np.sqrt(target * (1 - target) / n)).any()  # it is not lossless


@pytest.mark.parametrize(("name", "k"), CASES)
def test_draws_follow_the_conditional_law_and_libraries_agree(name, k):
    target, draft = INSTANCES["golden_H"]
    rule, scheme, n = made(name, k), ot.WithReplacement(k), 40_000
    rng = np.random.default_rng(5)
    tokens = scheme.sample(np.broadcast_to(draft, (n, 5)), rng.random((n, scheme.num_uniforms)))
    coins = rng.random((n, rule.num_uniforms))
    rows = [np.broadcast_to(law, (n, 5)).copy() for law in (target, draft)]
    verdict = rule.draw(*rows, tokens, coins)
    law, chance = rule.output(target, draft), float(rule.acceptance(target, draft))
    seen = np.bincount(verdict.token, minlength=5) / n
    assert (np.abs(seen - law) <= 5 * np.sqrt(law * (1 - law) / n)).all()
    assert ot.Estimate((verdict.slot >= 0).mean(), np.sqrt(chance * (1 - chance) / n), n).covers(chance, z=5)
    few = [array[:50] for array in (*rows, tokens, coins)]
    for xp in (torch, array_api_strict):
        other = rule.draw(*(xp.asarray(array) for array in few))
        assert np.asarray(other.token).tolist() == verdict.token[:50].tolist()


@pytest.mark.parametrize(("name", "k"), CASES)
def test_other_libraries_have_the_same_conditional_law(name, k):
    target, draft = INSTANCES["golden_H"]
    tokens, _ = ot.WithReplacement(k).lists(draft)
    rows = [np.broadcast_to(law, (len(tokens), 5)).copy() for law in (target, draft)]
    rule = made(name, k)
    for xp in (torch, array_api_strict):
        if xp is array_api_strict and name in ("frontier", "ensemble") and k > 1:
            continue  # the hull sampler's conditional law is sequential
        given = rule.conditional(*(xp.asarray(array) for array in (*rows, tokens)))
        np.testing.assert_allclose(np.asarray(given), rule.conditional(*rows, tokens), atol=EXACT)


SCHEMES = [ot.WithReplacement(1), ot.WithReplacement(2), ot.WithoutReplacement(2), ot.Greedy(2), ot.Hybrid(1, 3),
           ot.Hub(), ot.Independent(2), ot.Joint(np.full((5, 5), 1 / 25))]


@pytest.mark.parametrize("xp", [np, torch, array_api_strict], ids=["numpy", "torch", "strict"])
@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_float32_laws_stay_float32_and_near_those_of_float64(scheme, xp):
    target, draft = (np.stack([law, law[::-1]]) for law in INSTANCES["golden_H"])
    if isinstance(scheme, ot.Independent):
        draft = np.stack([draft, target], axis=1)
    exact = target, None if isinstance(scheme, ot.Joint) else draft
    given = [None if law is None else xp.asarray(law.astype(np.float32)) for law in exact]
    bound, single = ot.lossy_bound(*exact, scheme, 0.07), ot.lossy_bound(*given, scheme, 0.07)
    assert single.output_law.dtype == given[0].dtype
    for name in ("lower", "upper", "output_law", "price"):
        np.testing.assert_allclose(np.asarray(getattr(single, name)), getattr(bound, name), atol=1e-6)
    for name in set(PARAMETERS) & set(ot.list_lossy(scheme)):
        rule = ot.lossy(name, scheme, **PARAMETERS[name])
        for ask in (rule.output, rule.acceptance, rule.price):
            np.testing.assert_allclose(np.asarray(ask(*given)), ask(*exact), atol=1e-6)
        assert rule.output(*given).dtype == given[0].dtype
        if xp is not array_api_strict:  # the hull sampler's conditional law is sequential
            tokens = np.array([[0, 1, 2], [2, 3, 4]])[:, : scheme.num_drafts]
            law = rule.conditional(*given, xp.asarray(tokens))
            np.testing.assert_allclose(np.asarray(law), rule.conditional(*exact, tokens), atol=1e-5)


def test_lossless_limits():
    target, draft = INSTANCES["golden_H"]
    for rule in (ot.lossy("frontier", 2, budget=0.0), ot.lossy("ensemble", 2, weight=1.0), ot.lossy("cactus", delta=0)):
        np.testing.assert_allclose(rule.output(target, draft), target, atol=EXACT)
        assert float(rule.acceptance(target, draft)) == pytest.approx(
            float(ot.optimal_acceptance(target, draft, rule.scheme)), abs=EXACT)


def test_ensemble_of_one_draft_lies_on_the_frontier_and_of_two_below_it():
    target, draft = INSTANCES["golden_H"]
    for k, on in ((1, True), (2, False)):
        rule = ot.lossy("ensemble", k, weight=0.7)
        best = float(ot.optimal_acceptance(target, draft, k)) + float(rule.price(target, draft))
        missed = best - float(rule.acceptance(target, draft))
        assert (abs(missed) <= EXACT) if on else missed > 0.01


@pytest.mark.parametrize("delta", [0.001, 0.05, 1.0])
def test_cactus_lies_on_the_frontier(delta):
    rng = np.random.default_rng(8)
    rule = ot.lossy("cactus", delta=delta)
    for target, draft in [*INSTANCES.values(), *rng.dirichlet(np.full(6, 0.4), size=(40, 2))]:
        best = float(ot.overlap(target, draft)) + float(rule.price(target, draft))
        assert float(rule.acceptance(target, draft)) == pytest.approx(best, abs=CANCELLED)


def test_a_token_drawn_from_the_target_after_a_refusal_is_caught():
    """A planted bug: the recovery law of Cactus replaced by the target, which the stated law shows."""
    class Recovered(Cactus):
        def _conditional(self, target, draft, tokens):
            given = super()._conditional(target, draft, tokens)
            here = np.arange(target.shape[-1]) == tokens
            kept = np.where(here, given, 0.0)
            return kept + (1 - kept.sum(axis=-1, keepdims=True)) * target

    target, draft = INSTANCES["golden_H"]
    tokens, law = ot.WithReplacement(1).lists(draft)
    emitted = law @ Recovered(1, delta=0.05).conditional(target, draft, tokens)
    assert np.abs(emitted - made("cactus", 1).output(target, draft)).sum() > 1e-2


def test_real_vocabularies():
    rng = np.random.default_rng(2)
    target, draft = rng.dirichlet(np.full(20_000, 0.02), size=3), rng.dirichlet(np.full(20_000, 0.02), size=3)
    for name in PARAMETERS:
        rule = made(name, 1)
        law = rule.output(target, draft)
        np.testing.assert_allclose(law.sum(axis=-1), 1.0, atol=1e-9)
        assert (rule.acceptance(target, draft) <= np.minimum(target, draft).sum(axis=-1)
                + rule.price(target, draft) + 1e-9).all()


def test_they_are_kept_apart_and_marked():
    assert not set(ot.list_lossy()) & set(ot.list_verifiers())
    for name in ot.list_lossy():
        assert "lossy" in ot.list_lossy()[name].claims
        assert repr(made(name, 1)).startswith("lossy ")
        with pytest.raises(ot.UnknownName):
            ot.verifier(name)
    target, draft = INSTANCES["golden_H"]
    assert not set(ot.compare(target, draft, 1).column("rule")) & set(ot.list_lossy())
    row = ot.compare(target, draft, 1, [made("ensemble", 1)]).rows[0]
    assert row["deviation"] == pytest.approx(0.4)


@pytest.mark.parametrize(("name", "params", "match"), [
    ("typical", {"alpha": 1.0}, "alpha"), ("typical", {"threshold": 0.0}, "threshold"), ("typical", {"eps": 1}, "eps"),
    ("top_k", {"count": 0}, "count"), ("top_k", {"delta": -1}, "delta"), ("ensemble", {"weight": 0}, "weight"),
    ("cactus", {"delta": -0.1}, "delta"), ("cactus", {"delta": float("inf")}, "delta"),
])
def test_bad_parameters(name, params, match):
    with pytest.raises(ot.BadArgument, match=match):
        ot.lossy(name, 1, **params)


def test_bad_names_schemes_and_counts():
    with pytest.raises(ot.UnknownName, match="typical"):
        ot.lossy("typcal")
    with pytest.raises(ot.SchemeMismatch):
        ot.lossy("cactus", 2)
    with pytest.raises(ot.SchemeMismatch):
        ot.lossy("typical", ot.WithoutReplacement(2))
    with pytest.raises(ot.BadArgument, match="count"):
        ot.lossy("top_k", 1, count=9).acceptance([0.5, 0.5], [0.5, 0.5])
