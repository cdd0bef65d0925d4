"""Models tried before they are read: the right way for each, or a refusal by the property that is missing."""

import warnings

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, ShapeMismatch  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import Pair  # noqa: E402
from otspec.decode.reading import behaviour as module  # noqa: E402
from otspec.decode.reading.alone import AloneReader  # noqa: E402
from otspec.decode.reading.behaviour import SlowReading, behaviour, positions  # noqa: E402
from otspec.decode.reading.readers import TreeReader, WholeReader  # noqa: E402
from otspec.decode.reading.trial import told  # noqa: E402
from otspec.recording.record import record  # noqa: E402
from tests.decode import tiny  # noqa: E402
from tests.decode.strange import SHORT, strange  # noqa: E402

COUNTS = "texts of different length gives other logits"
BRANCHES = "drafted branches gives other logits"
LENGTH = "depend on how long the text is that follows"


def found(model, longest=24, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowReading)
        return behaviour(model, 64, longest, "target", **settings)


@pytest.mark.parametrize("trees", [True, False])
@pytest.mark.parametrize(("family", "config"), [("llama", {}), ("gpt2", {}), ("mistral", {"sliding_window": 6})])
def test_models_that_take_a_mask_are_read_together(family, config, trees):
    way = found(tiny.model(1, family=family, **config), trees=trees)
    assert (way.way, way.lacks, way.make.func) == ("together", "", TreeReader)
    assert way.bytes_per_token == 2 * 2 * 16 * 8  # keys and values, layers, hidden size, bytes


@pytest.mark.parametrize("name", ["gemma2", "bert_decoder", "dynamic"])
def test_other_models_that_take_a_mask(name):
    assert found(strange(name, 1), SHORT).way == "together"


@pytest.mark.parametrize(("name", "trees", "way", "lacks"), [
    # a bias by slot survives chains, whose slots are places, but not branches
    ("mpt", False, "together", ""), ("mpt", True, "alone", BRANCHES), ("gpt_neo", False, "alone", COUNTS),
    ("gpt_neo", True, "alone", BRANCHES), ("bart", False, "alone", COUNTS), ("bloom", True, "alone", "with a mask"),
    ("mamba", False, "alone", "with a mask"), ("openai", False, "whole", "with a mask"),
    ("openai", True, "whole", "with a mask")])
def test_models_that_do_not_are_read_text_by_text(name, trees, way, lacks):
    got = found(strange(name, 1), trees=trees)
    assert got.way == way
    assert lacks in got.lacks
    assert bool(got.lacks) == (way != "together")
    assert got.make.func is {"together": TreeReader, "alone": AloneReader, "whole": WholeReader}[way]


@pytest.mark.parametrize(("name", "says"), [("bert", "BertLMHeadModel is not causal"),
                                            ("t5", "T5ForConditionalGeneration cannot be run on token ids alone")])
def test_what_is_no_causal_language_model_is_refused(name, says):
    model = strange(name, 1)
    for _ in range(2):  # and stays so
        with pytest.raises(BadArgument, match=f"draft: {says}.*Fix"):
            behaviour(model, 64, 24, "draft")


def hooked(model, change):
    """Let a model's logits be changed by ``change(calls, logits, tokens read)``."""
    calls = []

    def after(module, args, kwargs, out):
        calls.append(kwargs["input_ids"])
        out.logits = change(len(calls), out.logits, kwargs["input_ids"].shape[1])

    model.register_forward_hook(after, with_kwargs=True)
    return model


def test_a_model_that_remembers_is_refused():
    counting = hooked(tiny.model(1), lambda calls, logits, read: logits * (1 + calls / 100))
    with pytest.raises(BadArgument, match=r"target: LlamaForCausalLM (is not causal|remembers earlier calls)"):
        found(counting)
    # causal in every call, but what it says changes once it has read something long
    late = hooked(tiny.model(1), lambda calls, logits, read: logits * (1.0 if calls < 5 else 1.1))
    with pytest.raises(BadArgument, match="remembers earlier calls: the same text read twice gives different logits"):
        found(late)


def test_scaled_positions_show_in_texts_that_are_long_enough():
    model = strange("longrope", 1)
    assert found(model, SHORT).way == "together"
    for longest in (SHORT + 1, 60, 120):  # a short text beside a long one would be read with the factors of the long
        got = found(model, longest)
        assert (got.way, got.make.func) == ("whole", WholeReader)
        assert LENGTH in got.lacks


