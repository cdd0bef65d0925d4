"""Refusal of up to four drafts without replacement against the sum over all draft lists."""

import numpy as np
import pytest

import otspec as ot
from otspec.transport.without_replacement import residuals
from otspec.transport.without_replacement.residuals import refusal_bounds

SUMS = 1e-12  # a few thousand lists


def enumerated(target, draft, k):
    """Chance that no draft is emitted, list by list, each residual built anew."""
    tokens, law = ot.WithoutReplacement(k).lists(draft)
    total = 0.0
    for drafts, chance in zip(tokens, law, strict=True):
        goal, left, refused = target, draft, 1.0
        for token in drafts[drafts >= 0]:
            left = left / left.sum()
            refused *= 1.0 - min(1.0, goal[token] / left[token]) if goal[token] < left[token] else 0.0
            excess = np.maximum(goal - left, 0.0)
            goal = excess / excess.sum() if excess.sum() > 0 else goal
            left = np.where(np.arange(left.size) == token, 0.0, left)
        total += chance * refused
    return total


def laws(rng, size):
    target, draft = rng.dirichlet(np.full(size, rng.choice([0.1, 1.0, 5.0])), 2)
    kind = rng.integers(4)
    if kind == 0:
        draft = 10.0 ** rng.uniform(-12, 0, size)
    elif kind == 1:
        draft = 10.0 ** rng.uniform(-300, 0, size)
    elif kind == 2:
        draft[rng.integers(size)] = 0.0
    return target, draft / draft.sum()


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_bounds_hold_the_sum_over_all_lists(k, rng):
    for _ in range(60):
        target, draft = laws(rng, int(rng.integers(max(k, 2), 8)))
        lower, upper = refusal_bounds(target, draft, k)
        want = enumerated(target, draft, k)
        assert lower - SUMS <= want <= upper + SUMS, (target, draft)
        assert upper - lower <= SUMS


@pytest.mark.parametrize("k", [2, 3, 4])
def test_what_is_left_out_is_counted_in_the_upper_bound(k, rng, monkeypatch):
    monkeypatch.setattr(residuals, "_FEW", 0.0)
    widest = 0.0
    for left_out in (0.1, 0.01):
        monkeypatch.setattr(residuals, "_LEFT_OUT", left_out)
        for _ in range(20):
            target, draft = laws(rng, int(rng.integers(k + 1, 8)))
            lower, upper = refusal_bounds(target, draft, k)
            assert lower - SUMS <= enumerated(target, draft, k) <= upper + SUMS
            assert upper - lower <= 3 * left_out + SUMS  # first tokens, second ones, and the rarer second ones
            widest = max(widest, (upper - lower) / left_out)
    assert widest > 0.5


def test_nothing_is_left_out_of_few_terms(rng):
    draft = 10.0 ** -np.linspace(0, 12, 100)
    target = rng.dirichlet(np.full(100, 0.3))
    lower, upper = refusal_bounds(target, draft / draft.sum(), 3)
    assert 0.01 < lower <= upper <= lower + 1e-13


@pytest.mark.parametrize("k", [2, 3, 4])
def test_what_the_second_draft_never_refuses(k):
    target, draft = np.array([0.5, 0.5, 0.0, 0.0]), np.array([0.25, 0.25, 0.25, 0.25])
    assert refusal_bounds(target, draft, k) == pytest.approx((enumerated(target, draft, k),) * 2, abs=SUMS)
    # after a first refusal half of the draft mass is left, and covers the target's exactly
    target, draft = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.25, 0.5])
    assert refusal_bounds(target, draft, k) == (0.0, 0.0)


def test_the_next_level_is_found_from_any_place_before_it(rng):
    ratio = np.sort(rng.integers(8, size=23).astype(float))[::-1]
    for level in np.arange(-1, 9) + 0.5:
        above = int((ratio > level).sum())
        assert residuals._above(ratio, level) == above
        assert [residuals._forward(ratio, level, place) for place in range(above + 1)] == [above] * (above + 1)


@pytest.mark.parametrize(("skip", "most", "wanted"), [(-1, 10.0, (0, 1.0)), (1, 10.0, (0, 0.5)), (-1, 0.6, (1, 0.5)),
                                                      (-1, 0.4, (2, 0.0))])
