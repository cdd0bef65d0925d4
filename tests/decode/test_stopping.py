"""Where texts end when nobody says so."""

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from transformers import GenerationConfig  # noqa: E402

from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import load_pair  # noqa: E402
from otspec.decode.stopping import stop_tokens  # noqa: E402
from tests.decode import tiny  # noqa: E402


def pair_of(config=2, generation=None, derived=False, tokenizer=None, size=64):
    """A pair whose target names an end of text in its configuration and in its generation configuration."""
    generation = None if generation == "absent" else SimpleNamespace(eos_token_id=generation,
                                                                     _from_model_config=derived)
    text = SimpleNamespace(eos_token_id=config)
    whole = SimpleNamespace(get_text_config=lambda: text)
    return SimpleNamespace(target=SimpleNamespace(config=whole, generation_config=generation), tokenizer=tokenizer,
                           vocab_size=size)


@pytest.mark.parametrize(("pair", "found"), [
    # without a tokenizer, a value that only the configuration class filled in means nothing
    (pair_of(2), set()), (pair_of(2, 2, derived=True), set()), (pair_of(2, "absent"), set()),
    # named for generation, it does
    (pair_of(2, 2), {2}), (pair_of(2, 5), {5}), (pair_of(2, [5, 6]), {5, 6}), (pair_of(2, 5, derived=True), {5}),
    # with a tokenizer there are texts, and texts end
    (pair_of(2, tokenizer="t"), {2}), (pair_of(2, "absent", tokenizer="t"), {2}),
    (pair_of(2, 2, derived=True, tokenizer="t"), {2}), (pair_of([2, 3], tokenizer="t"), {2, 3}),
    (pair_of(2, 5, tokenizer="t"), {5}), (pair_of(None, None, tokenizer="t"), set()),
    # tokens that the model cannot emit stop nothing
    (pair_of(64, tokenizer="t"), set()), (pair_of(-1, tokenizer="t"), set()), (pair_of(2, [5, 64]), {5})])
def test_the_target_s_own_end_of_text(pair, found):
    assert stop_tokens(pair, "model") == found


def test_what_is_asked_for_goes_before_what_the_model_names():
    pair = pair_of(2, 5, tokenizer="t")
    assert stop_tokens(pair, None) == frozenset()
    assert stop_tokens(pair, 3) == {3}
    assert stop_tokens(pair, [3, 4]) == stop_tokens(pair, np.array([4, 3])) == stop_tokens(pair, (4, 3)) == {3, 4}


def test_texts_end_where_the_target_was_told_to_end():
    pair = tiny.pair()
    prompts = [[5, 6, 7], [1], [3, 2]]
    settings = {"verifier": "block", "max_new_tokens": 12, "predict": False}
    full = generate(pair, prompts, **settings)  # nobody has named an end of text: the default stops nothing
    assert {len(text) for text in full.tokens} == {12}
    assert full.settings["stop_token"] == []
    stops = [full.tokens[0][4], full.tokens[1][2]]
    pair.target.generation_config = GenerationConfig(eos_token_id=stops)
    run = generate(pair, prompts, **settings)
    assert run.settings["stop_token"] == sorted(stops)
    assert run.tokens == generate(pair, prompts, stop_token=stops, **settings).tokens
    assert len(run.tokens[0]) <= 5
    assert all(not set(text[:-1]) & set(stops) for text in run.tokens)
    assert generate(pair, prompts, stop_token=None, **settings).tokens == full.tokens


def test_the_draft_s_end_of_text_stops_nothing():
    pair = tiny.pair()
    pair.draft.generation_config = GenerationConfig(eos_token_id=list(range(64)))
    assert len(generate(pair, [[1]], max_new_tokens=6).tokens[0]) == 6


def test_the_pocket_pair_names_its_end():
    pair = load_pair("pocket", device="cpu")
    assert stop_tokens(pair, "model") == {pair.tokenizer.eos_token_id}
