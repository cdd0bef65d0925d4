"""Recursive rejection without replacement: acceptance of up to four drafts, and its certified ends."""

import numpy as np
import pytest
import torch

import otspec as ot
from tests.conftest import random_law
from tests.contracts.token_cases import accepted, rows

SUMS = 1e-12  # at most 6 * 5 * 4 * 3 lists


def batch(rng, size):
    return (np.stack([random_law(rng, size, zeros=number % 3 == 1, ties=number % 3 == 2) for number in range(6)])
            .reshape(2, 3, size) for _ in range(2))


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_acceptance_lies_between_its_ends_and_is_that_of_all_lists(k, rng):
    scheme = ot.WithoutReplacement(k)
    rule, (target, draft) = ot.verifier("recursive_wor", scheme), batch(rng, 6)
    value, (lower, upper) = rule.acceptance(target, draft), rule.acceptance_bounds(target, draft)
    assert value.shape == lower.shape == upper.shape == (2, 3)
    for index in np.ndindex(2, 3):
        tokens, law = scheme.lists(draft[index])
        given = rule.conditional(*rows(target[index], draft[index], tokens))
        wanted = accepted(tokens, law, given)
        assert value[index] == pytest.approx(wanted, abs=SUMS)
        assert lower[index] - SUMS <= wanted <= upper[index] + SUMS
        assert upper[index] - lower[index] <= SUMS
    narrow = rule.acceptance(*(torch.tensor(law, dtype=torch.float32) for law in (target, draft)))
    assert narrow.dtype == torch.float32
    assert narrow.numpy() == pytest.approx(value, abs=1e-5)  # float32 laws of six tokens
    assert rule.acceptance(target[:0], draft[:0]).shape == (0, 3)
    assert rule.acceptance_bounds(target[:0], draft[:0])[0].shape == (0, 3)
    assert rule.acceptance_is_slow == (k > 2)


def test_ends_that_are_too_far_apart_are_no_value(monkeypatch):
    rule, law = ot.verifier("recursive_wor", ot.WithoutReplacement(3)), np.full((2, 4), 0.25)
    for width, found in ((1.9e-9, True), (2.1e-9, False)):
        ends = np.array([0.5, 0.5]), np.array([0.5, 0.5 + width])
        monkeypatch.setattr(type(rule), "acceptance_bounds", lambda *_, ends=ends: ends)
        value = rule.acceptance(law, law)
        assert (value is not None) == found
        if found:
            np.testing.assert_array_equal(value, (ends[0] + ends[1]) / 2)


def test_five_drafts_have_no_ends():
    law = np.full(6, 1 / 6)
    with pytest.raises(ot.TooLarge, match=r"a sum of 1.3e\+03 terms. Fix: sampled_acceptance, or at most 4") as large:
        ot.verifier("recursive_wor", ot.WithoutReplacement(5)).acceptance_bounds(law, law)
    assert large.value.estimate == 6**4


def test_ends_of_refusal_are_those_of_acceptance_the_other_way_round(monkeypatch):
    from otspec.transport.without_replacement import residuals

    monkeypatch.setattr(residuals, "refusal_bounds", lambda target, draft, k: (0.25, 0.5))
    law = np.full((2, 4), 0.25)
    lower, upper = ot.verifier("recursive_wor", ot.WithoutReplacement(3)).acceptance_bounds(law, law)
    assert (lower.tolist(), upper.tolist()) == ([0.5, 0.5], [0.75, 0.75])


def test_what_is_missing_may_be_the_law_of_the_second_draft(rng):
    """Every ratio of the two is then the same up to rounding: all tokens lie at one break of the sum."""
    scheme = ot.WithoutReplacement(2)
    for _ in range(60):
        draft = np.sort(random_law(rng, 4))
        target = draft * (1 - draft[2] / 2) / (1 - draft[2])
        target[2] = draft[2] / 2  # half of a token goes to the others in proportion
        tokens, law = scheme.lists(draft)
        rule = ot.verifier("recursive_wor", scheme)
        wanted = accepted(tokens, law, rule.conditional(*rows(target, draft, tokens)))
        assert float(rule.acceptance(target, draft)) == pytest.approx(wanted, abs=SUMS)
