"""A sweep's numbers do not depend on who does it, in which order, or how often it was stopped."""

import multiprocessing
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from otspec.core.errors import BadArgument, BadFile, NotALaw, SchemeMismatch, WorkFailed
from otspec.core.schemes import WithReplacement
from otspec.decode.loop import generate
from otspec.decode.sweep import Sweep, decode_sweep
from otspec.decode.sweep.shards import Shards
from otspec.decode.sweep.work import Task, decode
from otspec.decode.workers.models import Front, Recipe, known_of
from tests.decode.sweep import small


def test_a_sweep_equals_single_runs(models, whole):
    sweep = Sweep.load(whole)
    pair = small.load(models)
    assert len(sweep) == 6
    for number, setting in enumerate(sweep.settings):
        names = ("verifier", "draft_length", "max_new_tokens", "seed")
        alone = generate(pair, small.PROMPTS, **{name: setting[name] for name in names})
        run = sweep.run(number)
        assert run.tokens == alone.tokens
        np.testing.assert_array_equal(run.accepted, alone.accepted)
        np.testing.assert_allclose(run.predicted, alone.predicted, atol=1e-9)  # float64 models, sums over 64 tokens
    # prompts are told apart by their number in the whole list, not in the shard
    same = generate(pair, small.PROMPTS[3:6], verifier="block", draft_length=1, max_new_tokens=9, seed=4)
    assert same.tokens != sweep.run(0).tokens[3:6]


