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
from otspec.core.trace import FORMAT, Trace, _as_contexts, log_probabilities, probabilities


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


@pytest.mark.parametrize(("provenance", "origin"), [
    ({"target": "big", "draft": "small"}, ", big / small"), ({"target": "big"}, ""), ({"draft": "small"}, ""),
    ({"target": "", "draft": "small"}, ""), (None, "")])
def test_a_trace_tells_where_both_laws_come_from_or_nothing(provenance, origin):
    trace = Trace.from_laws(laws(2, 4, 0), laws(2, 4, 1), provenance=provenance)
    assert repr(trace) == f"Trace(2 contexts, V=4, draft_length=0{origin})"
    html = trace._repr_html_()
    assert "<th>tokens in the vocabulary</th><td>4</td>" in html
    for name in ("target", "draft"):
        assert (f"<th>{name}</th>" in html) == (name in trace.provenance)
    assert trace.provenance == (provenance or {"created_by": "Trace.from_laws"})
    assert repr(Trace([block_arrays()], {})) == "Trace(4 contexts, V=5, draft_length=2)"


def test_several_axes_of_an_index_are_those_of_the_laws(trace):
    index = np.array([[0, 3, -1], [2, 2, 6]])
    for part, whole in zip(trace.laws(index), (trace.target, trace.draft), strict=True):
        np.testing.assert_array_equal(part, whole[index])
    assert [part.shape for part in trace[2:2]] == [(0, 6), (0, 6)]


def test_prompts_are_the_contexts_without_padding():
    contexts = [[-1, -1, 0], [-1, 2, 0], [2**31 - 1, 1, 3]]
    trace = Trace.from_laws(laws(3, 4, 0), laws(3, 4, 1), contexts=contexts)
    assert trace.prompts == [[0], [2, 0], [2**31 - 1, 1, 3]]
    assert (trace.contexts.dtype, trace.contexts.tolist()) == (np.int32, contexts)
    bare = Trace.from_laws(laws(3, 4, 0), laws(3, 4, 1))
    assert bare.contexts is None
    with pytest.raises(BadArgument, match="trace: holds no contexts"):
        _ = bare.prompts
    for wrong in (-2, 2**31):
        with pytest.raises(BadArgument, match=f"contexts: run from {min(wrong, 0)} to {max(wrong, 0)}\\. Fix"):
            _as_contexts([[0, wrong]])
    assert _as_contexts(np.zeros((0, 3), np.uint64)).shape == (0, 3)
    assert _as_contexts(np.zeros((2, 0), int)).dtype == np.int32


def test_whole_laws_have_no_slack(trace):
    for part in (*trace.lost, trace.optimum_slack(2)):
        assert part.tolist() == [0.0] * 7


def test_the_slack_of_many_contexts_is_that_of_each(rng):
    law, tokens = rng.dirichlet(np.ones(5), (2, 37)), np.tile(np.arange(9), (2, 37, 1))
    ids = np.sort(rng.permuted(tokens, axis=-1)[..., :5])
    shards = [{f"{name}{part}": array[i, cut] for cut in [start] for i, name in enumerate(("target", "draft"))
               for part, array in (("", log_probabilities(law)), ("_ids", ids.astype(np.int32)),
                                   ("_lost", (law[..., 0] / 50).astype(np.float32)))}
              for start in (slice(0, 20), slice(20, 37))]
    trace = Trace(shards, {"vocab_size": 9})
    alone = [Trace([{name: array[i : i + 1] for name, array in shard.items()}], {"vocab_size": 9}).optimum_slack(2)[0]
             for shard in shards for i in range(len(shard["target"]))]
    assert trace.optimum_slack(2) == pytest.approx(alone, rel=1e-12)
    assert (trace.vocab_size, trace.target.shape) == (9, (37, 9))
    np.testing.assert_array_equal(trace.lost[1], np.concatenate([shard["draft_lost"] for shard in shards]))


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
    ({"format": "otspec-trace-0"}, "format 'otspec-trace-0'"), ({"format": None}, "'format'"),
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
    with pytest.raises(BadFile, match=r"^here: holds no context\. Fix: record at least one prompt"):
        Trace([], {}, source="here")
    good = laws(2, 4, 0)
    with pytest.raises(NotALaw, match="target"):
        Trace.from_laws(good * 2, good)
    with pytest.raises(ShapeMismatch, match="one row per context"):
        Trace.from_laws(good, good[:1])
    for wrong in (good[0], good[None]):
        with pytest.raises(ShapeMismatch, match="one row per context"):
            Trace.from_laws(wrong, wrong)
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


@pytest.mark.parametrize("row", [[-np.inf] * 3, [0.0, np.nan, 0.0], [0.0, np.inf, -np.inf]])
def test_a_row_without_a_law_is_refused(row):
    stored = np.zeros((2, 3), np.float16)
    stored[1] = row
    trace = Trace([{"target": stored, "draft": np.zeros((2, 3), np.float16)}], {})
    with pytest.raises(BadFile, match=r"^trace: target: a row holds NaN, \+inf or no possible token\. Fix"):
        trace.laws()
    assert trace.laws(0)[0].tolist() == [1 / 3] * 3


def test_logarithms_are_stored_as_they_are_asked_for_and_count_by_their_differences():
    law = np.array([[[0.25, 0.75, 0.0]], [[1.0, 0.0, 0.0]]])
    for dtype, tolerance in (("float16", 2**-10), ("float32", 2**-22), ("float64", 2**-42)):
        logs = log_probabilities(law, dtype)
        assert (logs.dtype, np.isneginf(logs).tolist()) == (dtype, (law == 0).tolist())
        np.testing.assert_allclose(probabilities(logs.astype(float) - 800.0), law, rtol=tolerance)
    np.testing.assert_array_equal(log_probabilities(law), log_probabilities(law, "float16"))
    for wrong in ("bfloat16", "double", None):
        with pytest.raises(BadArgument, match=r"^dtype: .* is not one of 'float16', 'float32', 'float64'"):
            log_probabilities(law, wrong)


def test_sizes_are_always_compared_and_contents_where_asked(trace, tmp_path):
    file = tmp_path / "t.safetensors"
    trace.save(file)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))
    assert Trace.load(file, verify=False).fingerprint == trace.fingerprint
    folder_of(tmp_path / "rec", [block_arrays(), block_arrays(3)])
    index = json.loads((tmp_path / "rec" / "index.json").read_text())
    for key, value, loads in (("sha256", "0" * 64, True), ("bytes", index["shards"][1]["bytes"] + 1, False)):
        shards = [index["shards"][0], index["shards"][1] | {key: value}]
        write_json(tmp_path / "rec" / "index.json", index | {"shards": shards})
        with pytest.raises(BadFile, match=r"shard-00001\.safetensors: truncated or altered since it was recorded"):
            Trace.load(tmp_path / "rec")
        if loads:
            assert len(Trace.load(tmp_path / "rec", verify=False)) == 7
        else:
            with pytest.raises(BadFile, match="truncated or altered"):
                Trace.load(tmp_path / "rec", verify=False)
    write_json(tmp_path / "rec" / "index.json", {key: index[key] for key in index if key != "fingerprint"})
    with pytest.raises(BadFile, match="an unfinished recording, 7 of 7 contexts"):
        Trace.load(tmp_path / "rec")


def test_import_stays_cheap():
    code = "import otspec.core.trace, sys; print({'torch', 'safetensors', 'transformers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
