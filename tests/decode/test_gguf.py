"""Models in GGUF files: the weights and the tokenizer that the file holds, and one clear line where it is not well."""

import importlib.util
import shutil

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("gguf")
pytest.importorskip("accelerate")

from otspec.core.errors import BadFile, MissingExtra  # noqa: E402
from otspec.decode import gguf as module  # noqa: E402
from otspec.decode.loop import generate  # noqa: E402
from otspec.decode.models import load_pair  # noqa: E402
from otspec.decode.workers.models import Front, Recipe  # noqa: E402
from tests.decode import gguf_files  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    file = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    return file, gguf_files.write(file)


@pytest.fixture(scope="module")
def pair(made):
    return load_pair(target=made[0], draft="skip:1", device="cpu")


def test_weights_are_those_of_the_blocks(made, pair):
    state = pair.target.state_dict()
    for name, value in made[1].items():
        assert np.array_equal(state[name].numpy(), value), name
    assert pair.target.dtype == torch.float32
    assert not hasattr(pair.target.config, "quantization_config")


def test_the_tokenizer_is_that_of_the_file(pair):
    ids = pair.encode("the the")
    assert [gguf_files.TOKENS[i] for i in ids] == ["the", "Ġthe"]
    assert pair.decode(ids) == "the the"
    assert pair.vocab_size == gguf_files.VOCAB


def test_a_folder_with_one_file_is_that_file(made, pair):
    other = load_pair(target=str(made[0].parent), draft=str(made[0]), device="cpu")
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(other.draft(ids).logits, pair.target(ids).logits)
    assert other.fingerprint != pair.fingerprint


def test_it_decodes_and_workers_know_it_by_name(made, pair):
    run = generate(pair, [[5, 6, 7], [8]], verifier="block", draft_length=2, max_new_tokens=6, temperature=0)
    ids = [8]
    for token in run.tokens[1]:
        assert token == int(pair.target(torch.tensor([ids])).logits[0, -1].argmax())
        ids.append(token)
    front = Front.of(Recipe.of(pair))
    assert (front.vocab_size, front.fingerprint) == (pair.vocab_size, pair.fingerprint)


def test_several_files_in_a_folder_want_a_name(made, tmp_path):
    for name in ("a.gguf", "b.gguf"):
        shutil.copyfile(made[0], tmp_path / name)
    with pytest.raises(BadFile, match=r"holds 2 GGUF files. Fix: name one of them, .*a\.gguf"):
        load_pair(target=tmp_path, draft="skip:1", device="cpu")


@pytest.mark.parametrize(("damage", "says"), [
    (lambda data: data[:-64], "cut off"), (lambda data: data[:300], "cut off or altered"),
    (lambda data: b"GGML" + data[4:], "begins with b'GGML'"), (lambda data: b"", "begins with b''")])
def test_a_damaged_file_is_refused(made, tmp_path, damage, says):
    (tmp_path / "bad.gguf").write_bytes(damage(made[0].read_bytes()))
    with pytest.raises(BadFile, match=f"bad.gguf: .*{says}.*Fix: fetch it again"):
        load_pair(target=tmp_path / "bad.gguf", draft="skip:1", device="cpu")


def test_an_unknown_architecture_is_named(tmp_path):
    gguf_files.write(tmp_path / "odd.gguf", architecture="plamo7")
    with pytest.raises(BadFile, match=r"architecture 'plamo7' could not be loaded .* Fix: a newer transformers"):
        load_pair(target=tmp_path / "odd.gguf", draft="skip:1", device="cpu")


@pytest.mark.parametrize("absent", ["gguf", "accelerate"])
def test_a_missing_package_is_named_with_the_command(made, monkeypatch, absent):
    found = importlib.util.find_spec
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None if name == absent else found(name))
    with pytest.raises(MissingExtra, match=rf'needs {absent}, not installed: pip install -e "\.\[gguf\]"'):
        load_pair(target=made[0], draft="skip:1", device="cpu")


def test_loading_is_silent(made, capfd):
    capfd.readouterr()
    load_pair(target=made[0], draft="quantised:4", device="cpu")
    assert capfd.readouterr() == ("", "")
