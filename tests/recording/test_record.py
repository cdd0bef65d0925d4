"""Recordings: the right laws, resumable, and never mixed with another recording."""

import hashlib
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, BadFile, NotALaw, UnknownName, VersionWarning
from otspec.core.laws import draw, total_variation
from otspec.core.trace import Trace
from otspec.decode.models import POCKET, load_pair
from otspec.decode.streams import streams
from otspec.recording import record as module
from otspec.recording.record import load_trace, record
from tests.decode import tiny

PROMPTS = [[1, 2, 3], [4], [5, 6], [7, 8, 9, 10], [11, 12]]
STORED = 64 * 2**-11  # half precision keeps 11 bits of a log-probability, those here are below 64 in size


@pytest.fixture(scope="module")
def pair():
    return tiny.pair(size=16)


def interrupt_after(monkeypatch, calls, error=KeyboardInterrupt):
    """Let the recording be interrupted at a batch; return the starts of the batches that were computed."""
    real, starts = module._record_batch, []

    def limited(pair, texts, first, *rest):
        if len(starts) == calls:
            raise error
        starts.append(first)
        return real(pair, texts, first, *rest)

    monkeypatch.setattr(module, "_record_batch", limited)
    return starts


@pytest.mark.parametrize("batch_size", [1, 2, None])
def test_laws_after_prompts(pair, batch_size):
    trace = record(pair, PROMPTS, temperature=0.9, top_k=12, batch_size=batch_size)
    for which in ("target", "draft"):
        exact = np.array([tiny.law(getattr(pair, which), prompt, temperature=0.9, top_k=12) for prompt in PROMPTS])
        np.testing.assert_allclose(getattr(trace, which), exact, rtol=STORED)
    assert trace.prompts == PROMPTS
    assert trace.contexts[1].tolist() == [-1, -1, -1, 4]
    assert trace.provenance["fingerprint"] == pair.fingerprint


def test_stride_records_prefixes(pair):
    trace = record(pair, [[1, 2, 3, 4, 5], [6]], positions=2)
    assert trace.prompts == [[1], [1, 2, 3], [1, 2, 3, 4, 5], [6]]
    np.testing.assert_allclose(trace.target[1], tiny.law(pair.target, [1, 2, 3]), rtol=STORED)


def test_rows_along_blocks(pair):
    trace = record(pair, PROMPTS, draft_length=3, seed=4, batch_size=2)
    target_rows, draft_rows, tokens = trace.rows()
    assert target_rows.shape == (5, 4, 16)
    for i, prompt in enumerate(PROMPTS):
        uniforms = streams(4, i, 1)[0].random(3)
        block = []
        for depth in range(3):
            law = tiny.law(pair.draft, prompt + block)
            block.append(int(draw(law, uniforms[depth])))
            np.testing.assert_allclose(draft_rows[i, depth], law, rtol=STORED)
        assert tokens[i].tolist() == block
        np.testing.assert_allclose(target_rows[i], tiny.laws_along(pair.target, prompt, block), rtol=STORED)
    np.testing.assert_array_equal(trace.target, target_rows[:, 0])


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("out", ["folder", "file.safetensors"])
def test_interrupted_recording_resumes(pair, tmp_path, monkeypatch, error, out):
    request = {"out": tmp_path / out, "batch_size": 1, "draft_length": 2}
    whole = record(pair, PROMPTS, draft_length=2, batch_size=1)
    with monkeypatch.context() as patch:
        starts = interrupt_after(patch, 3, error)
        with pytest.raises(error):
            record(pair, PROMPTS, **request)
    assert starts == [0, 1, 2]
    folder = (tmp_path / out).with_suffix(".parts") if "." in out else tmp_path / out
    with pytest.raises(BadFile, match="unfinished recording, 3 of 5"):
        Trace.load(folder)
    starts = interrupt_after(monkeypatch, 9)
    resumed = record(pair, PROMPTS, **request)
    assert starts == [3, 4]  # nothing is computed twice
    assert resumed.fingerprint == whole.fingerprint
    assert record(pair, PROMPTS, **request).fingerprint == whole.fingerprint
    assert starts == [3, 4]
    assert [path.name for path in tmp_path.iterdir()] == [out]


