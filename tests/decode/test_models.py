import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile, MissingExtra, ShapeMismatch, UnknownName
from otspec.decode import models, weights
from otspec.decode.models import POCKET, Pair, common_vocab_size, load_pair, resolve_device

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


def tiny_llama(folder, vocab_size=16, seed=0):
    config = transformers.LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        tie_word_embeddings=True,
    )
    with weights.quiet():
        model = transformers.LlamaForCausalLM(config)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            model.model.embed_tokens.weight.normal_(generator=generator)
        model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pocket():
    return load_pair("pocket", device="cpu")


@pytest.fixture
def pocket_copy(tmp_path, monkeypatch):
    copy = tmp_path / "pocket"
    shutil.copytree(POCKET, copy)
    monkeypatch.setattr(models, "POCKET", copy)
    return copy


def test_importing_the_module_does_not_import_torch():
    code = "import sys, otspec.decode.models; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_pocket_models_are_frozen_float32_over_one_vocabulary(pocket):
    assert (pocket.vocab_size, pocket.device) == (2048, "cpu")
    for model in (pocket.target, pocket.draft):
        assert model.dtype == torch.float32
        assert not model.training
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert pocket.target.num_parameters() > 2 * pocket.draft.num_parameters()


def test_pocket_models_have_learnt_their_text(pocket):
    ids = torch.tensor([pocket.encode("import os\nimport sys\n\n\nclass Error(Exception):\n    pass\n")])
    with torch.inference_mode():
        for model in (pocket.target, pocket.draft):
            loss = model(input_ids=ids, labels=ids).loss.item()
            assert loss < 0.7 * 7.62  # ln 2048 = 7.62 nats is the loss of the uniform law


def test_text_survives_encoding_and_decoding(pocket):
    text = "def  f(x):\n\treturn {'é': x ** 2}  # ok \u4e2d\n"
    tokens = pocket.encode(text)
    assert all(type(token) is int and 0 <= token < 2048 for token in tokens)
    assert pocket.decode(tokens) == text
    assert pocket.decode(torch.tensor(tokens)) == text


def test_pocket_small_has_the_same_target_and_another_draft(pocket):
    small = load_pair("pocket-small", device="cpu")
    left, right = pocket.target.state_dict(), small.target.state_dict()
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert small.draft.num_parameters() < pocket.draft.num_parameters()
    assert small.fingerprint != pocket.fingerprint


def test_altered_weights_are_refused(pocket_copy):
    file = pocket_copy / "draft" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(BadFile, match=r"draft/model\.safetensors: SHA-256 .* altered"):
        load_pair("pocket", device="cpu")


@pytest.mark.parametrize("name", ["hashes.json", "target/model.safetensors", "tokenizer.json"])
def test_missing_pocket_file_is_named(pocket_copy, name):
    (pocket_copy / name).unlink()
    with pytest.raises(BadFile, match=f"{name}: missing"):
        load_pair("pocket", device="cpu")


def test_shipped_hashes_cover_every_shipped_file_of_the_pair():
    listed = set(json.loads((POCKET / "hashes.json").read_text()))
    shipped = {path.relative_to(POCKET).as_posix() for path in POCKET.rglob("*") if path.is_file()}
    assert shipped - listed == {"hashes.json", "trace.safetensors"}  # a trace carries its own fingerprint
    assert "PYTHON SOFTWARE FOUNDATION LICENSE VERSION 2" in (POCKET / "NOTICE").read_text()


@pytest.mark.parametrize("location", ["/nowhere/model", "./nowhere", "a/b/c", "otspec/nowhere", "~/no where"])
def test_missing_folder_is_refused_without_asking_the_hub(location, monkeypatch):
    def reached(*args, **kwargs):
        raise AssertionError("the loader was reached")

    monkeypatch.setattr(models, "load_model", reached)
    with pytest.raises(BadFile, match=r"target: there is no folder .*config\.json"):
        load_pair(target=location, draft=location, device="cpu")


def test_folder_without_weights_is_refused(tmp_path):
    tiny_llama(tmp_path / "whole")
    tiny_llama(tmp_path / "empty")
    (tmp_path / "empty" / "model.safetensors").unlink()
    with pytest.raises(BadFile, match=r"draft: .*empty is no model folder"):
        load_pair(target=tmp_path / "whole", draft=tmp_path / "empty", device="cpu")


