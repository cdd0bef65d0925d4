"""Models in memory as a pair: the same laws as from their folders, and refused where their laws would be others."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import otspec as ot  # noqa: E402
from otspec.core.errors import BadArgument  # noqa: E402
from otspec.decode.models import POCKET, load_pair  # noqa: E402
from otspec.decode.weights import load_model, load_tokenizer  # noqa: E402
from tests.decode import tiny  # noqa: E402


def model(name):
    return load_model(POCKET / name, torch.float32, "cpu")


def texts(pair, prompt="def f(x):"):
    return [list(text) for text in ot.generate(pair, [prompt] * 2, max_new_tokens=8, seed=3).tokens]


def test_a_pair_of_models_in_memory_decodes_as_from_their_folders():
    tokenizer = load_tokenizer(POCKET / "target")
    pair = ot.load_pair(target=model("target"), draft=model("draft"), tokenizer=tokenizer)
    assert texts(pair) == texts(load_pair("pocket", device="cpu"))
    assert pair.vocab_size == 2048
    assert pair.target_name.startswith("LlamaForCausalLM")
    skipping = ot.load_pair(target=model("target"), draft="skip:1", tokenizer=tokenizer)
    assert texts(skipping) == texts(load_pair(target=POCKET / "target", draft="skip:1", device="cpu"))


def test_without_a_tokenizer_prompts_are_token_ids(tmp_path):
    pair = ot.load_pair(target=tiny.model(1), draft=[tiny.model(2), tiny.model(3)])
    assert len(pair.others) == 1
    assert texts(pair, [3, 4])[0]
    assert len(ot.record(pair, [[3, 4], [5]])) == 2
    with pytest.raises(BadArgument, match="no tokenizer"):
        ot.generate(pair, ["x"])


def test_the_fingerprint_follows_the_weights():
    def fingerprint(*seeds):
        return ot.load_pair(target=tiny.model(seeds[0]), draft=tiny.model(seeds[1])).fingerprint

    assert fingerprint(1, 2) == fingerprint(1, 2)
    assert len({fingerprint(1, 2), fingerprint(1, 3), fingerprint(2, 1)}) == 3
    mixed = ot.load_pair(target=model("target"), draft=POCKET / "draft")
    assert mixed.fingerprint not in (load_pair("pocket", device="cpu").fingerprint, fingerprint(1, 2))


@pytest.mark.parametrize(("change", "more", "says"), [
    (lambda one: one.train(), {}, r"target: the model is in training mode.*Fix: target\.eval\(\)"),
    (lambda one: one.to(torch.bfloat16), {}, "target: torch.bfloat16 is refused on CPU"),
    (lambda one: one.to("meta"), {"device": "cpu"}, "target: the model is on meta, the pair on cpu"),
    (lambda one: one, {"dtype": "float64"}, "keeps its precision"),
    (lambda one: one, {"tokenizer": 3}, "int cuts no texts"),
    (lambda _: 3, {}, "target: int is no model"), (lambda _: "folder", {"tokenizer": 3}, "whose own is read")])
def test_models_with_other_laws_are_refused(change, more, says):
    with pytest.raises((BadArgument, ot.BadFile), match=says):
        ot.load_pair(target=change(tiny.model(1)), draft=tiny.model(2), **more)


def test_a_model_that_stands_for_no_place_is_named():
    with pytest.raises(BadArgument, match="draft: dict is no model"):
        ot.load_pair(target=tiny.model(1), draft={})
    with pytest.raises(BadArgument, match="tokenizer: given beside a folder"):
        ot.load_pair(target=POCKET / "target", draft=POCKET / "draft", tokenizer=load_tokenizer(POCKET / "target"))
