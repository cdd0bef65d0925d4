"""K-SEQ: the smallest rho, any larger one, and the refusal of any smaller one."""

import numpy as np
import pytest

from otspec.core.errors import BadArgument
from otspec.core.schemes import WithReplacement
from otspec.verifiers import verifier
from otspec.verifiers.token.k_seq import _beta, _slope, smallest_rho
from tests.contracts.token_cases import CLOSED_FORM, ENUMERATED, INSTANCES, accepted, emitted, rows, subset_optimum

A = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize(("k", "rho"), [(1, 1.0), (1, 1.7), (2, 2.0), (2, 5.0), (3, 3.0), (3, 3.5)])
def test_any_valid_rho_is_lossless_and_its_acceptance_exact(name, k, rho):
    target, draft = INSTANCES[name]
    rule = verifier("k_seq", k, rho=rho)
    tokens, law = WithReplacement(k).lists(draft)
    given = rule.conditional(*rows(target, draft, tokens))
    assert np.abs(emitted(law, given) - target).max() <= ENUMERATED
    assert abs(float(rule.acceptance(target, draft)) - accepted(tokens, law, given)) <= CLOSED_FORM


def test_membership_counts_what_the_last_draw_hits():
    assert float(verifier("k_seq", 2, rho=2).acceptance(*A)) == pytest.approx(0.77095, abs=5.1e-6)  # five decimals
    assert 1 - (1 - float(_beta(*A, np.array(2.0)))) ** 2 == pytest.approx(0.6975, abs=1e-12)  # accepted by the loop


@pytest.mark.parametrize("k", [2, 3, 8])
def test_the_returned_end_of_the_bracket_is_valid_and_the_other_is_not(k):
    rng = np.random.default_rng(5)
    target, draft = rng.dirichlet(np.full(12, 0.3), size=(2, 400))
    rho = smallest_rho(target, draft, k)
    assert np.all(_slope(_beta(target, draft, rho), k * np.ones(400)) <= rho)
    below = 1 + (rho - 1) * (1 - 1e-9)
    inner = rho > 1 + 1e-6  # at rho* = 1 there is nothing below to fail
    assert inner.sum() > 300
    assert np.all(_slope(_beta(target, draft, below), k * np.ones(400))[inner] > below[inner])


def test_rho_is_found_row_by_row():
    target, draft = (np.stack(laws) for laws in zip(*list(INSTANCES.values())[:4], strict=True))
    counts = np.array([1.0, 2.0, 3.0, 4.0])
    together = smallest_rho(target, draft, counts)
    alone = [float(smallest_rho(*pair)) for pair in zip(target, draft, counts, strict=True)]
    assert together.tolist() == pytest.approx(alone, abs=1e-15)


def test_equal_and_disjoint_laws():
    law, other = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.0, 0.0, 0.5, 0.5])
    assert float(smallest_rho(law, law, 3)) == pytest.approx(1.0, abs=1e-15)
    assert float(smallest_rho(law, other, 3)) == pytest.approx(3.0, abs=1e-15)
    assert float(verifier("k_seq", 3).acceptance(law, other)) == 0.0


def test_a_smaller_rho_is_refused_and_the_smallest_is_named():
    rule = verifier("k_seq", 2, rho=1.4)
    with pytest.raises(BadArgument, match=r"rho: 1\.4 is below rho\* = 1\.45677"):
        rule.acceptance(*A)
    with pytest.raises(BadArgument, match=r"rho: 1\.4 is below rho\* = 1\.45677"):
        rule.conditional(*A, np.array([0, 2]))
    exact = float(smallest_rho(*A, 2))
    assert float(verifier("k_seq", 2, rho=exact).acceptance(*A)) == float(verifier("k_seq", 2).acceptance(*A))


def test_one_context_of_a_batch_is_enough_to_refuse_a_rho():
    target, draft = (np.stack([law, A[0]]) for law in A)  # equal laws are served by any rho
    rule = verifier("k_seq", 2, rho=1.4)
    tokens = np.zeros((2, 2), dtype=np.int64)
    for given in (lambda: rule.acceptance(target, draft), lambda: rule.conditional(target, draft, tokens)):
        with pytest.raises(BadArgument, match=r"rho: 1\.4 is below rho\* = 1\.45677"):
            given()
    assert rule.acceptance(target[1], draft[1]) > 0.9


def test_a_rho_of_numpy_is_a_number():
    assert float(verifier("k_seq", 2, rho=np.float32(1.5)).acceptance(*A)) == \
        float(verifier("k_seq", 2, rho=1.5).acceptance(*A))


@pytest.mark.parametrize("rho", [0.99, -1.0, float("nan"), float("inf"), "2", True])
def test_a_rho_that_no_laws_allow_is_refused_at_once(rho):
    with pytest.raises(BadArgument, match="rho"):
        verifier("k_seq", 2, rho=rho)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_guarantee_against_the_optimum(k):
    rng = np.random.default_rng(8)
    for _ in range(60):
        target, draft = rng.dirichlet(np.full(5, 0.5), size=2)
        tokens, law = WithReplacement(k).lists(draft)
        optimum = subset_optimum(target, tokens, law)
        value = float(verifier("k_seq", k).acceptance(target, draft))
        assert (1 - (1 - 1 / k) ** k) * optimum - ENUMERATED <= value <= optimum + ENUMERATED


def test_worst_known_ratio_for_two_drafts():
    target, draft = np.array([4 / 9, 5 / 9]), np.array([2 / 3, 1 / 3])
    assert float(smallest_rho(target, draft, 2)) == pytest.approx(4 / 3, abs=1e-12)  # halvings reach rounding
    assert float(verifier("k_seq", 2).acceptance(target, draft)) == pytest.approx(8 / 9, abs=1e-12)
    assert subset_optimum(target, *WithReplacement(2).lists(draft)) == pytest.approx(1.0, abs=1e-12)