def test_small_shards_are_one_trace(pair, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 1)
    trace = record(pair, PROMPTS, out=tmp_path / "r", batch_size=2)
    assert len(list((tmp_path / "r").glob("shard-*.safetensors"))) == 3
    assert trace.fingerprint == record(pair, PROMPTS).fingerprint


@pytest.mark.parametrize("other", [{"temperature": 0.5}, {"seed": 1}, {"draft_length": 1}, {"prompts": PROMPTS[:4]},
                                   {"pair": "other"}])
@pytest.mark.parametrize("out", ["folder", "file.safetensors"])
def test_another_request_is_refused(pair, tmp_path, out, other):
    kept = record(pair, PROMPTS, out=tmp_path / out)
    other = {"pair": pair, "prompts": PROMPTS} | other
    if other["pair"] == "other":
        other["pair"] = tiny.pair(size=16, draft=5)
    with pytest.raises(BadFile, match="holds another recording"):
        record(other.pop("pair"), other.pop("prompts"), out=tmp_path / out, **other)
    assert Trace.load(tmp_path / out).fingerprint == kept.fingerprint


def test_foreign_places_are_refused(pair, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadFile, match="holds files but no recording"):
        record(pair, PROMPTS, out=tmp_path)
    with pytest.raises(BadFile, match="a file, not a folder"):
        record(pair, PROMPTS, out=tmp_path / "notes.txt")
    (tmp_path / "m.safetensors").write_bytes(b"no trace")
    with pytest.raises(BadFile, match="no safetensors file"):
        record(pair, PROMPTS, out=tmp_path / "m.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors", "notes.txt"]


def test_a_damaged_recording_is_not_gone_on_with(pair, tmp_path):
    record(pair, PROMPTS, out=tmp_path / "r")
    (tmp_path / "r" / "index.json").write_text('{"format": "otspec-trace-1"}')
    with pytest.raises(BadFile, match=r"r/index\.json: not the index of a recording .*provenance.* Fix: copy"):
        record(pair, PROMPTS, out=tmp_path / "r")


def test_bad_arguments_leave_nothing_behind(pair, tmp_path):
    for bad, match in (({"draft_length": -1}, "draft_length"), ({"temperature": -1}, "temperature"),
                       ({"positions": "all"}, "positions"), ({"positions": 0}, "positions"), ({"seed": -1}, "seed"),
                       ({"batch_size": 0}, "batch_size"), ({"draft_length": 300}, "256 positions")):
        with pytest.raises(BadArgument, match=match):
            record(pair, PROMPTS, out=tmp_path / "r", **bad)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("given", "says"), [
    ({"draft_length": 2, "temperature": "x"}, "temperature: 'x'"), ({"temperature": -1}, "temperature: -1"),
    ({"draft_length": "2"}, "draft_length: '2'"), ({"draft_length": -1}, "draft_length: -1")])
def test_bad_arguments_of_the_bundled_trace(given, says):
    with pytest.raises(BadArgument, match=says):
        load_trace("pocket", **given)
    with pytest.raises(UnknownName, match="draft: "):
        load_trace("pocket", draft=["draft"])


def test_logits_without_a_law_are_refused():
    pair = tiny.pair(size=16, draft=8)
    with tiny.banning_everything(pair.draft), pytest.raises(NotALaw, match=r"draft model.*-inf everywhere"):
        record(pair, PROMPTS)