def test_weights_that_do_not_fill_the_model_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    tiny_llama(tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = load_file(file)
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(BadFile, match=r"1 missing keys, the first is .*up_proj\.weight"):
        load_pair(target=tmp_path / "model", draft=tmp_path / "model", device="cpu")


def test_unreadable_weights_are_refused(tmp_path):
    tiny_llama(tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(BadFile, match="could not be loaded as a causal language model"):
        load_pair(target=tmp_path / "model", draft=tmp_path / "model", device="cpu")


def test_models_of_ones_own_load_with_a_fingerprint_of_their_weights(tmp_path):
    left, right = tiny_llama(tmp_path / "left"), tiny_llama(tmp_path / "right", seed=1)
    pair = load_pair(target=left, draft=str(right), device="cpu")
    again = load_pair(target=left, draft=right, device="cpu")
    swapped = load_pair(target=right, draft=left, device="cpu")
    assert isinstance(pair, Pair)
    assert (pair.vocab_size, pair.tokenizer, pair.target_name) == (16, None, str(left))
    assert pair.fingerprint == again.fingerprint != swapped.fingerprint
    with pytest.raises(BadArgument, match="has no tokenizer"):
        pair.encode("text")


def with_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(POCKET / name, folder / name)


def edit(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | values), encoding="utf-8")


@pytest.mark.parametrize("change", [
    lambda folder: edit(folder / "config.json", rms_norm_eps=0.1),
    lambda folder: edit(folder / "config.json", rope_parameters={"rope_type": "linear", "factor": 2.0}),
    lambda folder: edit(folder / "config.json", sliding_window=4),
    lambda folder: edit(folder / "tokenizer_config.json", add_bos_token=True),
    lambda folder: edit(folder / "tokenizer.json", truncation={"max_length": 3}),
    lambda folder: (folder.parent / "tokenizer.json").write_text("{}") and (folder / "tokenizer.json").unlink(),
    lambda folder: (folder / "adapter_config.json").write_text('{"r": 4}'),
])
def test_what_decides_the_laws_is_in_the_fingerprint(tmp_path, change):
    folder = tiny_llama(tmp_path / "model", 2048)
    with_tokenizer(folder)
    before = weights.fingerprint(folder)
    edit(folder / "config.json", transformers_version="4.0.0", torch_dtype="bfloat16", use_cache=False)
    (folder / "README.md").write_text("notes")
    assert weights.fingerprint(folder) == before  # what says nothing about the laws
    only = weights.fingerprint(folder, weights_only=True)
    change(folder)
    assert weights.fingerprint(folder, weights_only=True) == only
    assert weights.fingerprint(folder) != before


def test_different_vocabulary_sizes_are_refused(tmp_path):
    left, right = tiny_llama(tmp_path / "left", 16), tiny_llama(tmp_path / "right", 24)
    with pytest.raises(ShapeMismatch, match="target 16 and draft 24"):
        load_pair(target=left, draft=right, device="cpu")


def test_tokenizers_that_number_a_token_differently_are_refused(tmp_path):
    left, right = tiny_llama(tmp_path / "left", 2048), tiny_llama(tmp_path / "right", 2048)
    for folder in (left, right):
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copyfile(POCKET / name, folder / name)
    assert load_pair(target=left, draft=right, device="cpu").tokenizer is not None
    table = json.loads((right / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = table["model"]["vocab"]
    vocab["!"], vocab['"'] = vocab['"'], vocab["!"]
    (right / "tokenizer.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(ShapeMismatch, match="token '!' is id 1 for the target and 2 for the draft"):
        load_pair(target=left, draft=right, device="cpu")


class FakeTokenizer:
    def __init__(self, size):
        self.vocab = {str(i): i for i in range(size)}

    def get_vocab(self):
        return self.vocab

    def __len__(self):
        return len(self.vocab)


def test_padded_widths_are_cut_to_the_smaller_if_the_tokenizers_are_equal():
    assert common_vocab_size(12, 10, FakeTokenizer(9), FakeTokenizer(9)) == 10
    with pytest.raises(ShapeMismatch, match="token '10' of the shared tokenizer has id 10, which the smaller lacks"):
        common_vocab_size(12, 10, FakeTokenizer(11), FakeTokenizer(11))
    with pytest.raises(ShapeMismatch, match="cannot be shown to be padding"):
        common_vocab_size(12, 10, FakeTokenizer(9), None)
    with pytest.raises(ShapeMismatch, match=r"9 and 10 tokens.*token '9' is id None for the target"):
        common_vocab_size(12, 12, FakeTokenizer(9), FakeTokenizer(10))


def test_the_highest_id_decides_where_ids_have_gaps():
    gaps = FakeTokenizer(5)
    gaps.vocab["last"] = 15
    with pytest.raises(ShapeMismatch, match="token 'last' of the shared tokenizer has id 15"):
        common_vocab_size(20, 12, gaps, gaps)
    assert common_vocab_size(20, 16, gaps, gaps) == 16


@pytest.mark.parametrize(("tokens", "said"), [
    ([-1], r"tokens\[0\] = -1 is outside the vocabulary of 2048"), ([3, 2048], r"tokens\[1\] = 2048"),
    ([3.7], r"tokens\[0\]: 3.7 \(float\) is no token id"), ([[1, 2]], r"tokens\[0\]: \[1, 2\]"), (3, "no list"),
    (None, "no list of tokens"), ("abc", "no list of tokens"), ([True], "no token id"), (np.array(3), "no list"),
    (np.zeros((1, 2), dtype=int), "no token id"), ({"input_ids": [1]}, "no list"), (np.array([1.0]), "float")])
def test_what_is_no_list_of_tokens_is_not_decoded(tokens, said):
    with pytest.raises(BadArgument, match=said):
        load_pair("pocket", device="cpu").decode(tokens)


def test_every_kind_of_token_list_is_decoded():
    pair = load_pair("pocket", device="cpu")
    ids = pair.encode("def f(x):")
    for kind in (tuple, np.array, torch.tensor, iter, lambda given: [np.int32(one) for one in given],
                 lambda given: list(torch.tensor(given))):
        assert pair.decode(kind(ids)) == "def f(x):"
    assert pair.decode([]) == ""


def test_only_text_is_encoded_and_a_pair_prints_in_one_line():
    pair = load_pair("pocket", device="cpu")
    for given in (None, 3, ["def"], b"def"):
        with pytest.raises(BadArgument, match="not a string"):
            pair.encode(given)
    assert repr(pair) == "Pair(target='pocket/target', draft='pocket/draft', vocab_size=2048, device='cpu')"
    with pytest.raises(UnknownName, match="none of"):
        load_pair(["pocket"])


def test_device_and_dtype_are_checked(tmp_path):
    model = tiny_llama(tmp_path / "model")
    with pytest.raises(BadArgument, match="torch sees"):
        resolve_device("cuda:99")
    with pytest.raises(BadArgument, match="'gpu' is not one of"):
        resolve_device("gpu")
    with pytest.raises(BadArgument, match="'float16' is refused on CPU"):
        load_pair(target=model, draft=model, device="cpu", dtype="float16")
    with pytest.raises(BadArgument, match="'int8' is not one of"):
        load_pair(target=model, draft=model, device="cpu", dtype="int8")
    pair = load_pair(target=model, draft=model, device="cpu", dtype="float64")
    assert pair.target.dtype == torch.float64


def test_missing_transformers_names_the_pip_command(monkeypatch):
    monkeypatch.setattr(weights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install -e "\.\[models\]"'):
        load_pair("pocket", device="cpu")


def test_bad_combinations_of_arguments_are_named(tmp_path):
    with pytest.raises(UnknownName, match="'pockett' is none of 'pocket', 'pocket-small'"):
        load_pair("pockett")
    with pytest.raises(BadArgument, match="both target= and draft="):
        load_pair(target=tmp_path)
    with pytest.raises(BadArgument, match="leave out target= and draft="):
        load_pair("pocket", draft=tmp_path)


def test_loading_is_silent_and_leaves_the_logging_settings_alone(tmp_path, capfd):
    from transformers.utils import logging

    model = tiny_llama(tmp_path / "model")
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load_pair(target=model, draft=model, device="cpu")
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
