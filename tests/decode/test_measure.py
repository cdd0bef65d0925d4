"""What a run reports: hand-counted rounds, paired errors, and expectations against enumeration."""

import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

torch = pytest.importorskip("torch")

from otspec.analysis.exact import acceptance  # noqa: E402
from otspec.core.coupling import Coupling  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.core.schemes import WithoutReplacement, WithReplacement  # noqa: E402
from otspec.decode.drafting import Coupled, Depth, Outcome, TokenPaths  # noqa: E402
from otspec.decode.measure import DecodeRun, Ledger, bound_to, expected_kept, progress_bar  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402


def ledger(count, length, stop=None):
    return Ledger(count, length, stop, progress_bar(0, "tokens", False))


def test_rounds_by_hand():
    book = ledger(2, 5)
    # accepted, the token after the drafts, the drafts
    assert book.add(np.array([[2, 9, 1, 2, 3], [0, 8, 4, 5, 6]]), np.array([1.5, 0.5])).tolist() == [True, True]
    assert book.add(np.array([[3, 7, 4, 5, 6], [3, 7, 1, 2, 3]]), np.array([2.0, 2.5])).tolist() == [False, False]
    assert not book.unfinished
    run = Ledger.joined([book], True, {"verifier": "x"}, 0.5)
    assert run.tokens == [[1, 2, 9, 4, 5], [8, 1, 2, 3, 7]]
    assert run.accepted.tolist() == [[2, 0], [3, 3]]
    assert run.rounds.tolist() == [2, 2]
    assert run.block_efficiency.mean == (7 + 5) / 4
    assert run.predicted_efficiency.mean == (5.5 + 5) / 4
    assert run.difference.mean == pytest.approx((1.5 + 0) / 4)
    assert run.to_table().column("accepted") == [5, 3]
    assert run.to_table().metadata["verifier"] == "x"
    assert "4 target calls, 3.000 tokens per call" in repr(run)


def test_stop_token_and_batches_of_different_length():
    first, second = ledger(1, 9, stop=7), ledger(1, 3, stop=7)
    first.add(np.array([[2, 9, 1, 7, 3]]), None)
    assert not first.unfinished
    for _ in range(3):
        second.add(np.array([[0, 5, 7, 7, 7]]), None)
    run = Ledger.joined([first, second], False, {}, 0.0)
    assert run.tokens == [[1, 7], [5, 5, 5]]
    assert run.accepted.tolist() == [[2, 0], [-1, 0], [-1, 0]]
    assert run.rounds.tolist() == [1, 3]
    assert run.to_table().column("predicted") == [None, None]
    with pytest.raises(BadArgument, match="predict=True"):
        _ = run.difference


def test_the_paired_error_is_that_of_the_difference():
    rng = np.random.default_rng(0)
    predicted = rng.random((40, 30)) * 3
    accepted = np.rint(predicted + 0.1 * rng.normal(size=predicted.shape)).clip(0).astype(int)
    run = DecodeRun([[0]] * 30, accepted, predicted)
    per_sequence = (accepted - predicted).mean(axis=0)
    assert run.difference.mean == pytest.approx(per_sequence.mean())
    assert run.difference.stderr == pytest.approx(per_sequence.std(ddof=1) / np.sqrt(30))
    quotient = run.difference.mean / run.difference.stderr
    assert norm.sf(run.z_score) == pytest.approx(student.sf(quotient, 29), rel=1e-9)


def test_few_sequences_raise_as_few_alarms_as_many():
    rng, runs = np.random.default_rng(1), 4000
    drawn = rng.binomial(3, 0.5, size=(runs, 8, 6))
    scores = [DecodeRun([[0]] * 6, kept, np.full((8, 6), 1.5)).z_score for kept in drawn]
    alarms = np.mean(np.abs(scores) > 2)
    # 5 standard errors of a share of 4,000; the quotient itself exceeds 2 in 10.2 % of runs at 5 degrees of freedom
    assert abs(alarms - 2 * norm.sf(2)) < 5 * np.sqrt(0.0455 * 0.9545 / runs)


def test_certain_disagreement_is_infinite():
    ones = np.ones((3, 2), dtype=int)
    assert DecodeRun([[0]] * 2, ones, 0.5 * ones).z_score == np.inf
    assert DecodeRun([[0]] * 2, ones, 1.0 * ones).z_score == 0


def depth(size=6, rows=5, drafts=3, seed=0):
    rng = np.random.default_rng(seed)
    target, draft = (torch.from_numpy(rng.dirichlet(np.ones(size), rows)) for _ in range(2))
    tokens = torch.from_numpy(rng.integers(0, size, (rows, drafts)))
    return Depth(target, draft, tokens, torch.ones(rows, dtype=torch.bool))


@pytest.mark.parametrize("name", ["recursive", "k_seq", "optimal", "naive"])
def test_survivors_are_counted_row_by_row(name):
    here = depth()
    here.drafts[1, 1:] = -1
    here.drafts[3, 2:] = -1
    here.reached[2] = False
    how = TokenPaths(3, 1, verifier(name, 3))
    got = expected_kept(how, torch.zeros(5, 3, 2, 6), None, None, Outcome(None, None, None, [here]))
    counts = [3, 1, 0, 2, 3]
    for row, count in enumerate(counts):
        law = here.target[row].numpy(), here.draft[row].numpy()
        exact = float(acceptance(name, *law, WithReplacement(count))) if count else 0.0
        assert got[row] == pytest.approx(exact, abs=64 * 6 * 2**-52)  # the exact routes' rounding, 64 eps V


def test_without_a_formula_the_drafts_at_hand_are_weighed():
    here = depth()
    for row in range(5):
        here.drafts[row] = torch.from_numpy(np.random.default_rng(row).permutation(6)[:3])
    rule = verifier("recursive_wor", WithoutReplacement(3))
    assert rule.acceptance(here.target.numpy(), here.draft.numpy()) is None
    got = expected_kept(TokenPaths(3, 1, rule), torch.zeros(5, 3, 2, 6), None, None, Outcome(None, None, None, [here]))
    law = rule.conditional(*(a.numpy() for a in here[:3]))
    np.testing.assert_allclose(got, [law[i, here.drafts[i].numpy()].sum() for i in range(5)], rtol=1e-14)


def test_a_rule_keeps_its_parameters():
    rule = verifier("k_seq", 4, rho=3.5)
    fewer = bound_to(rule, 2)
    assert (fewer.scheme, fewer.rho) == (WithReplacement(2), 3.5)
    assert bound_to(rule, 4) is rule


def test_a_coupling_without_exact_agreement_is_refused():
    class Opaque(Coupling):
        def _select(self, law, noise):
            raise AssertionError

    trail = Outcome(None, None, None, [depth()])
    with pytest.raises(BadArgument, match="predict=False"):
        expected_kept(Coupled(1, 1, Opaque()), torch.zeros(5, 1, 2, 6), None, None, trail)
