import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile
from otspec.decode.models import POCKET
from otspec.train.corpus import Corpus, Document, build_corpus, heldout_windows, is_held_out

tokenizers = pytest.importorskip("tokenizers")


@pytest.fixture(scope="module")
def tokenizer():
    return tokenizers.Tokenizer.from_file(str(POCKET / "tokenizer.json"))


@pytest.fixture
def library(tmp_path):
    """A library of 120 small files, some of which must be skipped."""
    folder = tmp_path / "lib"
    (folder / "site-packages").mkdir(parents=True)
    (folder / "site-packages" / "other.py").write_text("not_of_the_library = 1\n")
    (folder / "broken.py").write_bytes(b"\xff\xfe\x80")
    (folder / "empty.py").write_text("\n")
    for index in range(120):
        (folder / f"module_{index}.py").write_text(f"value_{index} = {index}\n" * 30)
    return folder


def heldout_corpus(*lengths):
    documents = [Document("source", f"file_{i}", np.arange(n, dtype=np.uint16)) for i, n in enumerate(lengths)]
    return Corpus(np.zeros(0, np.uint16), documents, {}, "3", "")


def test_every_file_lands_on_exactly_one_side(tokenizer, library):
    corpus = build_corpus(tokenizer, kinds=("source",), library=library)
    text = tokenizer.decode(corpus.train.tolist())
    held = {document.name for document in corpus.heldout}
    assert 0 < len(held) < 20
    for index in range(120):
        name = f"module_{index}.py"
        assert (f"value_{index} = {index}\n" in text) == (name not in held)
        assert is_held_out("source", name) == (name in held)
    assert "not_of_the_library" not in text
    assert corpus.tokens_per_kind == {"source": len(corpus.train)}
    assert (corpus.train == 0).sum() == 120 - len(held)


def test_corpus_is_the_same_when_built_twice_and_another_when_a_file_changes(tokenizer, library):
    first = build_corpus(tokenizer, kinds=("source",), library=library)
    again = build_corpus(tokenizer, kinds=("source",), library=library)
    np.testing.assert_array_equal(first.train, again.train)
    assert first.sha256 == again.sha256
    (library / "module_7.py").write_text("value = 0\n")
    assert build_corpus(tokenizer, kinds=("source",), library=library).sha256 != first.sha256


def test_topics_docstrings_and_headers_are_found_and_deterministic(tokenizer):
    first = build_corpus(tokenizer, kinds=("topic", "docstring", "header"))
    code = (
        "import sys; from tokenizers import Tokenizer; from otspec.train.corpus import build_corpus;"
        "tokenizer = Tokenizer.from_file(sys.argv[1]);"
        "print(build_corpus(tokenizer, kinds=('topic', 'docstring', 'header')).sha256)"
    )
    # another process and hash seed: an address or the order of a set in the text would show
    command = [sys.executable, "-c", code, str(POCKET / "tokenizer.json")]
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    again = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert again.stdout.strip() == first.sha256
    assert min(first.tokens_per_kind["topic"], first.tokens_per_kind["docstring"]) > 50_000
    text = tokenizer.decode(first.train.tolist())
    assert "Return the number of items in a container." in text  # builtins.len


def test_about_three_per_cent_are_held_out():
    count = sum(is_held_out("source", f"file_{index}") for index in range(20_000))
    assert abs(count - 600) < 5 * (20_000 * 0.03 * 0.97) ** 0.5  # five standard deviations of the binomial


def test_saved_corpus_comes_back(tokenizer, library, tmp_path):
    corpus = build_corpus(tokenizer, kinds=("source",), library=library)
    corpus.save(tmp_path / "corpus.safetensors")
    back = Corpus.load(tmp_path / "corpus.safetensors")
    np.testing.assert_array_equal(back.train, corpus.train)
    assert back.train.dtype == np.uint16
    assert [(d.kind, d.name, d.tokens.tolist()) for d in back.heldout] == [
        (d.kind, d.name, d.tokens.tolist()) for d in corpus.heldout
    ]
    assert (back.sha256, back.tokens_per_kind) == (corpus.sha256, corpus.tokens_per_kind)


def test_altered_or_foreign_corpus_file_is_refused(tokenizer, library, tmp_path):
    corpus = build_corpus(tokenizer, kinds=("source",), library=library)
    dataclasses.replace(corpus, train=corpus.train[::-1].copy()).save(tmp_path / "altered.safetensors")
    with pytest.raises(BadFile, match="its header says"):
        Corpus.load(tmp_path / "altered.safetensors")
    with pytest.raises(BadFile, match="format 'pt'"):
        Corpus.load(POCKET / "draft-small" / "model.safetensors")
    with pytest.raises(BadFile, match="cannot be read as a corpus"):
        Corpus.load(tmp_path / "missing.safetensors")


def test_windows_are_disjoint_pieces_of_their_documents():
    corpus = heldout_corpus(1000, 95, 96, 500)
    windows = heldout_windows(corpus, length=96, stride=142)
    starts = sorted((window.name, window.start) for window in windows)
    expected = [("file_0", start) for start in range(0, 905, 142)]
    expected += [("file_2", 0)] + [("file_3", start) for start in (0, 142, 284)]
    assert starts == expected
    for window in windows:
        assert window.tokens.dtype == np.int64
        np.testing.assert_array_equal(window.tokens, np.arange(window.start, window.start + 96))


def test_a_limit_takes_the_first_windows_of_a_mixed_order():
    corpus = heldout_corpus(142 * 40, 142 * 40, 142 * 40)
    windows = heldout_windows(corpus)
    first = heldout_windows(corpus, limit=30)
    assert [(w.name, w.start) for w in first] == [(w.name, w.start) for w in windows[:30]]
    assert {window.name for window in first} == {"file_0", "file_1", "file_2"}


def test_bad_arguments_are_named(tokenizer, tmp_path):
    with pytest.raises(BadArgument, match="stride: 50 is less than length 96"):
        heldout_windows(heldout_corpus(1000), stride=50)
    with pytest.raises(BadArgument, match="length: 0"):
        heldout_windows(heldout_corpus(1000), length=0)
    with pytest.raises(BadArgument, match="kinds: 'novel' is none of"):
        build_corpus(tokenizer, kinds=("novel",))
    with pytest.raises(BadArgument, match="no document of the kinds"):
        build_corpus(tokenizer, kinds=("source",), library=tmp_path)
