"""Lists of coupled drafts: no text depends on them, more of them are kept, and a detector knows the texts."""

import itertools

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.analysis.watermark import detect_watermark  # noqa: E402
from otspec.core.schemes import WithoutReplacement  # noqa: E402
from otspec.couplings import coupling  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.streams import text_noise  # noqa: E402
from tests.decode import tiny  # noqa: E402

PROMPTS = [[5, 6, 7, 8, 9], [1], [3, 2, 60], [11, 12]]


@pytest.fixture(scope="module")
def pair():
    return tiny.pair()


@pytest.mark.parametrize("name", ["gumbel", "list_gumbel"])
def test_lists_of_coupled_drafts_change_no_text(pair, name):
    rule = coupling(name)
    texts = {}
    for model, count, length, size in itertools.product((1, 9), (1, 4), (1, 3), (1, 4)):
        scheme = rule.list_scheme(count) if count > 1 else 1
        run = generate(tiny.pair(draft=model), PROMPTS, verifier=rule, scheme=scheme, draft_length=length,
                       batch_size=size, max_new_tokens=10, seed=5, predict=False)
        texts[tuple(map(tuple, run.tokens))] = run
    assert len(texts) == 1
    assert generate(pair, PROMPTS, verifier=rule, draft_length=0, max_new_tokens=10, seed=5).tokens == run.tokens


@pytest.mark.parametrize(("name", "scheme", "sheets"), [("gumbel", 1, 1), ("gumbel", WithoutReplacement(4), 1),
                                                        ("list_gumbel", 4, 4)])
def test_texts_of_shared_noise_are_told_from_others(pair, name, scheme, sheets):
    run = generate(pair, PROMPTS, verifier=name, scheme=scheme, draft_length=2, max_new_tokens=30, seed=5,
                   first_sequence=7, predict=False)
    other = generate(pair, PROMPTS, verifier="block", draft_length=2, max_new_tokens=30, seed=5, predict=False)
    for place, prompt in enumerate(PROMPTS):
        noise = text_noise(5, 7 + place, len(prompt), 30)
        assert detect_watermark(run.tokens[place], noise, num_drafts=sheets).p_value < 1e-9
        assert detect_watermark(other.tokens[place], noise, num_drafts=sheets).p_value > 1e-5


def test_more_coupled_drafts_are_kept_more_often(pair):
    settings = {"draft_length": 3, "max_new_tokens": 40, "seed": 2, "predict": False}
    alone, sheets, race = (generate(pair, PROMPTS * 4, verifier=name, scheme=scheme, **settings).accepted.sum()
                           for name, scheme in (("gumbel", 1), ("list_gumbel", 4), ("gumbel", WithoutReplacement(4))))
    assert alone < sheets < race  # the tiny models are far apart
