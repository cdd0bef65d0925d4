"""Importance-weighted choice: its winner law, its optimum for two drafts, the zero-rejection theorem, truncation."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

import otspec as ot
from otspec.core.drafters import Independent
from otspec.core.errors import BadArgument, NotCertified, SchemeMismatch, TooLarge
from otspec.verifiers.token.importance import Choice, Importance, pair_up
from tests.conftest import random_law
from tests.contracts.token_cases import accepted, rows

ROUNDING = 1e-12  # at most 4^4 lists of a few tokens, each mass a few eps off
PROGRAMME = 1e-11  # HiGHS accepts 1e-13 per row of the scaled programme


def enumerated(rule, target, draft):
    tokens, law = rule.scheme.lists(draft)
    given = rule.conditional(*rows(target, draft, tokens))
    return law @ given, accepted(tokens, law, given)


def chosen_by_enumeration(rule, target, draft, count):
    """Law of the chosen token, walked list by list and pair by pair."""
    tokens, law = rule.scheme.lists(draft)
    out = np.zeros(len(target))
    for row, mass in zip(tokens, law, strict=True):
        odds = {row[0]: 1.0}
        for pairing, challenger in zip(rule.solve(target, draft).pairings, row[1:count], strict=True):
            taken = {held: float(pairing.chance(np.array(challenger), np.array(held))) for held in odds}
            lost = sum(odds[held] * taken[held] for held in odds)
            odds = {held: share * (1 - taken[held]) for held, share in odds.items()}
            odds[challenger] = odds.get(challenger, 0.0) + lost
        for token, share in odds.items():
            out[token] += mass * share
    return out


@pytest.mark.parametrize("top", [1, 2, 3, 6])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_rule_is_lossless_and_its_winner_law_is_exact(top, k, rng):
    for zeros, ties in [(False, False), (True, False), (False, True)]:
        target, draft = (random_law(rng, 4, zeros=zeros, ties=ties) for _ in range(2))
        rule = Importance(k, top=top)
        emitted, _ = enumerated(rule, target, draft)
        assert np.abs(emitted - target).max() <= ROUNDING
        winner = rule.winner_law(target, draft)
        assert np.abs(winner - chosen_by_enumeration(rule, target, draft, k)).max() <= ROUNDING


def test_a_law_that_is_not_the_winners_is_caught(rng):
    target, draft = random_law(rng, 5), random_law(rng, 5)

    class Misplayed(Importance):
        def _play(self, solution, target, lists):
            even = [pairing._replace(weight=np.full_like(pairing.weight, 0.5)) for pairing in solution.pairings]
            return super()._play(Choice(even, solution.law), target, lists)

    emitted, _ = enumerated(Misplayed(2), target, draft)
    assert np.abs(emitted - target).max() > 1e-4


def test_all_weights_reach_the_optimum_of_two_drafts(rng):
    for i in range(40):
        target, draft = (random_law(rng, 5, zeros=i % 3 == 1, ties=i % 3 == 2) for _ in range(2))
        value = float(Importance(2, top=5).acceptance(target, draft))
        assert value == pytest.approx(float(ot.optimal_acceptance(target, draft, 2)), abs=PROGRAMME)


def test_all_weights_reach_the_optimum_of_two_drafters(rng):
    for _ in range(20):
        target, drafts = random_law(rng, 5), np.stack([random_law(rng, 5), random_law(rng, 5)])
        rule = Importance(Independent(2), top=5)
        best = float(ot.optimal_plan(target, drafts, Independent(2)).upper)
        assert float(rule.acceptance(target, drafts)) == pytest.approx(best, abs=PROGRAMME)
        assert float(np.minimum(target, rule.winner_law(target, drafts)).sum()) == pytest.approx(best, abs=PROGRAMME)


def test_golden_values():
    assert float(Importance(2).acceptance([0.5, 0.3, 0.2], [0.2, 0.3, 0.5])) == pytest.approx(0.86, abs=PROGRAMME)
    assert float(Importance(2).acceptance([0.7, 0.2, 0.1], [0.1, 0.2, 0.7])) == pytest.approx(0.49, abs=PROGRAMME)


def test_two_drafts_need_no_rejection_iff_every_set_of_the_target_holds_the_square(rng):
    seen = set()
    for _ in range(80):
        draft = random_law(rng, 4)
        target = 0.7 * draft + 0.3 * random_law(rng, 4)
        sets = [np.array(chosen) for chosen in itertools.product([False, True], repeat=4)][1:-1]
        free = min(target[chosen].sum() - draft[chosen].sum() ** 2 for chosen in sets) >= 0
        value = float(Importance(2, top=4).acceptance(target, draft))
        assert (value >= 1 - PROGRAMME) == free
        seen.add(free)
    assert seen == {False, True}


@pytest.mark.parametrize("top", range(1, 8))
@pytest.mark.parametrize("scheme", [ot.WithReplacement(2), Independent(2)], ids=str)
def test_truncated_acceptance_against_enumeration(top, scheme, rng):
    target = random_law(rng, 7)
    draft = random_law(rng, 7) if scheme == ot.WithReplacement(2) else np.stack([random_law(rng, 7) for _ in range(2)])
    rule = Importance(scheme, top=top)
    assert float(rule.acceptance(target, draft)) == pytest.approx(enumerated(rule, target, draft)[1], abs=ROUNDING)


def test_without_weights_the_rank_decides():
    target, draft = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.3, 0.2, 0.1])
    pairing = pair_up(target, draft, draft, 1)
    assert pairing.rank.tolist() == [3, 2, 1, 0]  # target - draft^2 = -.06, .11, .26, .39
    ahead = np.array([0.6, 0.3, 0.1, 0.0])  # mass of the tokens that win against each
    assert pairing.law == pytest.approx(draft**2 + 2 * draft * (1 - draft - ahead), abs=1e-15)  # a few eps


def test_more_than_two_drafts_have_no_formula_and_gain_by_each(rng):
    target, draft = random_law(rng, 5), random_law(rng, 5)
    assert Importance(3).acceptance(target, draft) is None
    kept = [float(np.minimum(target, Importance(k).winner_law(target, draft)).sum()) for k in (1, 2, 3, 4)]
    assert kept[0] == pytest.approx(float(np.minimum(target, draft).sum()), abs=ROUNDING)
    # the earlier winner may always be kept, and all five tokens have weights
    assert all(after >= before - PROGRAMME for before, after in itertools.pairwise(kept))


def test_a_real_vocabulary_is_truncated_and_below_the_optimum(rng):
    target, draft = (rng.dirichlet(np.full(20_000, 0.02)) for _ in range(2))
    rule = Importance(4)
    winner = rule.winner_law(target, draft)
    assert winner.sum() == pytest.approx(1.0, abs=1e-11)  # 20,000 roundings, three times over
    assert np.minimum(target, winner).sum() <= float(ot.optimal_acceptance(target, draft, 4)) + 1e-11  # likewise
    scheme = ot.WithReplacement(4)
    lists = scheme.sample(np.broadcast_to(draft, (3, 20_000)), rng.random((3, 4)))
    given = rule.conditional(target, draft, lists)
    assert given.min() >= 0
    assert np.abs(given.sum(axis=1) - 1).max() <= 1e-11  # likewise


def test_bad_arguments():
    with pytest.raises(BadArgument, match=r"top: 0 is smaller than 1"):
        Importance(2, top=0)
    with pytest.raises(TooLarge, match="one variable each"):
        Importance(2, top=5000)
    with pytest.raises(SchemeMismatch, match="Importance is proved for WithReplacement, Independent"):
        Importance(ot.WithoutReplacement(2))


def test_weights_are_for_five_tokens_as_published_and_for_a_thousand_at_most():
    assert Importance().top == Importance(2).top == 5
    assert Importance(2, top=1000).top == 1000
    with pytest.raises(TooLarge, match="top: 1001 tokens have 500500 pairs") as refused:
        Importance(2, top=1001)
    assert refused.value.estimate == 1001


def test_of_equal_tokens_the_second_is_chosen():
    pairing = pair_up(np.array([0.5, 0.3, 0.2]), np.full(3, 1 / 3), np.full(3, 1 / 3), 2)
    assert pairing.chance(np.arange(3), np.arange(3)).tolist() == [0, 0, 0]
    one, other = np.array([0, 1, 2]), np.array([1, 2, 0])
    assert pairing.chance(one, other) + pairing.chance(other, one) == pytest.approx(np.ones(3), abs=1e-15)


def test_a_programme_that_the_solver_gives_up_is_not_certified(monkeypatch):
    monkeypatch.setattr("scipy.optimize.linprog", lambda *_, **__: SimpleNamespace(x=None, message="Out of time."))
    with pytest.raises(NotCertified, match=r"programme for 5 tokens was not solved: Out of time\. Fix: a smaller top"):
        Importance(2).winner_law(np.full(6, 1 / 6), np.full(6, 1 / 6))
