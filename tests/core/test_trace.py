"""Traces: the stored law is the law, files come back as they went, and damage is refused by name."""

import json
import subprocess
import sys

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile, NotALaw, ShapeMismatch
from otspec.core.files import sha256, write_json
from otspec.core.laws import temper, truncate
from otspec.core.storage import write_arrays
from otspec.core.trace import FORMAT, Trace, _as_contexts, log_probabilities


def laws(n, size, seed):
    return np.random.default_rng(seed).dirichlet(np.full(size, 0.3), n)


@pytest.fixture
def trace():
    contexts = np.arange(7 * 3).reshape(7, 3)
    return Trace.from_laws(laws(7, 6, 0), laws(7, 6, 1), contexts=contexts, provenance={"target": "a", "draft": "b"})


def block_arrays(n=4, length=2, size=5):
    rng = np.random.default_rng(3)
    stored = {name: log_probabilities(rng.dirichlet(np.ones(size), (n, rows)))
              for name, rows in (("target_rows", length + 1), ("draft_rows", length))}
    return stored | {"tokens": rng.integers(0, size, (n, length)).astype(np.int32)}


def folder_of(path, shards):
    path.mkdir()
    entries = []
    for number, shard in enumerate(shards):
        file = path / f"shard-{number:05d}.safetensors"
        write_arrays(file, [shard], {"format": FORMAT})
        entries.append({"file": file.name, "contexts": len(shard["tokens"]), "bytes": file.stat().st_size,
                        "sha256": sha256(file)})
    whole = Trace(shards, {"target": "a"})
    write_json(path / "index.json", {
        "format": FORMAT, "contexts": len(whole), "provenance": {"target": "a"}, "transforms": [], "shards": entries,
        "fingerprint": whole.fingerprint})
    return whole


def test_half_precision_is_close_and_normalised(trace):
    target, draft = trace.laws()
    assert target.dtype == draft.dtype == np.float64
    # half precision keeps 11 bits of a log-probability; those here are below 64 in size
    np.testing.assert_allclose(target, laws(7, 6, 0), rtol=64 * 2**-11)
    np.testing.assert_allclose(target.sum(axis=-1), 1, rtol=6 * 2**-52)  # V additions


def test_double_precision_returns_the_given_law():
    law = laws(5, 9, 4)
    trace = Trace.from_laws(law, law[::-1], dtype="float64")
    np.testing.assert_allclose(trace.target, law, rtol=1e-14)  # a logarithm and an exponential of at most 32


def test_impossible_tokens_stay_impossible():
    trace = Trace.from_laws([[0.5, 0.0, 0.5]], [[0.0, 0.0, 1.0]])
    assert trace.target.tolist() == [[0.5, 0, 0.5]]
    assert trace.draft.tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("index", [slice(None), slice(2, 5), slice(None, None, -2), 3, -1, np.array([4, 0, 4])])
def test_indexing_is_numpy_indexing(trace, index):
    for part, whole in zip(trace[index], (trace.target, trace.draft), strict=True):
        np.testing.assert_array_equal(part, whole[index])


def test_length_iteration_contexts_and_description(trace):
    assert (len(trace), trace.vocab_size, trace.draft_length) == (7, 6, 0)
    assert trace.contexts.dtype == np.int32
    assert trace.contexts.tolist() == np.arange(21).reshape(7, 3).tolist()
    assert [t.tolist() for t, _ in trace] == trace.target.tolist()
    assert "7 contexts" in repr(trace)
    with pytest.raises(IndexError):
        trace[7]


def test_file_round_trip_is_exact_and_mapped(trace, tmp_path):
    file = tmp_path / "t.safetensors"
    trace.save(file)
    again = Trace.load(file)
    np.testing.assert_array_equal(again.target, trace.target)
    np.testing.assert_array_equal(again.contexts, trace.contexts)
    assert again.fingerprint == trace.fingerprint
    assert again.provenance == trace.provenance
    assert isinstance(again._shards[0]["target"], np.memmap)
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]