def test_threads_give_the_same_bytes(models, whole, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        small.sweep(small.load(models), tmp_path, executor=pool)
    assert small.numbers(tmp_path) == small.numbers(whole)


def test_processes_load_the_models_of_a_pair_and_a_broken_pool_loses_nothing(models, whole, tmp_path, monkeypatch):
    write, killed = Shards.write, []

    def kill_the_worker(self, unit, done):
        write(self, unit, done)
        if not killed:
            killed.extend(pool._processes)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(Shards, "write", kill_the_worker)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool, \
            pytest.raises(WorkFailed, match=r"its workers died .* run the same sweep again; it goes on"):
        small.sweep(small.load(models), tmp_path, executor=pool)
    monkeypatch.undo()
    done = small.numbers(tmp_path)
    assert 1 <= len(small.notes(tmp_path)) < small.UNITS
    small.sweep(models, tmp_path)
    assert done.items() <= small.numbers(tmp_path).items()
    assert small.numbers(tmp_path) == small.numbers(whole)


@pytest.mark.parametrize("pool", [None, "threads"])
def test_an_interrupt_keeps_what_is_done(models, whole, tmp_path, monkeypatch, pool):
    write, written = Shards.write, []

    def interrupted(self, unit, done):
        if len(written) == 3:
            written.append(None)
            raise KeyboardInterrupt
        write(self, unit, done)
        written.append(unit)

    monkeypatch.setattr(Shards, "write", interrupted)
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(KeyboardInterrupt):
            small.sweep(models, tmp_path, executor=threads if pool else None)
        kept = len(small.notes(tmp_path))
        assert 3 <= kept < small.UNITS
        small.sweep(models, tmp_path, executor=threads if pool else None)
    assert small.numbers(tmp_path) == small.numbers(whole)


@pytest.mark.parametrize("pool", [None, "threads"])
def test_a_unit_that_fails_does_not_stop_the_others(models, whole, tmp_path, monkeypatch, pool):
    def failing(pair, task):
        if task.first == 3:
            raise NotALaw("target model: row 1: nan.")
        return decode(pair, task)

    monkeypatch.setattr("otspec.decode.sweep.run.decode", failing)
    with ThreadPoolExecutor(1) as threads, pytest.raises(NotALaw, match="row 1") as caught:
        small.sweep(models, tmp_path, executor=threads if pool else None)
    assert "Unit(setting=0, first=3, count=3), 6 in all failed" in caught.value.__notes__[-1]
    assert small.numbers(tmp_path) == {n: b for n, b in small.numbers(whole).items() if "/00000003" not in n}


def test_a_finished_sweep_loads_nothing_anew(models, whole, monkeypatch):
    monkeypatch.setattr("otspec.decode.sweep.run.decode", None)
    assert small.sweep(models, whole).run(0).tokens == Sweep.load(whole).run(0).tokens


def test_the_table(whole):
    sweep = Sweep.load(whole)
    table = sweep.to_table()
    assert table.columns[:5] == ["setting", "verifier", "draft_length", "max_new_tokens", "seed"]
    assert table.column("verifier") == ["block", "block", "k_seq", "k_seq", "gumbel", "gumbel"]
    run = sweep.run(3)
    row = table.rows[3]
    assert row["tokens_per_call"] == run.block_efficiency.mean
    assert row["difference"] == run.difference.mean
    assert row["target_calls"] == run.rounds.sum()
    assert row["tokens"] == sum(map(len, run.tokens))
    parts = [row[f"{part}_seconds"] for part in ("draft", "target", "rule", "prediction", "bookkeeping")]
    assert sum(parts) == pytest.approx(row["seconds"])
    assert min(parts[:3]) > 0
    profile = sweep.profile().where(setting=3)
    assert profile.column("unconditional") == run.profile().column("unconditional")
    with pytest.raises(BadArgument, match="none of 0 to 5"):
        sweep.run(6)


def test_one_prompt_has_no_standard_error(models, tmp_path):
    sweep = decode_sweep(models, [[1, 2]], {"max_new_tokens": 4, "predict": False}, out=tmp_path, progress=False)
    row = sweep.to_table().rows[0]
    run = sweep.run(0)
    assert row["tokens_per_call"] == pytest.approx(1 + run.accepted.sum() / run.rounds.sum())
    assert (row["stderr"], row["predicted"]) == (None, None)


@pytest.mark.parametrize(("change", "said"), [
    ({"grid": {**small.GRID, "seed": 5}}, "seed of setting 0 is 4 there, 5 here"),
    ({"grid": {**small.GRID, "draft_length": 1}}, "number of settings is 6 there, 3 here"),
    ({"shard_size": 4}, "shard_size is 3 there, 4 here"),
    ({"threads": 2}, "threads is 1 there, 2 here"),
    ({"prompts": small.PROMPTS[::-1]}, "prompts_sha256"),
])
def test_another_request_is_refused(models, whole, change, said):
    request = {"prompts": small.PROMPTS, "grid": small.GRID, "shard_size": small.SHARD} | change
    with pytest.raises(BadFile, match=said):
        decode_sweep(models, out=whole, progress=False, **request)


def test_other_weights_are_refused(models, whole):
    with pytest.raises(BadFile, match="holds another sweep"):
        small.sweep(models | {"draft": models["target"]}, whole)


def test_models_that_were_changed_in_memory_are_refused(models, whole, tmp_path):
    pair = small.load(models)
    pair.target.model.norm.weight.mul_(2)
    with pytest.raises(BadFile, match=r"weights is .* where earlier shards were made"):
        small.sweep(pair, whole)
    with pytest.raises(BadFile, match="dtype is 'float32' here"):
        small.sweep(models | {"dtype": "float32"}, whole)
    task = Task({"max_new_tokens": 1}, [[1]], 0, None, known_of(pair), 1)
    with pytest.raises(BadArgument, match="weights of the models that a worker loads"):
        decode(small.load(models), task)


@pytest.mark.parametrize("given", [{}, {"draft": "skip:0"}, {"name": "pocket-small", "target": None, "draft": None}])
def test_a_pair_is_known_without_its_weights(models, given):
    recipe = Recipe.of(models | given)
    known, pair = Front.of(recipe), recipe.load()
    for name in ("target_name", "draft_name", "vocab_size", "fingerprint"):
        assert getattr(known, name) == getattr(pair, name)
    if pair.tokenizer is not None:
        assert known.encode("import os") == pair.encode("import os")
    assert Recipe.of(pair).load().fingerprint == pair.fingerprint


def test_a_folder_with_other_files_is_left_alone(models, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(BadFile, match="no sweep"):
        small.sweep(models, tmp_path)
    with pytest.raises(BadFile, match="holds no sweep"):
        Sweep.load(tmp_path)
    with pytest.raises(BadFile, match="a file, not a folder"):
        small.sweep(models, tmp_path / "thesis.txt")


def test_an_altered_shard_is_refused(models, tmp_path):
    settings = {"verifier": "block", "max_new_tokens": 2}
    decode_sweep(models, small.PROMPTS, settings, out=tmp_path, progress=False)
    file = tmp_path / "0000" / "00000000.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BadFile, match="altered"):
        decode_sweep(models, small.PROMPTS, settings, out=tmp_path, progress=False)
    with pytest.raises(BadFile, match="altered"):
        Sweep.load(tmp_path)


@pytest.mark.parametrize(("grid", "error", "said"), [
    ({"verifier": "block", "scheme": [1, WithReplacement(2)]}, SchemeMismatch, "setting 1 of the sweep"),
    ({"temperature": [1.0, -1.0]}, BadArgument, "setting 1 of the sweep"),
])
def test_bad_settings_are_named_before_anything_is_written(models, tmp_path, grid, error, said):
    with pytest.raises(error) as caught:
        decode_sweep(models, small.PROMPTS, grid, out=tmp_path / "new", progress=False)
    assert any(said in note for note in caught.value.__notes__)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(("change", "said"), [
    ({"retries": -1}, "retries"), ({"shard_size": 0}, "shard_size"), ({"threads": 0}, "threads"),
    ({"executor": 3}, "executor"), ({"pair": 7}, "pair"), ({"pair": {"model": "x"}}, "model"),
    ({"prompts": [[99]]}, "prompts"), ({"grid": []}, "grid"),
])
def test_bad_arguments(models, tmp_path, change, said):
    request = {"pair": models, "prompts": small.PROMPTS, "grid": small.GRID, "out": tmp_path / "new"} | change
    with pytest.raises(BadArgument, match=said):
        decode_sweep(**request, progress=False)
    assert not (tmp_path / "new").exists()
