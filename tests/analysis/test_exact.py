import numpy as np
import pytest

import otspec as ot
from otspec.analysis.exact import member_mass
from tests.conftest import random_law
from tests.oracles import drafting, token_rules


def test_acceptance_by_enumeration_is_the_oracles(rng):
    for _ in range(5):
        target, draft = random_law(rng, 5, zeros=True), random_law(rng, 5)
        lists = drafting.without_replacement(draft.tolist(), 3)
        oracle = token_rules.acceptance(token_rules.rrs_wor, target.tolist(), draft.tolist(), lists)
        found = ot.acceptance("recursive_wor", target, draft, ot.WithoutReplacement(3))
        assert float(found) == pytest.approx(oracle, abs=1e-12)


def test_output_law_of_a_batch_is_the_target(rng):
    target, draft = (np.stack([random_law(rng, 4) for _ in range(3)]) for _ in range(2))
    np.testing.assert_allclose(ot.output_law("k_seq", target, draft, 2), target, atol=1e-14)


def test_a_copy_in_the_list_counts_once():
    laws = np.array([[0.25, 0.75, 0.0]])
    assert member_mass(laws, np.array([[1, 1, -1]])) == pytest.approx(0.75)
    assert member_mass(laws, np.array([[1, 0, 1]])) == pytest.approx(1.0)


def test_a_user_rule_is_analysed_like_a_registered_one(rng):
    class Wishful(ot.TokenVerifier):
        """Always emits the first draft: fast, and not lossless."""

        def _conditional(self, target, draft, tokens):
            return np.eye(target.shape[-1])[tokens[..., 0]]

    target, draft = random_law(rng, 5), random_law(rng, 5)
    rule = Wishful(2)
    assert float(ot.acceptance(rule, target, draft, 2)) == pytest.approx(1.0)
    np.testing.assert_allclose(ot.output_law(rule, target, draft, 2), draft, atol=1e-14)
    with pytest.raises(ot.SchemeMismatch):
        ot.acceptance(rule, target, draft, 3)


def test_tables_that_would_not_fit_are_refused():
    law = np.full((3, 600), 1 / 600)
    with pytest.raises(ot.TooLarge, match="sampled_acceptance"):
        ot.output_law("k_seq", law, law, 3)
