"""Closed forms of acceptance at sizes the contracts do not reach, and what they cost."""

import time

import numpy as np
import pytest

import otspec as ot
from otspec.core.drafters import Independent
from otspec.core.schemes import Greedy, Hub, Hybrid, WithoutReplacement, WithReplacement
from otspec.verifiers import verifier
from otspec.verifiers.token import lp, recursive_wor
from tests.contracts.token_cases import accepted, rows
from tests.oracles import drafting, token_rules

PAIRS = [
    ("nss", WithReplacement(2)), ("nss", WithoutReplacement(2)), ("nss", Greedy(3)), ("nss", Hybrid(1, 3)),
    ("nss", Hub()), ("naive", WithReplacement(2)), ("naive", WithoutReplacement(1)), ("naive", WithoutReplacement(2)),
    ("recursive", WithReplacement(2)),
    ("recursive_wor", WithoutReplacement(2)), ("k_seq", WithReplacement(2)), ("spechub", Hub()), ("greedy", Greedy(2)),
]
IDS = [f"{rule}-{scheme!r}" for rule, scheme in PAIRS]
SIZES = [("nss", 8), ("naive", 8), ("recursive", 8), ("k_seq", 8), ("nss", WithoutReplacement(2)),
         ("recursive_wor", WithoutReplacement(2)), ("spechub", Hub()), ("greedy", Greedy(4))]


def enumerated_acceptance(rule, scheme, target, draft):
    tokens, law = scheme.lists(draft)
    return accepted(tokens, law, verifier(rule, scheme).conditional(*rows(target, draft, tokens)))


@pytest.mark.parametrize(("rule", "scheme"), PAIRS, ids=IDS)
@pytest.mark.parametrize("concentration", [0.05, 1.0])
def test_thirty_tokens_against_enumeration(rule, scheme, concentration):
    target, draft = np.random.default_rng(3).dirichlet(np.full(30, concentration), size=2)
    exact = enumerated_acceptance(rule, scheme, target, draft)
    value = float(verifier(rule, scheme).acceptance(target, draft))
    assert value == pytest.approx(exact, abs=1e-12)  # at most 30 * 29 * 28 lists, each a few eps of its own mass


@pytest.mark.parametrize(("rule", "scheme"), PAIRS, ids=IDS)
@pytest.mark.parametrize("tail", [1e-9, 1e-15, 1e-200, 1e-310])
def test_low_temperature_drafts_against_enumeration(rule, scheme, tail):
    # one token has all but a sliver of the mass, down to subnormal slivers, as a softmax near temperature 0 gives
    draft = np.array([tail, 1 - 3 * tail, 2 * tail, 0.0, 0.0])
    target = np.array([0.3, 0.2, 0.25, 0.15, 0.1])
    for law in (target, target[::-1].copy(), draft):
        exact = enumerated_acceptance(rule, scheme, law, draft)
        assert float(verifier(rule, scheme).acceptance(law, draft)) == pytest.approx(exact, abs=1e-11)  # as contracts


def test_recursive_rejection_without_replacement_against_the_twin():
    target, draft = np.random.default_rng(4).dirichlet(np.full(20, 0.5), size=2)
    exact = token_rules.acceptance(token_rules.rrs_wor, target.tolist(), draft.tolist(),
                                   drafting.without_replacement(draft.tolist(), 2))
    value = float(verifier("recursive_wor", WithoutReplacement(2)).acceptance(target, draft))
    assert value == pytest.approx(exact, abs=1e-12)  # 380 lists


def test_second_draws_after_a_likely_token_against_enumeration():
    # few tokens: renormalised second draws are up to twice as likely, and cross the ratios of the excess
    rng = np.random.default_rng(12)
    scheme = WithoutReplacement(2)
    for _ in range(150):
        target, draft = rng.dirichlet(np.ones(4), size=2)
        exact = enumerated_acceptance("recursive_wor", scheme, target, draft)
        value = float(verifier("recursive_wor", scheme).acceptance(target, draft))
        assert value == pytest.approx(exact, abs=1e-12)  # 12 lists


def test_formulas_take_batches_and_broadcast():
    rng = np.random.default_rng(6)
    target, draft = rng.dirichlet(np.ones(9), size=(2, 3)), rng.dirichlet(np.ones(9))
    for rule, scheme in PAIRS:
        value = verifier(rule, scheme).acceptance(target, draft)
        assert value.shape == (2, 3)
        assert float(value[1, 2]) == pytest.approx(float(verifier(rule, scheme).acceptance(target[1, 2], draft)),
                                                   abs=1e-15)  # a sum in another order


