"""The rule `optimal` on one draft law: what it consumes, and where its exact law is refused."""

import array_api_strict
import numpy as np
import pytest

import otspec as ot
from otspec.verifiers.token import optimal


@pytest.mark.parametrize(("scheme", "ordered", "number"), [
    (ot.WithReplacement(1), True, 4), (ot.WithReplacement(3), True, 4), (ot.WithReplacement(3), False, 4),
    (ot.WithoutReplacement(3), True, 6), (ot.WithoutReplacement(3), False, 9), (ot.Greedy(3), True, 4),
    (ot.Hybrid(1, 3), True, 5), (ot.Hybrid(1, 3), False, 7)], ids=str)
def test_uniforms_are_three_and_those_of_the_race_and_of_the_lost_order(scheme, ordered, number):
    assert ot.verifier("optimal", scheme, ordered=ordered).num_uniforms == number
    if ordered:
        assert ot.verifier("optimal", scheme).num_uniforms == number  # the order is known unless it is said to be lost


def conditional(scheme, size, lists=()):
    tokens = np.broadcast_to(np.arange(scheme.num_drafts), (*lists, scheme.num_drafts))
    even = np.full(size, 1 / size)
    return ot.verifier("optimal", scheme).conditional(even, even, tokens)


def test_the_exact_law_of_a_race_ends_at_64_tokens_and_the_message_says_what_goes_on():
    for scheme, size in ((ot.WithoutReplacement(2), 64), (ot.Hybrid(1, 3), 64), (ot.WithoutReplacement(1), 65),
                         (ot.Greedy(3), 65), (ot.WithReplacement(2), 65), (ot.WithReplacement(1), 6400)):
        assert conditional(scheme, size).sum() == pytest.approx(1, abs=1e-12)
    for scheme, size in ((ot.WithoutReplacement(2), 65), (ot.Hybrid(1, 3), 65), (ot.WithReplacement(1), 6401)):
        with pytest.raises(ot.TooLarge, match=rf"conditional of Optimal\(.*\) on {size} tokens.*Fix: draw works"):
            conditional(scheme, size)


def test_the_entries_of_all_lists_are_counted(monkeypatch):
    monkeypatch.setattr(optimal, "MAX_LISTS_TIMES_VOCABULARY", 60)
    assert conditional(ot.WithReplacement(2), 5, lists=(3, 4)).shape == (3, 4, 5)
    with pytest.raises(ot.TooLarge, match="on 5 tokens would fill 65 entries") as refused:
        conditional(ot.WithReplacement(2), 5, lists=(1, 13))
    assert refused.value.estimate == 65


@pytest.mark.parametrize(("kind", "ordered"), [("universal", False), ("minimal", True), ("minimal", False)])
@pytest.mark.parametrize("scheme", [ot.WithReplacement(2), ot.WithoutReplacement(2), ot.WithoutReplacement(3),
                                    ot.Greedy(2), ot.Hybrid(1, 3)], ids=str)
def test_draws_have_the_exact_law(scheme, kind, ordered, rng):
    rule, n = ot.verifier("optimal", scheme, kind=kind, ordered=ordered), 1000
    target = np.tile([0.3, 0.05, 0.25, 0.3, 0.1], (3, 1))
    drafts = np.array([[0.2, 0.4, 0.15, 0.05, 0.2], [0.45, 0.55, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0, 0.0]])
    tokens = np.stack([lists[len(lists) // 3] for lists in (scheme.lists(draft)[0] for draft in drafts)])
    exact = rule.conditional(target, drafts, tokens)
    seen = rule.draw(*(np.broadcast_to(array, (n, *array.shape)) for array in (target, drafts, tokens)),
                     rng.random((n, 3, rule.num_uniforms))).token
    often = (seen[..., None] == np.arange(5)).mean(axis=0)
    assert np.all(np.abs(often - exact) <= 5 * np.sqrt(exact * np.maximum(1 - exact, 0) / n) + 1e-12)  # five errors


def test_an_unknown_winner_law_is_refused():
    with pytest.raises(ot.BadArgument, match=r"kind: 'univesal' is unknown. Did you mean 'universal'"):
        ot.verifier("optimal", 2, kind="univesal")


def test_a_lost_order_is_drawn_anew_from_arrays_that_the_host_can_read_only():
    rule, even = ot.verifier("optimal", ot.WithoutReplacement(2), ordered=False), np.full((1, 4), 0.25)
    given = even, even, np.array([[2, 0]]), np.full((1, rule.num_uniforms), 0.5)
    assert rule.draw(*given).token.shape == (1,)
    with pytest.raises(ot.BadArgument, match="Fix: keep the order"):
        rule.draw(*map(array_api_strict.asarray, given))
