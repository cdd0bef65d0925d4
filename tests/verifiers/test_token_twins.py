"""Every fast rule against its slow twin, list by list."""

import numpy as np
import pytest

from otspec.core.schemes import Greedy, Hub, WithoutReplacement, WithReplacement
from otspec.verifiers import verifier
from otspec.verifiers.token.k_seq import smallest_rho
from tests.contracts.token_cases import INSTANCES, rows
from tests.oracles import drafting, token_rules

SAME = 1e-12  # the same sums of five masses in another order
PAIRS = [
    ("single_draft", WithReplacement(1), token_rules.single_draft, lambda q: drafting.iid(q, 1)),
    ("naive", WithReplacement(2), token_rules.naive, lambda q: drafting.iid(q, 2)),
    ("naive", WithoutReplacement(2), token_rules.naive, lambda q: drafting.without_replacement(q, 2)),
    ("nss", WithReplacement(3), token_rules.nss, lambda q: drafting.iid(q, 3)),
    ("recursive", WithReplacement(2), token_rules.rrs_iid, lambda q: drafting.iid(q, 2)),
    ("recursive", WithReplacement(3), token_rules.rrs_iid, lambda q: drafting.iid(q, 3)),
    ("recursive_wor", WithoutReplacement(2), token_rules.rrs_wor, lambda q: drafting.without_replacement(q, 2)),
    ("recursive_wor", WithoutReplacement(3), token_rules.rrs_wor, lambda q: drafting.without_replacement(q, 3)),
    ("k_seq", WithReplacement(1), token_rules.k_seq, lambda q: drafting.iid(q, 1)),
    ("k_seq", WithReplacement(2), token_rules.k_seq, lambda q: drafting.iid(q, 2)),
    ("k_seq", WithReplacement(3), token_rules.k_seq, lambda q: drafting.iid(q, 3)),
    ("greedy", Greedy(2), token_rules.greedy, lambda q: drafting.greedy(q, 2)),
    ("greedy", Greedy(3), token_rules.greedy, lambda q: drafting.greedy(q, 3)),
    ("spechub", Hub(), token_rules.spechub, drafting.spechub),
]
IDS = [f"{rule}-{scheme!r}" for rule, scheme, *_ in PAIRS]


def twin_law(draft, twin_lists, tokens):
    """Law of each of our lists in the twin's drafting; ours end in -1 where the twin's are shorter."""
    law = twin_lists(draft.tolist())
    return np.array([law.pop(tuple(row[row >= 0].tolist())) for row in tokens]), law


@pytest.mark.parametrize(("rule", "scheme", "twin", "twin_lists"), PAIRS, ids=IDS)
@pytest.mark.parametrize("name", INSTANCES)
def test_conditional_equals_the_twin(rule, scheme, twin, twin_lists, name):
    target, draft = INSTANCES[name]
    tokens, law = scheme.lists(draft)
    if rule == "greedy" and np.count_nonzero(draft) < scheme.k:
        # the twin then tests the last likely token, ours has no random draft left: same lists, two lossless rules
        given = verifier(rule, scheme).conditional(*rows(target, draft, tokens))
        assert np.abs(given - target).max() <= SAME
        return
    theirs, left = twin_law(draft, twin_lists, tokens)
    assert not left
    assert np.abs(theirs - law).max() <= SAME
    given = verifier(rule, scheme).conditional(*rows(target, draft, tokens))
    for row, ours in zip(tokens, given, strict=True):
        expected = twin(target.tolist(), draft.tolist(), tuple(row[row >= 0].tolist()))
        assert np.abs(np.array(expected, dtype=float) - ours).max() <= SAME, row


@pytest.mark.parametrize("k", [1, 2, 3, 5])
@pytest.mark.parametrize("name", [name for name in INSTANCES if name not in {"disjoint", "one_hot_draft"}])
def test_smallest_rho_equals_the_twin(name, k):
    target, draft = INSTANCES[name]
    least = token_rules.smallest_rho(target.tolist(), draft.tolist(), k)
    assert float(smallest_rho(target, draft, k)) == pytest.approx(least, abs=1e-9)  # slope of the root: rounding / beta
