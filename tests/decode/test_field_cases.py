"""Models and settings that people meet: each decodes its own text, or is refused by name."""

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
tf = pytest.importorskip("transformers")

from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import Pair  # noqa: E402
from otspec.decode.reading.behaviour import SlowReading  # noqa: E402
from otspec.recording.record import record  # noqa: E402
from otspec.verifiers import verifier  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.strange import SHORT, strange  # noqa: E402

PROMPTS = [[5, 6, 7, 8, 9], [3], [4, 2, 60]]  # one of one token, which the draft model reads twice
NEW = 5
# position ids, slots that are hidden, caches and masks: what each of these takes or counts differs
NAMES = ["mpt", "gpt_neo", "mbart", "marian", "pegasus", "blenderbot", "plbart", "roformer", "openai", "mamba", "bloom",
         "gemma2", "dynamic", "longrope"]

pytestmark = pytest.mark.filterwarnings("ignore::otspec.decode.reading.behaviour.SlowReading")


def pair_of(target, draft=None):
    return Pair(target, draft or target, None, "t", "d", 64, "cpu", "x")


# branches are tried on one of each kind
@pytest.mark.parametrize(("name", "paths"), [*((name, 1) for name in NAMES), *((name, 3) for name in (
    "mpt", "gpt_neo", "mbart", "openai", "mamba", "gemma2", "longrope"))])
def test_a_model_decodes_its_own_text(name, paths):
    pair = pair_of(strange(name, 1), strange(name, 2))
    settings = {"draft_length": 3, "max_new_tokens": NEW}
    rule = verifier("recursive", paths)
    run = generate(pair, PROMPTS, verifier=rule, scheme=paths, predict=False, **settings)
    assert run.accepted.max() > 0
    assert run.tokens == [tiny.decode(pair, prompt, rule, 3, NEW, paths=paths, place=i)
                          for i, prompt in enumerate(PROMPTS)]
    greedy = generate(pair, PROMPTS, verifier="traversal", scheme=paths, temperature=0, predict=False, **settings)
    for prompt, text in zip(PROMPTS, greedy.tokens, strict=True):
        for place, token in enumerate(text):
            assert token == tiny.law(pair.target, prompt + text[:place]).argmax()


def test_hidden_slots_count_for_nothing():
    # far enough for the local attention of the second layer to lose the beginning of the text
    pair = pair_of(strange("gpt_neo", 1), strange("gpt_neo", 2))
    prompt = [3, 14, 15, 9, 26, 5]
    text = generate(pair, [prompt], draft_length=3, temperature=0, max_new_tokens=24, predict=False).tokens[0]
    for place, token in enumerate(text):
        assert token == tiny.law(pair.target, prompt + text[:place]).argmax()


@pytest.mark.parametrize("longest", [SHORT - 3, SHORT, SHORT + 2])
@pytest.mark.parametrize("length", [2, 6])
def test_drafts_past_a_length_that_changes_positions_change_no_text(longest, length):
    # at the threshold, a draft that reaches past it would move every position of the batch
    pair = pair_of(strange("longrope", 1), strange("longrope", 2))
    prompts = [[1] * (longest - 8), [2] * 5, [3] * 9]
    run = generate(pair, prompts, verifier="block", draft_length=length, max_new_tokens=8, predict=False)
    assert run.tokens == [tiny.decode(pair, prompt, verifier("block"), length, 8, place=i)
                          for i, prompt in enumerate(prompts)]


def test_an_encoder_is_refused():
    pair = pair_of(strange("bert", 1))
    for call in (lambda: generate(pair, PROMPTS, max_new_tokens=4), lambda: record(pair, PROMPTS, progress=False)):
        with pytest.raises(BadArgument, match="target: BertLMHeadModel is not causal"):
            call()


def test_a_model_without_a_cache_says_that_it_is_slow():
    pair = pair_of(strange("openai", 1))
    with pytest.warns(SlowReading, match="OpenAIGPTLMHeadModel"):
        run = generate(pair, PROMPTS, max_new_tokens=4)
    assert run.settings["read"]["target"].startswith("whole: it cannot be read through a cache")


