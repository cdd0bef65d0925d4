"""Laws stored by their largest masses: what is kept, what is said to be lost, and whether the bound holds."""

import numpy as np
import pytest

import otspec as ot
from otspec.core.errors import BadArgument, BadFile, SchemeMismatch
from otspec.core.shortened import distance, lengthen, shorten, slack
from otspec.core.trace import log_probabilities, probabilities

PROVENANCE = {"vocab_size": 40}


def laws(rng, n=6, size=40):
    logits = 2.5 * rng.normal(size=(n, size))
    target, draft = (np.exp(logits + 0.7 * rng.normal(size=(n, size))) for _ in range(2))
    return target / target.sum(-1, keepdims=True), draft / draft.sum(-1, keepdims=True)


def arrays(target, draft, keep):
    found = {}
    for name, law in (("target", target), ("draft", draft)):
        masses, ids = shorten(law, keep)
        logs = log_probabilities(masses)
        found |= {name: logs, f"{name}_ids": ids,
                  f"{name}_lost": distance(law, lengthen(probabilities(logs), ids, law.shape[-1]))}
    return found


@pytest.mark.parametrize("keep", [1, 7, 40, 90])
def test_the_largest_masses_are_kept_and_the_distance_is_the_distance(rng, keep):
    target, draft = laws(rng)
    trace = ot.Trace([arrays(target, draft, keep)], PROVENANCE)
    for whole, stored, lost in zip((target, draft), (trace.target, trace.draft), trace.lost, strict=True):
        kept = (stored > 0).sum(axis=-1)
        assert (kept == min(keep, 40)).all()
        for row, mine in zip(whole, stored, strict=True):
            assert row[mine > 0].min() >= row[mine == 0].max(initial=0.0)
        exact = 0.5 * np.abs(whole - stored).sum(axis=-1)
        assert (lost >= exact).all()
        assert np.allclose(lost, exact, rtol=1e-6, atol=1e-7)
    assert trace.shortened
    assert (trace.vocab_size, len(trace)) == (40, 6)


@pytest.mark.parametrize("scheme", [1, 2, 4, ot.WithoutReplacement(2), ot.WithoutReplacement(4)])
def test_the_optimum_of_the_models_lies_within_the_slack(rng, scheme):
    for keep in (3, 10, 20):
        target, draft = laws(rng)
        trace = ot.Trace([arrays(target, draft, keep)], PROVENANCE)
        gap = np.abs(ot.optimal_acceptance(target, draft, scheme)
                     - ot.optimal_acceptance(trace.target, trace.draft, scheme))
        assert (gap <= trace.optimum_slack(scheme) + 1e-12).all()  # 64 eps V


def test_the_slack_of_several_contexts_is_that_of_each(rng):
    draft, lost = rng.dirichlet(np.ones(6), 5), rng.random((2, 5)) * 0.02
    for scheme in (ot.WithReplacement(3), ot.WithoutReplacement(3)):
        alone = [float(slack((lost[0, i : i + 1], lost[1, i : i + 1]), draft[i : i + 1], scheme)[0]) for i in range(5)]
        assert slack((lost[0], lost[1]), draft, scheme) == pytest.approx(alone, abs=1e-15)
    largest = np.sort(draft[0])[::-1]
    assert alone[0] == pytest.approx(lost[0, 0] + lost[1, 0] * (
        1 + 1 / (1 - largest[0]) + 1 / (1 - largest[0] - largest[1])))


def test_the_slack_is_attained_where_the_draft_loses_a_token():
    """The target wants only what the stored draft law lost: one i.i.d. draft is accepted with the lost mass."""
    target, draft = np.array([[0.0, 1.0]]), np.array([[0.9, 0.1]])
    stored = np.array([[1.0, 0.0]])
    for k in (1, 2, 3):
        gap = ot.optimal_acceptance(target, draft, k) - ot.optimal_acceptance(target, stored, k)
        said = slack((np.zeros(1), distance(draft, stored)), stored, ot.WithReplacement(k))
        assert gap == pytest.approx(said, abs=1e-6)


def test_a_file_of_them_is_read_as_it_was_written(rng, tmp_path):
    trace = ot.Trace([arrays(*laws(rng), 5)], PROVENANCE)
    trace.save(tmp_path / "t.safetensors")
    again = ot.Trace.load(tmp_path / "t.safetensors")
    assert np.array_equal(again.target, trace.target)
    assert np.array_equal(again.lost[1], trace.lost[1])
    assert again.fingerprint == trace.fingerprint
    assert np.array_equal(again.laws(2)[0], trace.target[2])


def test_what_is_not_known_is_refused(rng):
    trace = ot.Trace([arrays(*laws(rng), 5)], PROVENANCE)
    with pytest.raises(BadArgument, match=r"temperature: 0\.6: the trace keeps .* Fix: record with temperature=0\.6"):
        trace.with_temperature(0.6)
    with pytest.raises(BadArgument, match=r"top_k, top_p: 3, None: .* Fix: record with top_k=3"):
        trace.truncated(top_k=3)
    with pytest.raises(SchemeMismatch, match="no bound on what shortened laws lose"):
        trace.optimum_slack(ot.Greedy(2))


def test_whole_laws_lose_nothing():
    trace = ot.Trace.from_laws([[0.5, 0.5]], [[1.0, 0.0]])
    assert not trace.shortened
    assert trace.optimum_slack(ot.Greedy(2)).tolist() == trace.lost[0].tolist() == [0.0]


@pytest.mark.parametrize(("name", "change", "says"), [
    ("target_ids", lambda ids: ids + 40, "outside the vocabulary"),
    ("draft_ids", lambda ids: ids[:, ::-1], "out of order"),
    ("draft_ids", lambda ids: ids[:, :-1], "draft: masses"),
    ("target_lost", lambda lost: lost[:, None], "target: masses")])
def test_arrays_that_do_not_belong_together_are_refused(rng, name, change, says):
    made = arrays(*laws(rng), 5)
    with pytest.raises(BadFile, match=says):
        ot.Trace([made | {name: change(made[name])}], PROVENANCE)
    with pytest.raises(BadFile, match="without a vocab_size"):
        ot.Trace([made], {})


def test_laws_of_any_batch_are_lengthened():
    masses, ids = np.array([[[0.5, 0.25]], [[0.75, 0.125]]]), np.array([[[0, 2]], [[3, 1]]])
    assert lengthen(masses, ids, 4).tolist() == [[[0.5, 0.0, 0.25, 0.0]], [[0.0, 0.125, 0.0, 0.75]]]


def test_the_distance_is_rounded_up():
    law = np.full((2, 5), 0.2)
    least = np.nextafter(np.float32(5 * np.finfo(np.float64).eps), np.float32(1))
    assert distance(law, law).tolist() == [least, least]
    assert (distance(law, 0 * law) > 0.5).all()


def test_the_slack_is_no_more_than_one_and_never_less_than_what_may_be_lost():
    sure = np.array([[1.0, 0.0, 0.0]])
    for scheme in (ot.WithReplacement(2), ot.WithoutReplacement(2)):
        assert slack((np.array([0.0]), np.array([1.5])), sure, scheme).tolist() == [1.0]  # rounded up beyond one
        assert slack((np.array([0.75]), np.array([0.75])), sure, scheme).tolist() == [1.0]
        assert slack((np.array([0.25]), np.array([0.0])), sure, scheme).tolist() == [0.25]
    assert slack((np.array([0.0]), np.array([1e-9])), sure, ot.WithoutReplacement(2)).tolist() == [1.0]