def test_the_bundled_trace_belongs_to_the_bundled_weights():
    trace = load_trace("pocket")
    assert (len(trace), trace.vocab_size, trace.contexts.shape) == (512, 2048, (512, 96))
    assert module.POCKET_TRACE.stat().st_size <= 6e6
    pair = load_pair("pocket", device="cpu")
    assert trace.provenance["fingerprint"] == pair.fingerprint
    again = record(pair, trace.prompts[:3])
    assert total_variation(again.target, trace.target[:3]).max() < STORED
    assert total_variation(again.draft, trace.draft[:3]).max() < STORED
    cold = load_trace("pocket", temperature=0.5)
    np.testing.assert_array_equal(cold.target[:2], trace.with_temperature(0.5).target[:2])


def test_other_pocket_recordings_are_made_once(tmp_path, monkeypatch):
    few = load_trace("pocket").prompts[:4]
    record(load_pair("pocket", device="cpu"), few).save(tmp_path / "few.safetensors")
    monkeypatch.setattr(module, "POCKET_TRACE", tmp_path / "few.safetensors")
    monkeypatch.setenv("OTSPEC_CACHE", str(tmp_path / "cache"))
    blocks = load_trace("pocket", draft_length=2)
    assert [a.shape for a in blocks.rows()] == [(4, 3, 2048), (4, 2, 2048), (4, 2)]
    small = load_trace("pocket", draft="draft-small")
    assert small.prompts == few
    assert total_variation(small.draft, blocks.draft).min() > 0.01
    assert total_variation(small.target, blocks.target).max() < STORED
    monkeypatch.setattr(module, "load_pair", None)
    assert load_trace("pocket", draft_length=2).fingerprint == blocks.fingerprint
    assert load_trace("pocket", draft="draft-small", temperature=0).target.max() == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2
    with pytest.raises(UnknownName, match="draft-small"):
        load_trace("pocket", draft="tiny")
    with pytest.raises(BadArgument, match="pocket pair only"):
        load_trace(tmp_path / "few.safetensors", draft_length=2)
    assert len(load_trace(tmp_path / "few.safetensors")) == 4