@pytest.mark.parametrize("name", ["gemma2", "bloom"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_texts_of_unequal_length_in_any_precision(name, dtype):
    model = strange(name, 1).to(getattr(torch, dtype))
    pair, prompts = pair_of(model), [[5, 6, 7], [8]]
    for size in (1, 2):
        assert [len(text) for text in generate(pair, prompts, max_new_tokens=2, batch_size=size).tokens] == [2, 2]
        trace = record(pair, prompts, batch_size=size, progress=False)
        exact = [tiny.law(model, prompt) for prompt in prompts]
        np.testing.assert_allclose(trace.target, exact, rtol=0.05)  # stored in half precision


@pytest.mark.parametrize("draft", ["short", "mamba", "bert"])
def test_a_draft_model_that_is_not_read_is_not_in_the_way(draft):
    draft = tiny.model(2, max_position_embeddings=8) if draft == "short" else strange(draft, 2)
    target = tiny.model(1)
    pair = pair_of(target, draft)
    for settings in ({"verifier": None}, {"verifier": "gumbel", "draft_length": 0}, {"drafter": "lookup"}):
        run = generate(pair, [[1, 2]], max_new_tokens=10, **settings)
        assert list(run.settings["read"]) == ["target"]
        assert run.tokens == generate(pair_of(target), [[1, 2]], max_new_tokens=10, **settings).tokens


def test_texts_up_to_the_last_position_and_past_a_window():
    window = pair_of(tiny.model(1, family="mistral", sliding_window=64, max_position_embeddings=512),
                     tiny.model(2, family="mistral", sliding_window=64, max_position_embeddings=512))
    for settings in ({"max_new_tokens": 20}, {"verifier": None, "max_new_tokens": 70}):
        text = generate(window, [[1] * 5], temperature=0, predict=False, **settings).tokens[0]
        for place, token in enumerate(text):
            assert token == tiny.law(window.target, [1] * 5 + text[:place]).argmax()
    # past the window with drafts, rejected and kept
    run = generate(window, [[1] * 60, [2]], verifier="block", draft_length=3, max_new_tokens=12, predict=False)
    assert run.tokens == [tiny.decode(window, prompt, verifier("block"), 3, 12, place=i)
                          for i, prompt in enumerate([[1] * 60, [2]])]
    trace = record(window, [[1] * 70], progress=False)
    np.testing.assert_allclose(trace.target[0], tiny.law(window.target, [1] * 70), rtol=64 * 2**-11)


@pytest.mark.parametrize("make", [lambda seed: tiny.model(seed, max_position_embeddings=64),
                                  lambda seed: tiny.model(seed, family="gpt2", n_positions=64),
                                  lambda seed: strange("openai", seed), lambda seed: strange("roformer", seed)],
                         ids=["llama", "gpt2", "openai", "roformer"])
@pytest.mark.parametrize("paths", [1, 2])
def test_the_last_block_ends_at_the_last_position(make, paths):
    pair = pair_of(make(1), make(2))
    prompts = [[1] * 60, [2] * 3]
    run = generate(pair, prompts, scheme=paths, verifier="recursive", draft_length=4, max_new_tokens=4, predict=False)
    assert [len(text) for text in run.tokens] == [4, 4]
    greedy = generate(pair, prompts, draft_length=4, temperature=0, max_new_tokens=4, predict=False).tokens[0]
    for place, token in enumerate(greedy):
        assert token == tiny.law(pair.target, prompts[0] + greedy[:place]).argmax()
    with pytest.raises(BadArgument, match="65 tokens exceed the 64 positions"):
        generate(pair, prompts, max_new_tokens=5)


def test_positions_that_scale_past_the_limit_stay_as_they_are():
    # drafts past the last position would stretch every position of a dynamic model
    pair = pair_of(strange("dynamic", 1), strange("dynamic", 2))
    prompts = [[1] * (SHORT - 4), [2] * 3]
    for _ in range(2):  # nor does the model remember a longer text
        run = generate(pair, prompts, verifier="recursive", draft_length=6, max_new_tokens=4, predict=False)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            texts = generate(pair, prompts, verifier=None, max_new_tokens=4, temperature=0).tokens
        assert [len(text) for text in run.tokens] == [4, 4]
        for prompt, text in zip(prompts, texts, strict=True):
            for place, token in enumerate(text):
                assert token == tiny.law(pair.target, prompt + text[:place]).argmax()


@pytest.mark.parametrize("several", [list, tuple, set, np.array, torch.tensor], ids=lambda kind: kind.__name__)
def test_several_stop_tokens_stop(several):
    pair = tiny.pair()
    full = generate(pair, PROMPTS, max_new_tokens=12, predict=False).tokens
    stops = [full[0][5], full[1][3]]
    cut = generate(pair, PROMPTS, max_new_tokens=12, predict=False, stop_token=several(stops)).tokens
    ends = [next((i for i, token in enumerate(text) if token in stops), 11) for text in full]
    assert cut == [text[: end + 1] for text, end in zip(full, ends, strict=True)]
    assert min(ends) < 11


@pytest.mark.parametrize("stop", ["def", -1, 10**6, True, 1.5])
def test_what_is_no_token_stops_nothing_and_is_refused(stop):
    with pytest.raises(BadArgument, match="stop_token"):
        generate(tiny.pair(), PROMPTS, max_new_tokens=4, stop_token=stop)