def test_drafters_of_their_own():
    target = np.array([0.5, 0.5])
    drafters = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert float(verifier("nss", Independent(2)).acceptance(target, drafters)) == 0.75


def test_no_formula_is_said_by_none():
    laws = np.full(5, 0.2), np.full(5, 0.2)
    for rule, scheme in [("nss", WithoutReplacement(3)), ("naive", WithoutReplacement(3)),
                         ("recursive_wor", WithoutReplacement(5)), ("lp", WithReplacement(2))]:
        assert verifier(rule, scheme).acceptance(*laws) is None


@pytest.mark.parametrize(("rule", "scheme"), SIZES, ids=[f"{rule}-{scheme!r}" for rule, scheme in SIZES])
def test_a_report_of_512_contexts_takes_less_than_a_second(rule, scheme):
    rng = np.random.default_rng(0)
    target, draft = rng.dirichlet(np.full(2048, 0.05), size=(2, 512))
    bound = verifier(rule, scheme)
    start = time.process_time()
    value = bound.acceptance(target, draft)
    assert time.process_time() - start < 1.0
    assert value.shape == (512,)
    assert np.all((value > 0) & (value < 1 + 1e-12))  # rounding of a sum over 2,048 tokens


@pytest.mark.parametrize("light", [1e-150, 1e-162, 1e-200])
def test_lp_on_draft_sets_whose_probability_underflows(light):
    assert float(ot.acceptance("lp", [0.5, 0.5], [1.0, light], 2)) == pytest.approx(0.5, abs=1e-12)
    assert ot.output_law("lp", [0.5, 0.5], [1.0, light], 2) == pytest.approx([0.5, 0.5], abs=1e-12)


def test_lp_refuses_a_vocabulary_that_would_keep_it_busy_for_minutes():
    law = np.full(2048, 1 / 2048)
    with pytest.raises(ot.TooLarge, match="'optimal' accepts as often") as caught:
        verifier("lp", 2).conditional(law, law, np.array([0, 1]))
    assert caught.value.estimate == 2 * 2048**2


@pytest.mark.parametrize(("scheme", "tokens", "variables"), [
    (WithReplacement(2), [0, 1], 2 * 16), (WithReplacement(2), [0, -1], 4), (WithoutReplacement(2), [0, 1], 2 * 12),
    (Independent(2), [0, 1], 2 * 16)], ids=str)
def test_lp_takes_as_many_variables_as_allowed(scheme, tokens, variables, monkeypatch):
    law, tokens = np.full(4, 0.25), np.array(tokens)
    draft = np.stack([law, law]) if isinstance(scheme, Independent) else law
    monkeypatch.setattr(lp, "MAX_VARIABLES", variables)
    assert verifier("lp", scheme).conditional(law, draft, tokens).sum() == pytest.approx(1, abs=1e-12)
    monkeypatch.setattr(lp, "MAX_VARIABLES", variables - 1)
    with pytest.raises(ot.TooLarge, match=f"about {variables} variables for each context") as caught:
        verifier("lp", scheme).conditional(law, draft, tokens)
    assert caught.value.estimate == variables


@pytest.mark.parametrize("rule", ["nss", "naive", "recursive", "k_seq", "optimal", "lp"])
def test_more_draws_with_replacement_than_tokens(rule):
    target, draft = np.array([0.2, 0.8]), np.array([0.7, 0.3])
    scheme = WithReplacement(7)
    value = float(ot.acceptance(rule, target, draft, scheme))
    assert value == pytest.approx(enumerated_acceptance(rule, scheme, target, draft), abs=1e-12)
    assert ot.output_law(rule, target, draft, scheme) == pytest.approx(target, abs=1e-12)
    best = 1 - max(0.3**7 - 0.8, 0.7**7 - 0.2, 0.0)  # the three cuts of two tokens
    assert float(ot.optimal_acceptance(target, draft, scheme)) == pytest.approx(best, abs=1e-12)
    assert value <= best + 1e-12


def test_every_context_of_a_batch_counts_towards_the_limit(monkeypatch):
    rule = verifier("recursive_wor", WithoutReplacement(3))
    target, draft = np.full((3, 1, 4), 0.25), np.array([[[0.5, 0.5, 0.0, 0.0], [0.5, 0.25, 0.25, 0.0]]])
    for laws, pairs in (((target, draft), 3 * (4 + 9)), ((target[0, 0], draft), 4 + 9), ((target, draft[0, 0]), 3 * 4)):
        monkeypatch.setitem(recursive_wor.MAX_PAIRS, 3, pairs)
        assert rule.acceptance(*laws) is not None
        monkeypatch.setitem(recursive_wor.MAX_PAIRS, 3, pairs - 1)
        assert rule.acceptance(*laws) is None
