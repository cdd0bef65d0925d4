"""Recording on executors gives the recording."""

import functools
import os
import signal
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from otspec.core.errors import BadArgument, WorkFailed  # noqa: E402
from otspec.core.files import sha256  # noqa: E402
from otspec.decode import record as module  # noqa: E402
from otspec.decode.record import record  # noqa: E402
from otspec.decode.workers import drive  # noqa: E402
from tests.decode.sweep import small  # noqa: E402

record = functools.partial(record, draft_length=2, batch_size=2, seed=3, progress=False)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return small.load(small.folders(tmp_path_factory.mktemp("models")))


@pytest.fixture(scope="module")
def whole(pair, tmp_path_factory):
    out = tmp_path_factory.mktemp("traces") / "whole.safetensors"
    record(pair, small.PROMPTS, out=out)
    return sha256(out)


@pytest.mark.parametrize("ahead", [1, 2, 32])
def test_threads_record_the_same(pair, whole, tmp_path, monkeypatch, ahead):
    monkeypatch.setattr(drive, "AHEAD", ahead)
    with ThreadPoolExecutor(2) as pool:
        record(pair, small.PROMPTS, out=tmp_path / "a.safetensors", executor=pool)
    assert sha256(tmp_path / "a.safetensors") == whole


def test_a_broken_pool_loses_nothing_that_was_written(pair, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHARD_BYTES", 1)
    write, killed = module.write_arrays, []

    def kill_the_worker(*arguments):
        write(*arguments)
        if not killed:
            killed.extend(pool._processes)
            os.kill(killed[0], signal.SIGKILL)

    monkeypatch.setattr(module, "write_arrays", kill_the_worker)
    monkeypatch.setattr(drive, "AHEAD", 2)
    out = tmp_path / "a.safetensors"
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool, pytest.raises(WorkFailed, match="died"):
        record(pair, small.PROMPTS, out=out, executor=pool)
    assert not out.exists()
    assert 1 <= len(list((tmp_path / "a.parts").glob("shard-*"))) < 4
    with ThreadPoolExecutor(1) as pool:
        record(pair, small.PROMPTS, out=out, executor=pool)
    assert sha256(out) == whole


@pytest.mark.parametrize(("change", "said"), [({"executor": 3}, "executor"), ({"retries": -1}, "retries")])
def test_bad_arguments(pair, change, said):
    with pytest.raises(BadArgument, match=said):
        record(pair, small.PROMPTS, **change)