def test_cache_folder(monkeypatch, tmp_path):
    monkeypatch.delenv("OTSPEC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.cache_folder() == tmp_path / "otspec"


def test_prompts_are_named_by_their_tokens(pair):
    trace = record(pair, PROMPTS)
    assert trace.provenance["prompts_sha256"] == hashlib.sha256(json.dumps(PROMPTS).encode()).hexdigest()
    assert str(POCKET) not in json.dumps(trace.provenance)


def test_an_interrupt_changes_no_bit_of_float32_laws(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "log_probabilities", lambda law: np.log(law))  # nothing hidden by half precision
    prompts = np.random.default_rng(0).integers(0, 64, (11, 9)).tolist()
    pair = single_precision()
    for blocks in (0, 2):
        whole = record(pair, prompts, out=tmp_path / f"whole{blocks}", batch_size=3, draft_length=blocks)
        for after in (1, 2, 3):
            out = tmp_path / f"cut{blocks}{after}"
            with monkeypatch.context() as patch:
                interrupt_after(patch, after)
                with pytest.raises(KeyboardInterrupt):
                    record(pair, prompts, out=out, batch_size=3, draft_length=blocks)
            again = record(pair, prompts, out=out, batch_size=3, draft_length=blocks)
            assert again.fingerprint == whole.fingerprint  # SHA-256 over every bit


def test_batches_are_cut_by_the_request_wherever_it_goes_on():
    assert list(module._batches(0, 10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(module._batches(4, 10, 4)) == [(4, 8), (8, 10)]
    assert list(module._batches(3, 10, 4)) == [(3, 4), (4, 8), (8, 10)]  # from a run with another batch size
    assert list(module._batches(10, 10, 4)) == []


def single_precision():
    pair = tiny.pair()
    return replace(pair, target=pair.target.float(), draft=pair.draft.float())


def change_window(pair):
    pair.target.config.sliding_window = 100


def change_rotary_scaling(pair):
    pair.draft.config.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4}


def change_epsilon(pair):
    pair.target.config.rms_norm_eps = 0.1


def change_precision(pair):
    pair.draft.float()


def change_attention(pair):
    pair.target.set_attn_implementation("eager")


def change_weights(pair):
    next(pair.draft.parameters()).mul_(2)


@pytest.mark.parametrize(("change", "key"), [
    (change_window, "configuration"), (change_rotary_scaling, "configuration"), (change_epsilon, "configuration"),
    (change_precision, "dtype"), (change_attention, "attention"), (change_weights, "weights")])
@pytest.mark.parametrize("out", ["folder", "file.safetensors"])
def test_models_changed_in_memory_are_another_recording(tmp_path, out, change, key):
    pair = tiny.pair(size=16)
    kept = record(pair, PROMPTS, out=tmp_path / out)
    change(pair)
    with pytest.raises(BadFile, match=f"holds another recording: {key} is"):
        record(pair, PROMPTS, out=tmp_path / out)
    assert record(tiny.pair(size=16), PROMPTS, out=tmp_path / out).fingerprint == kept.fingerprint


def test_a_recording_that_does_not_say_its_configuration_is_refused(pair, tmp_path):
    record(pair, PROMPTS, out=tmp_path / "r")
    index = json.loads((tmp_path / "r" / "index.json").read_text())
    del index["provenance"]["configuration"]
    (tmp_path / "r" / "index.json").write_text(json.dumps(index))
    with pytest.raises(BadFile, match="does not say its configuration"):
        record(pair, PROMPTS, out=tmp_path / "r")


@pytest.mark.parametrize(("old", "warns"), [("1.13.1", True), ("2.0.0+cu118", False), ("2.99", False)])
def test_only_other_major_versions_warn(pair, tmp_path, old, warns):
    kept = record(pair, PROMPTS, out=tmp_path / "r", batch_size=2)
    index = json.loads((tmp_path / "r" / "index.json").read_text())
    index["provenance"]["versions"]["torch"] = old
    index["provenance"]["created_by"] = "otspec 0.0.9 record"
    del index["fingerprint"]
    (tmp_path / "r" / "index.json").write_text(json.dumps(index))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        again = record(pair, PROMPTS, out=tmp_path / "r", batch_size=2)
    assert [one.category for one in seen] == [VersionWarning] * warns
    assert all(f"torch {old} (now 2." in str(one.message) for one in seen)
    np.testing.assert_array_equal(again.target, kept.target)


def test_the_bundled_trace_is_the_pocket_pairs_by_name_and_by_folder():
    by_folder = load_pair(target=POCKET / "target", draft=POCKET / "draft", device="cpu")
    assert by_folder.fingerprint == load_trace("pocket").provenance["fingerprint"]


def test_a_recording_of_the_largest_masses(tmp_path):
    pocket, prompts = load_pair("pocket", device="cpu"), [[5, 6, 7], [8, 9]]
    whole = record(pocket, prompts, progress=False)
    short = record(pocket, prompts, out=tmp_path / "short", keep=64, progress=False)
    assert (short.vocab_size, short.shortened, whole.shortened) == (2048, True, False)
    for mine, theirs, lost in zip(short.laws(), whole.laws(), short.lost, strict=True):
        # the whole trace is itself rounded to half precision: by a factor of exp(2**-11 * 20) at most
        assert np.allclose(0.5 * np.abs(mine - theirs).sum(-1), lost, atol=0.01)
        assert (lost < 0.5).all()
    for keep in (32, None):
        with pytest.raises(BadFile, match=rf"keep is 64 there, {keep} here"):
            record(pocket, prompts, out=tmp_path / "short", keep=keep, progress=False)
    with pytest.raises(BadArgument, match="whose tokens are drawn from whole laws"):
        record(pocket, prompts, keep=64, draft_length=2, progress=False)
