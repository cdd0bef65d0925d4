"""Losslessness of bare functions: healthy ones pass, planted bugs fail, tokens and laws alike."""

import numpy as np
import pytest

import otspec as ot
from otspec.testing import CheckFailed, assert_lossless
from tests.oracles import mutants, token_rules


def drawn(rule):
    """Sampler of a rule that returns laws."""
    def emit(target, draft, tokens, rng):
        law = np.asarray(rule(target.tolist(), draft.tolist(), tuple(x for x in tokens.tolist() if x >= 0)))
        return int(np.searchsorted(np.cumsum(law), rng.random() * law.sum(), side="right"))
    return emit


def law(rule):
    return lambda target, draft, tokens, rng: rule(target.tolist(), draft.tolist(),
                                                   tuple(x for x in tokens.tolist() if x >= 0))


def merged(rule):
    return lambda p, q, xs: rule(p, q, mutants.distinct(xs))


HEALTHY = [(token_rules.single_draft, 1), (token_rules.rrs_iid, 2), (token_rules.rrs_wor, ot.WithoutReplacement(2)),
           (token_rules.spechub, ot.Hub()), (token_rules.nss, 3)]
BUGS = [(token_rules.rrs_wor, ot.Greedy(2)), (mutants.k_seq_rho_one, 2), (merged(token_rules.rrs_iid), 2),
        (token_rules.rrs_wor, 2), (mutants.rrs_wor_unnormalised, ot.WithoutReplacement(2)),
        (lambda p, q, xs: [float(x == xs[0]) for x in range(len(p))], 1)]


@pytest.mark.parametrize(("rule", "scheme"), HEALTHY, ids=str)
@pytest.mark.parametrize("form", [law, drawn])
def test_healthy_functions_pass(rule, scheme, form):
    assert_lossless(form(rule), scheme, n=2000)


@pytest.mark.parametrize(("rule", "scheme"), BUGS, ids=str)
@pytest.mark.parametrize("form", [law, drawn])
def test_planted_bugs_fail(rule, scheme, form):
    with pytest.raises(CheckFailed, match="lossless fails") as failed:
        assert_lossless(form(rule), scheme, n=20_000)
    assert failed.value.claim == "lossless"


@pytest.mark.parametrize(("fn", "says"), [
    (lambda *given: 99, "no token of the vocabulary"), (lambda *given: 0.5, "no token of the vocabulary"),
    (lambda *given: [0.5, 0.5], "no law"), (lambda t, d, x, rng: [-1.0, *(0 * t[1:])], "no law"),
    (lambda t, d, x, rng: int(rng.choice(len(t), p=d)), "the target never emits|p-value")])
def test_what_is_emitted_must_be_a_token(fn, says):
    with pytest.raises(CheckFailed, match=says):
        assert_lossless(fn, 1, n=3000)


def test_false_alarms_are_rare():
    for seed in range(20):
        assert_lossless(lambda t, d, x, rng: int(rng.choice(len(t), p=t)), 1, n=300, seed=seed)


def test_bad_arguments():
    with pytest.raises(ot.BadArgument, match="n: 0"):
        assert_lossless(lambda *given: 0, n=0)
