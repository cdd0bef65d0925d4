"""Streams of drafted paths: the right laws along the right prefixes, whatever the batches."""

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")


from otspec.core.errors import BadArgument, ShapeMismatch
from otspec.core.trace import Trace
from otspec.recording.paths import record_paths, shorter
from tests.decode import tiny

PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10]]


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=12)


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


def test_laws_are_those_of_plain_forward_passes(pair):
    target, draft, tokens = joined(record_paths(pair, PROMPTS, num_paths=2, draft_length=3, temperature=0.7, sets=2,
                                                batch_size=3))
    assert target.shape == (8, 2, 4, 12)
    assert draft.shape == (8, 2, 3, 12)
    assert target.dtype == draft.dtype == np.float64
    for number, paths in enumerate(tokens):
        for place, path in enumerate(paths):
            along = [tiny.laws_along(model, PROMPTS[number // 2], path.tolist(), temperature=0.7)
                     for model in (pair.target, pair.draft)]
            # masked attention sums in another order: a few eps per layer
            np.testing.assert_allclose(target[number, place], along[0], atol=1e-12)
            np.testing.assert_allclose(draft[number, place], along[1][:-1], atol=1e-12)


def test_drafts_depend_on_neither_batch_nor_neighbours(pair):
    whole, single = (joined(record_paths(pair, PROMPTS, num_paths=3, draft_length=2, batch_size=size, seed=5))
                     for size in (4, 1))
    np.testing.assert_array_equal(whole[2], single[2])
    np.testing.assert_allclose(whole[0], single[0], atol=1e-12)  # other widths change the order of sums
    other = joined(record_paths(pair, PROMPTS, num_paths=3, draft_length=2, seed=6))
    assert (whole[2] != other[2]).any()


def test_paths_are_independent_draws_from_the_draft_law(pair):
    _, draft, tokens = joined(record_paths(pair, [[1, 2]], num_paths=2, draft_length=1, sets=4000))
    law = draft[0, 0, 0]
    both = np.zeros((12, 12))
    np.add.at(both, tuple(tokens[:, :, 0].T), 1 / 4000)
    # 144 cells with standard errors below sqrt(.25 / 4000) = .008
    np.testing.assert_allclose(both, np.outer(law, law), atol=0.04)


def test_equal_prefixes_have_bit_identical_rows(pair):
    target, _, tokens = joined(record_paths(pair, PROMPTS, num_paths=8, draft_length=1, sets=3))
    for rows, paths in zip(target, tokens, strict=True):
        assert len(np.unique(rows[:, 0], axis=0)) == 1
        assert len(np.unique(rows[:, 1], axis=0)) == len(np.unique(paths[:, 0]))


def test_contexts_of_a_trace_evenly_spaced(pair):
    laws = np.full((4, 12), 1 / 12)
    trace = Trace.from_laws(laws, laws, contexts=np.array(
        [[-1] * (4 - len(prompt)) + prompt for prompt in PROMPTS]))
    picked = joined(record_paths(pair, trace, num_paths=1, draft_length=1, contexts=2))
    named = joined(record_paths(pair, [PROMPTS[0], PROMPTS[3]], num_paths=1, draft_length=1))
    np.testing.assert_allclose(picked[0], named[0], atol=1e-12)  # same texts
    with pytest.raises(BadArgument, match="contexts: 5"):
        record_paths(pair, trace, num_paths=1, draft_length=1, contexts=5)


def test_bad_arguments_before_any_model_runs(pair):
    with pytest.raises(BadArgument, match="num_paths"):
        record_paths(pair, PROMPTS, num_paths=0, draft_length=1)
    with pytest.raises(BadArgument, match="positions"):
        record_paths(pair, PROMPTS, num_paths=1, draft_length=1000)


def test_shorter_refuses_what_was_not_drafted(pair):
    batch = next(record_paths(pair, PROMPTS, num_paths=2, draft_length=2))
    cut = shorter(batch, 1, 1)
    assert cut.target_rows.shape[1:3] == (1, 2)
    np.testing.assert_array_equal(cut.tokens[:, 0, 0], batch.tokens[:, 0, 0])
    with pytest.raises(ShapeMismatch, match="3 x 1"):
        shorter(batch, 3, 1)
