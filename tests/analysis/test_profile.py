"""The predicted profile against enumeration, and against what a decoder does."""

import numpy as np
import pytest

import otspec as ot
from otspec.analysis.profile import expected_profile
from otspec.core.errors import BadArgument, SchemeMismatch
from otspec.decode.measure import DecodeRun


def recorded(rng, count=6, length=3, size=4, paths=None):
    shape = (count,) if paths is None else (count, paths)
    draft = rng.dirichlet(np.ones(size), (*shape, length))
    target = rng.dirichlet(np.ones(size), (*shape, length + 1))
    tokens = np.array([rng.choice(size, p=row) for row in draft.reshape(-1, size)]).reshape(*shape, length)
    if paths:  # what stands after a common prefix is the same
        for batch in range(count):
            for place in range(length + 1):
                for path in range(1, paths):
                    for first in range(path):
                        if (tokens[batch, path, :place] == tokens[batch, first, :place]).all():
                            target[batch, path, place] = target[batch, first, place]
                            if place < length:
                                draft[batch, path, place] = draft[batch, first, place]
    return target, draft, tokens


@pytest.mark.parametrize("rule", ["token_wise", "block", "greedy_block", "single_draft"])
def test_a_profile_adds_up(rng, rule):
    table = expected_profile(recorded(rng), rule)
    about = table.metadata
    assert table.columns[:4] == ["position", "conditional", "conditional_stderr", "unconditional"]
    assert about["mean_acceptance_length"] == pytest.approx(1 + about["num_accepted_tokens"] / about["num_drafts"])
    assert sum(about["histogram"]) == pytest.approx(1)
    assert np.arange(4) @ about["histogram"] == pytest.approx(about["mean_acceptance_length"] - 1)
    assert table.column("exactly") == pytest.approx(about["histogram"][1:])
    assert np.cumprod(table.column("conditional")) == pytest.approx(table.column("unconditional"))
    assert table.column("num_accepted_tokens_per_pos") == pytest.approx(6 * np.array(table.column("unconditional")))


@pytest.mark.parametrize("rule", ["token_wise", "block"])
def test_over_all_blocks_it_is_the_law_of_the_rule(rule):
    # contexts whose blocks are listed with equal weights: even draft rows
    rng = np.random.default_rng(0)
    target = rng.dirichlet(np.ones(3), 3)
    tokens = np.indices((3, 3)).reshape(2, -1).T
    places = np.concatenate([np.zeros((9, 1), dtype=int), tokens], axis=1)
    draft = np.full((9, 2, 3), 1 / 3)
    stop = ot.verifier(rule).conditional(target[places], draft, tokens).stop.mean(axis=0)
    found = expected_profile((target[places], draft, tokens), rule)
    assert found.metadata["histogram"] == pytest.approx(stop.tolist(), abs=1e-12)


@pytest.mark.parametrize("rule", ["traversal", "recursive_walk"])
def test_on_several_paths_it_is_the_law_of_what_the_rule_draws(rng, rule):
    rows, repeats = recorded(rng, count=3, paths=2, length=2), 4000
    bound = ot.verifier(rule, 2)
    many = [np.repeat(array, repeats, axis=0) for array in rows]
    kept = bound.draw_paths(*many, rng.random((3 * repeats, bound.num_uniforms(2)))).accepted
    for number, share in enumerate(expected_profile(rows, rule).metadata["histogram"]):
        assert abs((kept == number).mean() - share) < 5 * np.sqrt(0.25 / (3 * repeats))
    token = expected_profile(rows, "recursive").metadata["histogram"]
    assert (token == pytest.approx(expected_profile(rows, "recursive_walk").metadata["histogram"]))


def test_measured_and_predicted_profiles_have_the_same_names(rng):
    run = DecodeRun([[1]] * 3, np.array([[2, 0, 1], [1, 3, -1]]), settings={"draft_length": 3})
    measured, predicted = run.profile(), expected_profile(recorded(rng))
    assert measured.columns == predicted.columns
    assert set(predicted.metadata) - {"rule"} <= set(measured.metadata)
    assert measured.column("num_accepted_tokens_per_pos") == [4, 2, 1]
    assert measured.column("exactly") == [0.4, 0.2, 0.2]
    about = measured.metadata
    assert (about["num_drafts"], about["num_accepted_tokens"], about["mean_acceptance_length"]) == (5, 7, 2.4)
    assert about["histogram"] == pytest.approx([0.2, 0.4, 0.2, 0.2])


def test_decoding_meets_the_prediction():
    pytest.importorskip("transformers")
    from tests.decode import tiny

    pair = tiny.pair(size=16, scale=0.5)
    prompts = np.random.default_rng(3).integers(0, 16, (400, 3)).tolist()
    predicted = expected_profile(ot.record(pair, prompts, draft_length=3, progress=False), "block")
    # one round of each: the same contexts, other drafts
    run = ot.generate(pair, prompts, draft_length=3, max_new_tokens=1, seed=9, predict=False, stop_token=None)
    measured = DecodeRun(run.tokens, run.accepted[:1], settings=run.settings).profile()
    for one, other in zip(predicted.rows, measured.rows, strict=True):
        error = np.hypot(one["unconditional_stderr"], other["unconditional_stderr"])
        assert abs(one["unconditional"] - other["unconditional"]) < 4 * error
    assert measured.metadata["num_drafts"] == predicted.metadata["num_drafts"] == 400


def test_bad_arguments(rng):
    with pytest.raises(BadArgument, match="draft_length"):
        expected_profile(ot.load_trace("pocket"))
    with pytest.raises(BadArgument, match="no trace"):
        expected_profile([[1, 2]])
    with pytest.raises(BadArgument, match="at least 2"):
        expected_profile(tuple(array[:1] for array in recorded(rng)))
    with pytest.raises(SchemeMismatch):
        expected_profile(recorded(rng), "gumbel")
    with pytest.raises(SchemeMismatch):
        expected_profile(recorded(rng, paths=2), "block")