@pytest.mark.parametrize("threshold", [3, 5, 20, 40, 63, 64])
def test_whatever_length_a_model_changes_at_is_found(threshold):
    def change(calls, logits, read):
        return logits * (1.1 if read > threshold else 1.0)

    got = found(hooked(tiny.model(1), change), 64)
    assert (LENGTH in got.lacks) == (threshold < 64)


def test_a_limit_of_positions_is_kept_to():
    model = strange("bart", 1)
    assert positions(model) == 128
    assert found(model, 128).way == "alone"  # tried to the last position, not past it
    assert found(model, 500).way == "alone"
    assert found(tiny.model(1, family="gpt2"), 256).make.keywords["limit"] == 256
    assert positions(strange("mpt", 1)) == 128
    assert positions(strange("bloom", 1)) is None


def test_what_was_found_is_remembered(monkeypatch):
    model, tried, real = tiny.model(1), [], module._tried
    monkeypatch.setattr(module, "_tried", lambda trial, *rest: tried.append(len(trial.text)) or real(trial, *rest))
    first = found(model, 20)
    assert found(model, 30) is first  # a length of the same order
    assert tried == [32]
    found(model, 33)
    found(model, 20, trees=False)
    found(tiny.model(1), 20)
    assert tried == [32, 48, 32, 32]
    model.config.sliding_window = 6
    found(model, 20)
    model.float()
    found(model, 20)
    assert tried == [32, 48, 32, 32, 32, 32]
    assert found(model, 20) is not first


def test_a_changed_window_is_noticed():
    model = tiny.model(1, family="mistral", sliding_window=64)
    plain = found(model, 24).make.keywords["window"]
    model.config.sliding_window = 6
    assert (plain.size, found(model, 24).make.keywords["window"].size) == (64, 6)


def test_a_pass_over_every_text_is_warned_of():
    model = strange("openai", 1)
    for _ in range(2):  # each time that it is decoded with
        with pytest.warns(SlowReading, match="draft: OpenAIGPTLMHeadModel is read by one pass over every text.*cache"):
            behaviour(model, 64, 24, "draft")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert behaviour(tiny.model(1), 64, 24, "draft").lacks == ""


def test_the_warning_points_at_the_line_that_asked():
    pair = Pair(strange("openai", 1), strange("openai", 2), None, "a", "b", 64, "cpu", "x")
    with pytest.warns(SlowReading) as caught:
        generate(pair, [[1, 2]], max_new_tokens=2)
    with pytest.warns(SlowReading) as recorded:
        record(pair, [[1, 2]], progress=False)
    assert {warning.filename for warning in [*caught, *recorded]} == {__file__}


def test_reasons_are_one_sentence():
    long = ValueError(f"The size of {'one ' * 60}. A second\nsentence.")
    assert told(long).startswith("ValueError: The size of one one")
    assert len(told(long)) < 140
    assert told(RuntimeError("Both differ.\nSee the manual. More.")) == "RuntimeError: Both differ"
    with pytest.warns(SlowReading) as caught:
        behaviour(strange("openai", 1), 64, 24, "draft")
    assert len(str(caught[0].message)) < 300


def test_a_vocabulary_larger_than_the_model_is_refused_before_anything_is_decoded():
    for size, says in ((65, "reads 64 tokens, but the pair's vocab_size is 65"), (10**6, "is 1000000")):
        pair = Pair(tiny.model(1), tiny.model(2), None, "a", "b", size, "cpu", "x")
        with pytest.raises(ShapeMismatch, match=f"target: LlamaForCausalLM.*{says}.*Fix: load the pair with"):
            generate(pair, [[1, 2]], max_new_tokens=2)
    narrow = hooked(tiny.model(1), lambda calls, logits, read: logits[..., :60])
    with pytest.raises(ShapeMismatch, match="gives 60 logits, but the pair's vocab_size is 64"):
        found(narrow)


def test_logits_that_are_missing_only_through_a_cache_are_not_passed_over():
    model = tiny.model(1)

    def narrow(module, args, kwargs, out):
        if kwargs.get("use_cache"):
            out.logits = out.logits[..., :60]

    model.register_forward_hook(narrow, with_kwargs=True)
    with pytest.raises(ShapeMismatch, match="60 logits, expected at least 64"):
        found(model)