def test_tokens_are_left_out_from_the_last_on_while_they_weigh_little(skip, most, wanted):
    even = np.array([0.5, 0.5])  # refused with half their mass each
    assert residuals._last_needed(even, even, skip, 0.0, 2.0, most) == wanted


def test_thirty_tokens_and_three_drafts(rng):
    """Levels pass several ratios from one refused token to the next."""
    for _ in range(8):
        target, draft = rng.dirichlet(np.full(30, 0.3)), rng.dirichlet(np.full(30, 0.3))
        lower, upper = refusal_bounds(target, draft, 3)
        assert lower - SUMS <= by_the_rule(target, draft, 3) <= upper + SUMS
        assert upper - lower <= SUMS


def by_the_rule(target, draft, k=4):
    """The same by the rule's own conditional law, all lists at once."""
    tokens, law = ot.WithoutReplacement(k).lists(draft)
    rule = ot.verifier("recursive_wor", ot.WithoutReplacement(k))
    spread_laws = (np.broadcast_to(one, (len(tokens), one.size)) for one in (target, draft))
    conditional = rule.conditional(*spread_laws, tokens)
    return 1.0 - float(law @ np.take_along_axis(conditional, tokens, axis=-1).sum(axis=-1))


def test_groups_of_light_tokens_enclose_the_sum(rng):
    """Twenty-two tokens, most of them light enough to be grouped, against every list of four."""
    for spread in (4.0, 8.0):
        draft = 10.0 ** -np.linspace(0, spread, 22)
        draft /= draft.sum()
        target = rng.dirichlet(np.full(22, 0.4))
        lower, upper = refusal_bounds(target, draft, 4)
        assert lower - SUMS <= by_the_rule(target, draft) <= upper + SUMS
        assert upper - lower < 1e-9


@pytest.mark.parametrize("wanted", [0.0, 1.0, 3.0])
def test_light_tokens_refused_one_after_the_other(wanted, rng):
    """Ten light tokens, half of which the target does not want: it may be one of them that is refused first."""
    for _ in range(3):
        light = 10.0 ** -rng.uniform(3, 6, 10)
        draft = np.append(rng.uniform(0.5, 1, 4), light)
        draft /= draft.sum()
        target = np.append(rng.dirichlet(np.full(4, 0.5)), wanted * (rng.random(10) < 0.5) * draft[4:])
        target /= target.sum()
        lower, upper = refusal_bounds(target, draft, 4)
        assert lower - SUMS <= by_the_rule(target, draft) <= upper + SUMS
        assert upper - lower <= SUMS


def test_more_drafts_than_tokens_with_mass():
    bounds = refusal_bounds(np.array([0.25, 0.25, 0.5]), np.array([0.5, 0.5, 0.0]), 4)
    assert bounds == pytest.approx((0.5, 0.5), abs=SUMS)


def test_acceptance_lies_between_what_the_bounds_of_refusal_leave(monkeypatch):
    monkeypatch.setattr("otspec.transport.without_replacement.residuals.refusal_bounds", lambda *_: (0.25, 1.5))
    rule = ot.verifier("recursive_wor", ot.WithoutReplacement(2))
    lower, upper = rule.acceptance_bounds(np.array([0.5, 0.5]), np.array([0.5, 0.5]))
    assert (float(lower), float(upper)) == (0.0, 0.75)


def test_recorded_laws_at_full_vocabulary():
    trace = ot.load_trace("pocket")
    target, draft = np.asarray(trace.target)[200], np.asarray(trace.draft)[200]
    for k in (3, 4):
        scheme = ot.WithoutReplacement(k)
        lower, upper = ot.verifier("recursive_wor", scheme).acceptance_bounds(target, draft)
        value = float(ot.acceptance("recursive_wor", target, draft, scheme))
        assert upper - lower < 1e-9
        assert value == pytest.approx(float(lower + upper) / 2, abs=SUMS)
        sampled = ot.sampled_acceptance("recursive_wor", target, draft, scheme, n=400, seed=1)
        assert sampled.covers(value, z=5)
        assert value <= float(ot.optimal_acceptance(target, draft, scheme)) + 1e-9
