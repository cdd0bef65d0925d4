"""Planted bugs: each breaks losslessness by a known amount, and the check of the contracts measures exactly that."""

import numpy as np
import pytest

from otspec.core.schemes import Greedy, WithoutReplacement, WithReplacement
from otspec.verifiers import REGISTRY, verifier
from otspec.verifiers.token import k_seq, recursive_wor
from tests.contracts.token_cases import ENUMERATED, INSTANCES, emitted, rows, total_variation
from tests.oracles import mutants

PRINTED = 5.1e-5  # four decimals
TARGET, DRAFT = INSTANCES["golden_H"]


def bias(tokens, law, given):
    """The contract's losslessness check, as a distance."""
    assert np.abs(given.sum(axis=-1) - 1).max() <= ENUMERATED
    return total_variation(emitted(law, given), TARGET)


def wrongly_matched(rule, tokens, law):
    """A rule of the package, made for its own two drafts, run on lists that were drawn otherwise."""
    scheme = next(s for s in (WithReplacement(2), WithoutReplacement(2)) if REGISTRY[rule].supports(s))
    given = verifier(rule, scheme)._conditional(*rows(TARGET, DRAFT, np.asarray(tokens)))  # checks would refuse some
    return bias(tokens, np.asarray(law), given)


def merged_lists():
    """Two i.i.d. drafts with a repeat marked absent, and their law."""
    tokens, law = WithReplacement(2).lists(DRAFT)
    return np.stack([tokens[:, 0], np.where(tokens[:, 1] == tokens[:, 0], -1, tokens[:, 1])], axis=1), law


def printed(name):
    return mutants.TOKEN_MUTANTS[name][2]


@pytest.mark.parametrize("name", mutants.TOKEN_MUTANTS)
def test_planted_bug_is_measured(name):
    list_law, rule, exact = mutants.TOKEN_MUTANTS[name]
    lists = list_law(list(DRAFT), 2)
    given = np.array([rule(list(TARGET), list(DRAFT), xs) for xs in lists])
    assert bias(lists, np.array(list(lists.values())), given) == pytest.approx(exact, abs=PRINTED)


def test_top_tokens_verified_as_draws_without_replacement():
    top = np.argsort(-DRAFT, kind="stable")[:2]
    measured = wrongly_matched("recursive_wor", top[None], [1.0])
    assert measured == pytest.approx(printed("top_k_as_without_replacement"), abs=PRINTED)


def test_greedy_drafts_verified_as_draws_without_replacement():
    measured = wrongly_matched("recursive_wor", *Greedy(2).lists(DRAFT))
    assert measured == pytest.approx(printed("greedy_as_without_replacement"), abs=PRINTED)


def test_independent_drafts_verified_as_draws_without_replacement():
    measured = wrongly_matched("recursive_wor", *WithReplacement(2).lists(DRAFT))
    assert measured == pytest.approx(printed("iid_as_without_replacement"), abs=PRINTED)


def test_k_seq_below_its_smallest_rho():
    tokens, law = WithReplacement(2).lists(DRAFT)
    target, draft, tokens = rows(TARGET, DRAFT, tokens)
    present = np.full(len(law), 2.0)
    biased = k_seq._loop(target, draft, tokens, present, np.ones(len(law)))
    assert bias(tokens, law, biased) == pytest.approx(printed("k_seq_rho_below_smallest"), abs=PRINTED)
    valid = k_seq._loop(target, draft, tokens, present, k_seq.smallest_rho(target, draft, 2))
    assert bias(tokens, law, valid) <= ENUMERATED


def test_k_seq_after_merging_equal_drafts():
    tokens, law = merged_lists()
    target, draft, tokens = rows(TARGET, DRAFT, tokens)
    rho = k_seq.smallest_rho(target, draft, 2)
    given = k_seq._loop(target, draft, tokens, np.full(len(law), 2.0), rho)
    assert bias(tokens, law, given) == pytest.approx(printed("k_seq_after_deduplication"), abs=PRINTED)


def test_recursive_rejection_after_merging_equal_drafts():
    measured = wrongly_matched("recursive", *merged_lists())
    assert measured == pytest.approx(printed("rrs_after_deduplication"), abs=PRINTED)


def test_draft_law_left_unnormalised_after_a_refusal(monkeypatch):
    tokens, law = WithoutReplacement(2).lists(DRAFT)
    assert wrongly_matched("recursive_wor", tokens, law) <= ENUMERATED
    monkeypatch.setattr(recursive_wor, "normalized_or", lambda weights, fallback: weights)
    measured = wrongly_matched("recursive_wor", tokens, law)
    assert measured == pytest.approx(printed("draft_not_renormalised"), abs=PRINTED)