def test_the_safetensors_library_reads_our_file(trace, tmp_path):
    numpy_reader = pytest.importorskip("safetensors.numpy")
    trace.save(tmp_path / "t.safetensors")
    arrays = numpy_reader.load_file(tmp_path / "t.safetensors")
    assert {name: (str(a.dtype), a.shape) for name, a in arrays.items()} == {
        "target": ("float16", (7, 6)), "draft": ("float16", (7, 6)), "contexts": ("int32", (7, 3))}
    np.testing.assert_array_equal(arrays["draft"], trace._shards[0]["draft"])


def test_we_read_what_the_library_reads_only(trace, tmp_path):
    numpy_writer = pytest.importorskip("safetensors.numpy")
    numpy_writer.save_file({"weights": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(BadFile, match="no otspec trace"):
        Trace.load(tmp_path / "model.safetensors")


def test_shards_read_like_one_trace(tmp_path):
    shards = [block_arrays(), {name: a[:1] for name, a in block_arrays().items()}, block_arrays()]
    whole = folder_of(tmp_path / "rec", shards)
    loaded = Trace.load(tmp_path / "rec")
    joined = {name: np.concatenate([shard[name] for shard in shards]) for name in shards[0]}
    one = Trace([joined], {"target": "a"})
    assert loaded.fingerprint == whole.fingerprint == one.fingerprint
    for index in (slice(None), slice(3, 6), 4, np.array([8, 0, 4])):
        for a, b in zip(loaded.rows(index), one.rows(index), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.target, one.rows()[0][:, 0])
    np.testing.assert_array_equal(loaded.draft, one.rows()[1][:, 0])
    assert loaded.draft_length == 2


@pytest.mark.parametrize("cut", [0, 4, 100, -1])
def test_truncated_file_is_refused(trace, tmp_path, cut):
    file = tmp_path / "t.safetensors"
    trace.save(file)
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BadFile, match=r"t\.safetensors.*Fix"):
        Trace.load(file, verify=False)


@pytest.mark.parametrize("where", ["law", "provenance", "header"])
def test_altered_file_is_refused(trace, tmp_path, where):
    file = tmp_path / "t.safetensors"
    trace.save(file)
    data = bytearray(file.read_bytes())
    place = {"law": len(data) - 3, "provenance": data.index(b'\\"a\\"') + 2, "header": data.index(b"transforms") + 1}
    data[place[where]] ^= 1
    file.write_bytes(bytes(data))
    with pytest.raises(BadFile, match=r"t\.safetensors: altered"):
        Trace.load(file)


def test_altered_and_missing_shards_are_named(tmp_path):
    folder_of(tmp_path / "rec", [block_arrays(), block_arrays(3)])
    second = tmp_path / "rec" / "shard-00001.safetensors"
    data = bytearray(second.read_bytes())
    data[-1] ^= 1
    second.write_bytes(bytes(data))
    with pytest.raises(BadFile, match=r"shard-00001.*altered"):
        Trace.load(tmp_path / "rec")
    second.unlink()
    with pytest.raises(BadFile, match=r"shard-00001.*no such file"):
        Trace.load(tmp_path / "rec")


def test_unfinished_and_foreign_folders_are_refused(tmp_path):
    folder_of(tmp_path / "rec", [block_arrays()])
    index = json.loads((tmp_path / "rec" / "index.json").read_text())
    write_json(tmp_path / "rec" / "index.json", index | {"contexts": 9})
    with pytest.raises(BadFile, match="unfinished recording, 4 of 9"):
        Trace.load(tmp_path / "rec")
    with pytest.raises(BadFile, match=r"no index\.json"):
        Trace.load(tmp_path)
    (tmp_path / "index.json").write_text("[1")
    with pytest.raises(BadFile, match="not the index"):
        Trace.load(tmp_path)
    with pytest.raises(BadFile, match="no such file"):
        Trace.load(tmp_path / "absent.safetensors")


@pytest.mark.parametrize(("change", "named"), [
    ({"contexts": None}, "'contexts'"), ({"contexts": "4"}, "int 'contexts'"), ({"provenance": []}, "'provenance'"),
    ({"shards": None}, "'shards'"), ({"shards": ["shard-00000.safetensors"]}, "'file'"),
    ({"shards": [{"file": "shard-00000.safetensors", "contexts": 4, "bytes": 1}]}, "'sha256'"),
    ({"transforms": [{"colour": 1}]}, "unknown transforms"), ({"fingerprint": 5}, "str 'fingerprint'")])
def test_an_index_without_what_it_needs_is_refused(tmp_path, change, named):
    folder_of(tmp_path / "rec", [block_arrays()])
    file = tmp_path / "rec" / "index.json"
    index = json.loads(file.read_text()) | change
    write_json(file, {key: value for key, value in index.items() if value is not None})
    with pytest.raises(BadFile, match=rf"rec/index\.json: not the index of a recording .*{named}.*Fix: copy"):
        Trace.load(tmp_path / "rec", verify=False)


def test_transforms_are_lazy_and_survive_saving(trace, tmp_path):
    cold = trace.with_temperature(0.5).truncated(top_k=3, top_p=0.9)
    expected = truncate(temper(trace.target, 0.5), top_k=3, top_p=0.9)
    np.testing.assert_allclose(cold.target, expected, atol=1e-15)  # the same operations on the same numbers
    assert cold.fingerprint != trace.fingerprint
    cold.save(tmp_path / "c.safetensors")
    np.testing.assert_array_equal(Trace.load(tmp_path / "c.safetensors").draft, cold.draft)
    assert set(np.unique(trace.with_temperature(0).target)) == {0.0, 1.0}


def test_rows_are_refused_where_tokens_do_not_follow_the_law(trace):
    with pytest.raises(BadArgument, match="draft_length"):
        trace.rows()
    blocks = Trace([block_arrays()], {})
    assert [a.shape for a in blocks.rows()] == [(4, 3, 5), (4, 2, 5), (4, 2)]
    assert [a.shape for a in blocks.rows(2)] == [(3, 5), (2, 5), (2,)]
    with pytest.raises(BadArgument, match="do not follow"):
        blocks.with_temperature(0.5).rows()


def test_bad_arguments():
    good = laws(2, 4, 0)
    with pytest.raises(NotALaw, match="target"):
        Trace.from_laws(good * 2, good)
    with pytest.raises(ShapeMismatch, match="one row per context"):
        Trace.from_laws(good, good[:1])
    with pytest.raises(ShapeMismatch, match="one row per context"):
        Trace.from_laws(good[0], good[0])
    with pytest.raises(BadFile, match="different or no length"):
        Trace.from_laws(good, good, contexts=[[1, 2]])
    with pytest.raises(BadArgument, match="dtype"):
        Trace.from_laws(good, good, dtype="bfloat16")
    trace = Trace.from_laws(good, good)
    for call in (lambda: trace.with_temperature(-1), lambda: trace.with_temperature(float("nan")),
                 lambda: trace.truncated(top_k=0), lambda: trace.truncated(top_p=0.0), lambda: trace.save("trace.npz")):
        with pytest.raises(BadArgument):
            call()


@pytest.mark.parametrize("contexts", [np.zeros((2, 3)), np.zeros(6, dtype=int), np.zeros((1, 2, 3), dtype=int)])
def test_contexts_of_another_kind_are_refused(contexts):
    with pytest.raises(ShapeMismatch, match=r"contexts: (int64|float64) of shape .*Fix: whole numbers \[n T\]"):
        _as_contexts(contexts)


def test_a_row_without_mass_is_refused():
    stored = np.full((1, 3), -np.inf, np.float16)
    with pytest.raises(BadFile, match="no possible token"):
        Trace([{"target": stored, "draft": np.zeros((1, 3), np.float16)}], {}).laws()


def test_import_stays_cheap():
    code = "import otspec.core.trace, sys; print({'torch', 'safetensors', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
