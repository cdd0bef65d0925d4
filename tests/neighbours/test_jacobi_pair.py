"""Speculative Jacobi decoding on the pocket pair."""

import numpy as np
import pytest

import otspec as ot
from otspec.neighbours import jacobi
from otspec.neighbours.jacobi_pair import model_reader

pytest.importorskip("transformers")
PROMPTS = ["def f(x):\n", "import os\nimport sys\n\nclass Path:"]
WARP = {"temperature": 1.0, "top_k": None, "top_p": None}


@pytest.fixture(scope="module")
def pair():
    return ot.load_pair("pocket", device="cpu")


def test_padded_rows_are_read_as_if_alone(pair):
    texts = [pair.encode(prompt) for prompt in PROMPTS]
    ends = np.array([len(text) for text in texts])
    padded = np.full((2, ends.max() + 3), 7)
    for row, text in zip(padded, texts, strict=True):
        row[: len(text)] = text
    read = model_reader(pair.target, pair, WARP)
    both = read(padded, ends, 3)
    assert both.shape == (2, 3, pair.vocab_size)
    for row, text in enumerate(texts):
        alone = read(np.array([[*text, 7, 7]]), ends[row : row + 1], 3)
        np.testing.assert_allclose(both[row], alone[0], atol=1e-5)
    np.testing.assert_allclose(both.sum(axis=-1), 1.0)


def test_the_race_gives_one_text_whatever_the_window_and_fill(pair):
    runs = [ot.decode_jacobi(pair, PROMPTS, window, max_new_tokens=12, seed=3, coupling="gumbel", fill=fill)
            for window, fill in ((1, "random"), (6, "repeat"), (6, "draft"))]
    for run in runs[1:]:
        np.testing.assert_array_equal(run.texts, runs[0].texts)
    assert (runs[0].calls <= 12).all()


def test_greedy_texts_are_those_of_plain_greedy_decoding(pair):
    plain = ot.generate(pair, PROMPTS, verifier="single_draft", scheme=1, draft_length=3, temperature=0.0, seed=0,
                        max_new_tokens=12, stop_token=None, progress=False).tokens
    for coupling in ("independent", "maximal"):
        run = ot.decode_jacobi(pair, PROMPTS, 5, max_new_tokens=12, seed=0, coupling=coupling, temperature=0.0)
        assert run.texts.tolist() == plain


def surprise(pair, coupling):
    """Mean of ``-log p(token)`` minus the entropy of p over emitted tokens: zero for texts of the target's law."""
    prompts = [PROMPTS[row % 2] for row in range(24)]
    run = ot.decode_jacobi(pair, prompts, 4, max_new_tokens=12, seed=1, coupling=coupling, progress=False)
    read = model_reader(pair.target, pair, WARP)
    excess = []
    for prompt, text in zip(prompts, run.texts, strict=True):
        tokens = np.array([[*pair.encode(prompt), *text]])
        law = read(tokens, np.array([tokens.shape[1] - 12]), 12)[0]
        entropy = -(law * np.log(np.maximum(law, 1e-300))).sum(axis=-1)
        excess.append((-np.log(law[np.arange(12), text]) - entropy).mean())
    return ot.Estimate.from_samples(excess)


@pytest.mark.parametrize("coupling", ["independent", "maximal"])
def test_tokens_are_as_surprising_as_the_target_says(pair, coupling):
    assert surprise(pair, coupling).covers(0.0)


def test_keeping_every_draft_is_seen(pair, monkeypatch):
    monkeypatch.setattr(jacobi, "judged", lambda stale, stored, current: np.concatenate(
        [np.eye(pair.vocab_size)[stale], current[:, -1:]], axis=1))
    assert not surprise(pair, "maximal").covers(0.0)


@pytest.mark.parametrize(("change", "message"), [
    ({"window": 0}, "window"), ({"prompts": []}, "prompts"), ({"prompts": "text"}, "prompts"),
    ({"max_new_tokens": 0}, "max_new_tokens"), ({"max_new_tokens": 2000}, "1024"), ({"seed": -1}, "seed"),
    ({"coupling": "best"}, "coupling"), ({"fill": "zeros"}, "fill"), ({"temperature": -1.0}, "temperature"),
], ids=["window", "no prompts", "a string", "no tokens", "too long", "seed", "coupling", "fill", "temperature"])
def test_bad_arguments(pair, change, message):
    given = {"prompts": PROMPTS, "window": 2, "max_new_tokens": 4, "seed": 0} | change
    with pytest.raises(ot.OtspecError, match=message):
        ot.decode_jacobi(pair, **given)
