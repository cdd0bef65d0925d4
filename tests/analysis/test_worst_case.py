"""The search recovers the worst cases that are known, and stops when it is told to."""

import time

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.worst_case import worst_case
from otspec.transport.programme.cut import minimum_cut


class Deaf(ot.TokenVerifier):
    """A user's rule without closed form: a draw from the target."""

    def _conditional(self, target, draft, tokens):
        return target


def confirm(worst, rule, scheme):
    """Check the reported numbers by enumeration: the rule's kernel, and all cuts."""
    problem = ot.MembershipProblem(worst.target, worst.draft, scheme)
    assert worst.optimum.gap <= 1e-12
    assert float(minimum_cut(problem).value) == pytest.approx(float(worst.optimum.upper), abs=1e-12)
    tokens, law = problem.lists
    laws = ot.verifier(rule, scheme).conditional(problem.target, problem.draft, tokens)
    hit = sum(w * sum(one[y] for y in set(row.tolist()) - {-1}) for w, one, row in zip(law, laws, tokens, strict=True))
    assert worst.acceptance == pytest.approx(hit, abs=1e-12)
    assert worst.ratio == pytest.approx(hit / float(worst.optimum.upper), abs=1e-12)


def test_k_seq_at_two_drafts_is_eight_ninths():
    worst = worst_case("k_seq", 2, vocabulary=2, restarts=1)
    assert worst.ratio == pytest.approx(8 / 9, abs=1e-12)  # snapped, so exact
    order = np.argsort(worst.target)
    np.testing.assert_allclose(worst.target[order], [4 / 9, 5 / 9], rtol=1e-12)
    np.testing.assert_allclose(worst.draft[order], [2 / 3, 1 / 3], rtol=1e-12)
    assert worst.stopped == "finished"
    confirm(worst, "k_seq", ot.WithReplacement(2))


def test_k_seq_reaches_the_ratio_observed_before_and_keeps_its_guarantee():
    k, observed = 3, 0.86503
    worst = worst_case("k_seq", k, vocabulary=2, restarts=1)
    assert worst.ratio == pytest.approx(observed, abs=6e-6)  # the digits that were noted
    assert worst.ratio >= 1 - (1 - 1 / k) ** k
    assert worst.target.shape == (k,)
    assert np.count_nonzero(worst.target) == 2
    confirm(worst, "k_seq", ot.WithReplacement(k))


def test_recursive_rejection_at_two_drafts_is_23_over_27():
    worst = worst_case("recursive", 2, vocabulary=(2, 3), restarts=2)
    assert worst.ratio == pytest.approx(23 / 27, abs=1e-9)
    confirm(worst, "recursive", ot.WithReplacement(2))


def test_target_draws_lose_almost_everything_when_little_can_be_won():
    worst = worst_case("nss", 2, vocabulary=3, restarts=2, least_optimum=0.01)
    assert worst.ratio < 0.05
    assert float(worst.optimum.upper) >= 0.01
    confirm(worst, "nss", ot.WithReplacement(2))


def test_naive_without_replacement():
    worst = worst_case("naive", 2, scheme=ot.WithoutReplacement(2), vocabulary=3, restarts=2)
    assert worst.ratio < 0.9
    confirm(worst, "naive", ot.WithoutReplacement(2))


def test_a_users_rule_is_enumerated():
    worst = worst_case(Deaf(ot.WithReplacement(1)), 1, vocabulary=2, restarts=1)
    assert worst.ratio == pytest.approx(0.5, abs=1e-12)
    np.testing.assert_allclose(worst.target, worst.draft)
    assert worst.evaluations > 600


def test_an_optimal_rule_has_no_bad_case():
    worst = worst_case("single_draft", 1, vocabulary=2, restarts=1)
    assert worst.ratio == pytest.approx(1.0, abs=1e-10)


def test_history_descends_and_seeds_repeat():
    first, again = (worst_case("recursive", 2, vocabulary=2, restarts=1, seed=5) for _ in range(2))
    ratios = [ratio for _, ratio in first.history]
    assert ratios == sorted(ratios, reverse=True)
    assert first.history == again.history
    assert first.history[-1][1] == pytest.approx(first.ratio, abs=1e-12)
    assert "finished" in str(first)


def test_ctrl_c_and_time_limit_return_the_best_so_far():
    seen = []

    def impatient(evaluations, ratio):
        seen.append((evaluations, ratio))
        if len(seen) == 5:
            raise KeyboardInterrupt

    worst = worst_case("recursive", 2, vocabulary=2, progress=impatient)
    assert worst.stopped == "interrupted"
    assert (worst.evaluations, worst.history[-1][1]) == seen[-1]
    start = time.monotonic()
    worst = worst_case("recursive", 2, vocabulary=2, restarts=1000, time_limit=0.05)
    assert worst.stopped == "time_limit"
    assert time.monotonic() - start < 10
    assert worst.ratio < 1


def test_bad_arguments_are_named():
    with pytest.raises(ot.BadArgument, match="vocabulary"):
        worst_case("k_seq", 2, vocabulary=1)
    with pytest.raises(ot.BadArgument, match="k:"):
        worst_case("k_seq", 0)
    with pytest.raises(ot.SchemeMismatch, match="k=3"):
        worst_case(Deaf(3), 2)
    with pytest.raises(ot.SchemeMismatch, match="proved for"):
        worst_case("k_seq", 2, scheme=ot.WithoutReplacement(2))
    with pytest.raises(ot.BadArgument, match="least_optimum"):
        worst_case("k_seq", 2, least_optimum=0)
    with pytest.raises(ot.UnknownName, match="one of"):
        worst_case("k_sec", 2)
    with pytest.raises(ot.BadArgument, match="restarts"):
        worst_case("k_seq", 2, restarts=0)
